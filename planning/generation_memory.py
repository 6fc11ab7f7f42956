"""What loading the model takes, and the search for translations."""

from .batch_shapes import BatchShape
from .memory import CONTEXT_BYTES, ModelMemory, Part, input_bytes, moving_parts, standing_parts
from .skeleton import depths

SEARCH_BYTES = 16
"""Of each logit in the search: bf16, fp32, log-probabilities, scores of the beams."""


def loading_parts(model: ModelMemory) -> list[Part]:
    """Return what loading takes where the vocabulary is trimmed: the model is whole then. Else nothing."""
    if not model.tune.trim_vocab:
        return []
    trimmed = 2 * model.weights.rows * model.config.hidden_size * model.held_bytes  # embedding and head
    sizes = {
        "CUDA context (assumed)": CONTEXT_BYTES,
        "weights, with every token": model.weights.whole,
        "rows that are kept": trimmed,
    }
    return [Part(name=name, bytes=size) for name, size in sizes.items()]


def generation_parts(model: ModelMemory, batch: BatchShape) -> list[Part]:
    """Return what the beam search of ``batch`` takes, in a run's evaluation: the optimiser is there too."""
    rows = batch.clips * model.tune.decoding.num_beams
    cache = rows * cache_bytes(model, batch)
    throughout = {
        "autocast's copies": model.copies,
        "keys and values, all beams": cache,
        "one layer's, put in order": 2 * cache / depths(model.config)[1],
        "projector and embeddings": input_bytes(model, batch),
        "largest matrix, unpacked": model.weights.largest_matrix,
    }
    moments = [
        throughout | {"reading features and prompt": _reading(model, batch)},
        throughout | {"logits of the beams": rows * model.weights.rows * SEARCH_BYTES},
    ]
    return [*standing_parts(model), *moving_parts(moments)]


def cache_bytes(model: ModelMemory, batch: BatchShape) -> int:
    """Return the bytes of one beam's keys and values; an encoder-decoder also keeps those of the source."""
    config, new = model.config, model.tune.decoding.max_new_tokens
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or getattr(config, "d_kv", None)
    width = width or config.hidden_size // config.num_attention_heads
    return 2 * depths(config)[1] * heads * width * (batch.source + new) * model.number_bytes


def _reading(model: ModelMemory, batch: BatchShape) -> float:
    """Return the most that layers take while they read the source, once for each beam."""
    rows = batch.clips * model.tune.decoding.num_beams
    if model.encoder is None:
        return rows * model.decoder.reading(batch.source)
    states = 2 * rows * batch.source * model.config.hidden_size * model.number_bytes
    return max(
        batch.clips * model.encoder.reading(batch.source),
        rows * model.decoder.reading(batch.source, 1) + states,
    )
