"""A real step on a CPU keeps and takes what is estimated from shapes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    Gemma2Config,
    LlamaConfig,
    MBartConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    T5Config,
)

from fla_llm.finetune.collate import collate
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.model import StageTwoModel
from fla_llm.llm.load import LanguageModel
from fla_llm.llm.loss import Head, summed_cross_entropy
from fla_llm.planning.batch_shapes import BatchShape
from fla_llm.planning.memory import measure_model
from fla_llm.planning.saved_bytes import SavedBytes
from fla_llm.planning.step_memory import CAP_BYTES, LOSS_BYTES, training_parts

CLIPS, STEPS, WORDS, FEATURE_SIZE = 4, 60, 19, 64
_IDS = {"vocab_size": 512, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_DECODER = {
    "hidden_size": 128, "intermediate_size": 320, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 256, **_IDS,
}  # fmt: skip
_BART = {
    "d_model": 128, "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 320, "decoder_ffn_dim": 320, "dropout": 0.0,
    "max_position_embeddings": 256, "decoder_start_token_id": 2, **_IDS,
}  # fmt: skip
_T5 = {
    "d_model": 128, "d_kv": 32, "d_ff": 320, "num_layers": 3, "num_heads": 4, "decoder_start_token_id": 0,
    # T5's own gelu takes a power, which CUDA's autocast computes in fp32 and a CPU's does not.
    "feed_forward_proj": "gated-silu", "dropout_rate": 0.0, **_IDS,
}  # fmt: skip
SHAPES: dict[str, Callable[[], PretrainedConfig]] = {
    "llama": lambda: LlamaConfig(**_DECODER),
    "gemma2": lambda: Gemma2Config(**_DECODER, attn_implementation="eager"),
    "qwen3": lambda: Qwen3Config(**_DECODER),
    "mbart": lambda: MBartConfig(**_BART),
    "t5": lambda: T5Config(**_T5),
}


@pytest.mark.parametrize(
    ("shape", "train"),
    [
        ("llama", "lora+projector"), ("gemma2", "lora+projector"), ("qwen3", "lora+projector"),
        ("mbart", "lora+projector"), ("t5", "lora+projector"), ("mbart", "full"), ("llama", "projector"),
    ],
)  # fmt: skip
def test_activations_of_a_real_step_are_those_that_are_estimated(
    shape: str, train: Any, config: TuneConfig, tokenizer: PreTrainedTokenizerFast
) -> None:
    tune = replace(config, quantise="none", train=train, training=replace(config.training, precision="bf16"))
    llm = SHAPES[shape]()
    model = draw(llm, tune, tokenizer)
    batch = collate(
        [clip(STEPS - (number == 0)) for number in range(CLIPS)], codec=model.codec
    )  # padding, so a mask
    source = model._conditioning(batch)
    known = [*model.parameters(), *model.buffers(), source.features]
    saved = SavedBytes(known)
    with torch.autocast("cpu", dtype=torch.bfloat16), saved:
        model.conditioned_lm.labelled_states(source, batch["labels"])
    memory = measure_model(llm, tune=tune, feature_sizes=(FEATURE_SIZE,), dtype=torch.bfloat16)
    parts = training_parts(memory, shape_of(model, batch))
    estimated = sum(size for name, size in parts.items() if name.startswith("activations"))
    copies = memory.copies - 2 * memory.weights.head
    assert estimated == pytest.approx(saved.total - copies, rel=0.1)


@pytest.mark.parametrize("kind", ["linear", "mlp", "adapter"])
def test_projectors_keep_what_is_estimated(kind: Any, config: TuneConfig) -> None:
    from fla_llm.finetune.projector import Projector, StreamProjectors
    from fla_llm.planning.step_memory import input_bytes

    tune = replace(config, quantise="none", projector=replace(config.projector, kind=kind, hidden_size=128))
    llm, sizes, steps = SHAPES["llama"](), (256, 64), (32, 128)
    memory = measure_model(llm, tune=tune, feature_sizes=sizes, dtype=torch.bfloat16)
    projectors = StreamProjectors([Projector(size, llm.hidden_size, config=tune.projector) for size in sizes])
    features = [torch.ones(4, t, f).half() for t, f in zip(steps, sizes, strict=True)]
    saved = SavedBytes([*projectors.parameters(), *projectors.buffers()])
    with saved:
        projected, _ = projectors(features, [torch.full((4,), t) for t in steps])
    kept = sum(steps) // tune.projector.output_stride
    batch = BatchShape(clips=4, steps=steps, projected=kept, source=kept + 9, labels=5, whole=kept + 13)
    rows = batch.clips * batch.whole * llm.hidden_size * memory.held_bytes
    # The projected features themselves are held by the language model's input.
    assert input_bytes(memory, batch) - rows == pytest.approx(saved.total, rel=0.02)
    assert projected.shape == (4, kept, llm.hidden_size)


@pytest.mark.parametrize("cap", [None, 30.0])
@pytest.mark.parametrize("tokens", [256, 600])
def test_the_loss_takes_what_is_estimated_of_each_logit(
    cap: float | None, tokens: int, peak_bytes: Callable[[Callable[[], Any]], int]
) -> None:
    words = 4096
    linear = nn.Linear(8, words, bias=False, dtype=torch.bfloat16).requires_grad_(False)
    states = torch.randn(tokens, 8, dtype=torch.bfloat16, requires_grad=True)
    targets = torch.zeros(tokens, dtype=torch.long)

    def work() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            head = Head(linear=linear, cap=cap)
            summed_cross_entropy(states, targets, head=head, label_smoothing=0.1).backward()

    each = LOSS_BYTES + (CAP_BYTES if cap else 0)
    assert peak_bytes(work) / (256 * words) == pytest.approx(each, rel=0.02)


def draw(llm: PretrainedConfig, tune: TuneConfig, tokenizer: PreTrainedTokenizerFast) -> StageTwoModel:
    """Return a random model in train mode, its layer norms in fp32 as CUDA's autocast runs them."""
    auto = AutoModelForSeq2SeqLM if llm.is_encoder_decoder else AutoModelForCausalLM
    dtype = torch.float32 if tune.train == "full" else torch.bfloat16
    base = auto.from_config(llm, dtype=dtype).requires_grad_(False)
    for module in base.modules():
        if isinstance(module, nn.LayerNorm):
            module.float().register_forward_pre_hook(lambda _, args: (args[0].float(),))
    language_model = LanguageModel(model=base, tokenizer=tokenizer, source="drawn", revision="0")
    settings = {"feature_size": FEATURE_SIZE, "feature_fingerprint": "e" * 64}
    return StageTwoModel(language_model, config=tune, **settings).train()


def shape_of(model: StageTwoModel, batch: dict[str, Any]) -> BatchShape:
    prompt = batch["prompt_ids"].shape[1] + len(model.conditioned_lm.lead_ids)
    whole = STEPS + prompt + WORDS
    return BatchShape(
        clips=CLIPS, steps=(STEPS,), projected=STEPS, source=STEPS + prompt, labels=WORDS + 1, whole=whole
    )


def clip(steps: int) -> dict[str, Any]:
    features = np.ones((steps, FEATURE_SIZE), dtype=np.float16)
    return {"features": features, "text": " ".join(["sonne"] * WORDS), "language": "de"}
