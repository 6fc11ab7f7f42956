"""Memory of a training step, of a beam search, and of loading a model before trimming."""

from ..llm.loss import BIASED, CHUNK_TOKENS, PLAIN, SCALED, SOFT_CAPPED
from .batch_shapes import BatchShape, projector_steps
from .layer_stack import Part
from .memory import CONTEXT_BYTES, ModelMemory, StepPhase, fullest
from .model_shapes import layer_counts
from .pose_graph import pose_bytes, pose_flops
from .weights import moment_bytes

LOSS_BYTES = 12
"""Bytes of each logit at most, in bf16. Measured while loss.py ran (tests/planning/test_steps.py)."""
CAP_BYTES = 2  # more where logits are capped, measured alike
HEAD_BYTES = 6
"""Bytes of each number of a trained head as it is passed back: a bf16 copy and two gradients. Two of the
three are there at the peak of the logits. When the third comes, most bytes of the logits are gone."""
CACHE = "keys and values, one set a beam"
SEARCH_BYTES = 16
"""Bytes of each logit in the search: bf16, fp32, log-probabilities, scores of the beams."""


def training_parts(model: ModelMemory, batch: BatchShape) -> dict[str, int]:
    """Return the parts of a training step of ``batch`` in the fullest phase."""
    again = model.tune.activation_checkpointing
    kept, working, one_layer = _activations(model, batch)
    inputs: StepPhase = {"projector and embeddings": input_bytes(model, batch)}
    if model.tune.training.accumulate > 1:  # set aside, in case this batch does not fit
        inputs["gradients of earlier batches"] = model.gradients
    # With checkpointing a layer's copies are made again, and given back with the layer. The loss makes a
    # copy of the head again in either case.
    copies = 0 if again else model.copies - model.number_bytes * model.weights.head
    projected = 4 * batch.clips * batch.projected * model.config.hidden_size
    loss = inputs | kept | {"logits of the loss": _loss_bytes(model, batch)}
    layer: StepPhase = {
        "one layer, computed again" if again else "one layer, passed back": working,
        "largest matrix, unpacked": model.weights.largest_matrix,
    }
    # Gradients of a word that stands at several places are added up in a copy of the embedding.
    words = 4 * model.weights.rows * model.config.hidden_size if model.weights.embedding else 0
    _, pages = moment_bytes(model.trained_sizes, optimiser=model.tune.training.optimiser)
    return fullest(
        model.standing,
        loss | {"projected features": projected, "autocast's copies": model.copies},
        loss | {"head, passed back": HEAD_BYTES * 2 // 3 * model.weights.head, "autocast's copies": copies},
        inputs | kept | {"head, passed back": HEAD_BYTES * model.weights.head, "autocast's copies": copies},
        inputs | kept | layer | {"autocast's copies": copies, "gradients": 4 * model.weights.head},
        inputs | layer | {"first layer's activations": one_layer, "gradients": model.gradients},
        {"gradients": model.gradients, "embedding's gradient, added up": words},
        {"gradients": model.gradients, "optimiser's pages": pages},
    )


def _activations(model: ModelMemory, batch: BatchShape) -> tuple[StepPhase, float, float]:
    """Return the bytes kept by all layers, used by a layer in the backward pass, and kept by a layer."""
    again = model.tune.activation_checkpointing
    kept: StepPhase = {}
    working = one_layer = 0.0
    for part, (source, target) in _positions(model, batch).items():
        stack, layers = model.stacks[part], layer_counts(model.config)[part == "decoder"]
        layer = stack.layer(source, target)
        # A checkpointed layer is computed again in the backward pass, so only the input stays.
        each = stack.checkpoint(source, target) if again else layer
        name = "checkpoints" if again else "activations"
        kept[f"{name}, {part}"] = batch.clips * (layers * each + stack.outside(source, target))
        working = max(working, batch.clips * (stack.in_flight(source, target) + again * layer))
        one_layer = max(one_layer, batch.clips * each)
    return kept, working, one_layer


def _positions(model: ModelMemory, batch: BatchShape) -> dict[Part, tuple[int, int]]:
    """Return the input positions of each stack: source and target."""
    if "encoder" not in model.stacks:
        return {"decoder": (batch.whole, 0)}
    return {"decoder": (batch.source, batch.labels + 1), "encoder": (batch.source, 0)}


def input_bytes(model: ModelMemory, batch: BatchShape) -> int:
    """Return the bytes of a batch in the projectors, in fp32, and of the padded embeddings."""
    width = model.config.hidden_size
    read = 4 * sum(size * steps for size, steps in zip(model.feature_sizes, batch.steps, strict=True))
    rows = model.held_bytes * width * (batch.source if "encoder" in model.stacks else batch.whole)
    projected = sum(
        steps * (_kept_bytes(model, number) + 4 * width)
        for number, steps in enumerate(projector_steps(batch.steps, tune=model.tune))
    )
    if model.tune.fuse == "gate":
        # The input of a gate, the embeddings of two streams.
        projected += 8 * width * batch.projected * (len(batch.steps) - 1)
    return batch.clips * (read + projected + rows)


def _kept_bytes(model: ModelMemory, stream: int) -> int:
    """Return the bytes that a projector keeps of a position for the backward pass, besides the output."""
    projector = model.tune.projector_of(stream)
    if projector.kind == "poses":
        return pose_bytes(projector.width, model.config.hidden_size)
    if projector.kind == "adapter":
        # Counted (saved_bytes): what both blocks keep for four and for two steps, and the hidden layer.
        return 112 * projector.hidden_size
    return 8 * projector.hidden_size * (projector.kind != "linear")


def _loss_bytes(model: ModelMemory, batch: BatchShape) -> int:
    rows, labels = model.weights.rows, batch.clips * batch.labels
    kind = model.config.model_type
    each = LOSS_BYTES + (CAP_BYTES if kind in SOFT_CAPPED else 0)
    if kind in PLAIN | SOFT_CAPPED | BIASED | SCALED:
        return min(labels, CHUNK_TOKENS) * rows * each
    # An unknown head computes the logits of all positions.
    everywhere = labels if "encoder" in model.stacks else batch.clips * batch.whole
    return rows * (2 * model.number_bytes * everywhere + each * labels)


def forward_flops(model: ModelMemory, batch: BatchShape) -> float:
    """Return the FLOPs of a forward pass of ``batch``. Projectors of single steps are too small to count."""
    layers = sum(
        layer_counts(model.config)[part == "decoder"] * model.stacks[part].layer_flops(*positions)
        for part, positions in _positions(model, batch).items()
    )
    head = 2 * model.weights.rows * model.config.hidden_size * batch.labels
    projectors = [model.tune.projector_of(number) for number in range(len(batch.steps))]
    poses = sum(
        steps * pose_flops(projector.width, model.config.hidden_size)
        for projector, steps in zip(projectors, batch.steps, strict=True)
        if projector.kind == "poses"
    )
    return batch.clips * (layers + head + poses)


def loading_parts(model: ModelMemory) -> dict[str, int]:
    """Return the parts of loading a model before trimming. Empty for a run without trimming."""
    if not model.tune.trim_vocab:
        return {}
    return {
        "CUDA context (assumed)": CONTEXT_BYTES,
        "weights, with every token": model.weights.whole,
        "rows that are kept": 2 * model.weights.rows * model.config.hidden_size * model.held_bytes,
    }


def generation_parts(model: ModelMemory, batch: BatchShape) -> dict[str, int]:
    """Return the parts of the beam search of ``batch`` in a run's evaluation: the optimiser stays."""
    decoding = model.tune.decoding
    rows = batch.clips * decoding.num_beams
    source = rows * cache_bytes(model, positions=batch.source)
    cache = rows * cache_bytes(model, positions=batch.source + decoding.max_new_tokens)
    throughout: StepPhase = {
        "autocast's copies": model.copies,
        "projector and embeddings": input_bytes(model, batch),
        "largest matrix, unpacked": model.weights.largest_matrix,
    }
    return fullest(
        model.standing,
        throughout | {CACHE: source, "reading features and prompt": _reading(model, batch)},
        throughout
        | {
            CACHE: cache,
            "one layer's, put in order": 2 * cache / layer_counts(model.config)[1],
            "logits of the beams": rows * model.weights.rows * SEARCH_BYTES,
        },
    )


def cache_bytes(model: ModelMemory, *, positions: int) -> int:
    """Return the bytes of the keys and values of a beam. An encoder-decoder also keeps the source."""
    config = model.config
    # Grouped-query attention has fewer heads of keys and values than of queries.
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or getattr(config, "d_kv", None)
    width = width or config.hidden_size // config.num_attention_heads
    return 2 * layer_counts(config)[1] * heads * width * positions * model.number_bytes


def _reading(model: ModelMemory, batch: BatchShape) -> float:
    """Return the peak bytes of the layers while reading the source, once for each beam."""
    rows, decoder = batch.clips * model.tune.decoding.num_beams, model.stacks["decoder"]
    if "encoder" not in model.stacks:
        return rows * decoder.reading(batch.source)
    states = 2 * rows * batch.source * model.config.hidden_size * model.number_bytes
    encoder = batch.clips * model.stacks["encoder"].reading(batch.source)
    return max(encoder, rows * decoder.reading(batch.source, 1) + states)
