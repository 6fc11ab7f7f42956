"""The peak of a whole training step, with and without checkpointing, is what the plan adds up."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
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
from fla_llm.planning import cuda_precision
from fla_llm.planning.batch_shapes import BatchShape
from fla_llm.planning.memory import measure_model
from fla_llm.planning.step_memory import training_parts

CLIPS, STEPS, WORDS, FEATURE_SIZE = 4, 130, 29, 64
WIDTH, FFN = 256, 640
_IDS = {"vocab_size": 4096, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_DECODER = {
    "hidden_size": WIDTH, "intermediate_size": FFN, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 64, "max_position_embeddings": 256, **_IDS,
}  # fmt: skip
_BART = {
    "d_model": WIDTH, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": FFN, "decoder_ffn_dim": FFN,
    "max_position_embeddings": 256, "decoder_start_token_id": 2, **_IDS,
}  # fmt: skip
_T5 = {
    "d_model": WIDTH, "d_kv": 64, "d_ff": FFN, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0,
    "feed_forward_proj": "gated-gelu", **_IDS,
}  # fmt: skip
SHAPES: dict[str, Callable[[], PretrainedConfig]] = {
    "llama": lambda: LlamaConfig(**_DECODER),
    "gemma2": lambda: Gemma2Config(**_DECODER),
    "qwen3": lambda: Qwen3Config(**_DECODER),
    "mbart": lambda: MBartConfig(**_BART),
    "t5": lambda: T5Config(**_T5),
}


class TrainedAttention(cuda_precision._FusedAttention):
    """Fused attention with a backward pass. Kernels add up the gradient of the query in fp32."""

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        query, key, value, *_ = ctx.saved_tensors
        return torch.zeros_like(query, dtype=torch.float32).to(query.dtype), key * 0, value * 0, None


@pytest.mark.parametrize(
    ("shape", "train", "checkpointing", "lora"),
    [
        ("llama", "lora+projector", False, {"dropout": 0.1}),
        ("gemma2", "lora+projector", True, {}),
        ("qwen3", "lora+projector", False, {}),
        # Adapters on some layers only: each takes its time, and all of them are held above.
        ("mbart", "lora+projector", False, {"dropout": 0.1, "targets": "fc2"}),
        ("mbart", "full", True, {}),
        ("t5", "lora+projector", True, {"dropout": 0.1, "targets": "wo"}),
        ("llama", "full", False, {}),
        ("llama", "projector", True, {}),
    ],
)
def test_a_real_step_takes_what_is_estimated(
    shape: str, train: Any, checkpointing: bool, lora: dict[str, Any], config: TuneConfig,
    tokenizer: PreTrainedTokenizerFast, peak_bytes: Callable[[Callable[[], Any]], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    tune = replace(
        config, quantise="none", train=train, activation_checkpointing=checkpointing,
        lora=replace(config.lora, rank=16, **lora),
        projector=replace(config.projector, hidden_size=128),
        training=replace(config.training, precision="bf16"),
    )  # fmt: skip
    llm = SHAPES[shape]()
    model = draw(llm, tune, tokenizer)
    batch = collate([clip() for _ in range(CLIPS)], codec=model.codec)
    monkeypatch.setattr(cuda_precision, "_FusedAttention", TrainedAttention)
    if checkpointing:  # a layer that is computed again in the backward pass needs the number formats there
        formats = {"context_fn": lambda: (nullcontext(), cuda_precision.CudaPrecision(torch.bfloat16))}
        base = model.language_model.model
        enable = getattr(base, "activation_checkpointing_enable", base.gradient_checkpointing_enable)
        enable({"use_reentrant": False, **formats})

    def step() -> None:
        with cuda_precision.CudaPrecision(torch.bfloat16):
            loss = model(**batch)["loss"]
        loss.backward()

    peak = peak_bytes(step)
    memory = measure_model(llm, tune=tune, feature_sizes=(FEATURE_SIZE,), dtype=torch.bfloat16)
    parts = training_parts(memory, shape_of(model, batch))
    estimated = sum(n for name, n in parts.items() if name not in memory.standing and "overhead" not in name)
    print("RATIO", shape, train, checkpointing, estimated, peak, estimated / peak, parts)
    assert estimated == pytest.approx(peak, rel=0.1)


def draw(llm: PretrainedConfig, tune: TuneConfig, tokenizer: PreTrainedTokenizerFast) -> StageTwoModel:
    """Return a random model in train mode."""
    auto = AutoModelForSeq2SeqLM if llm.is_encoder_decoder else AutoModelForCausalLM
    dtype = torch.float32 if tune.train == "full" else torch.bfloat16
    base = auto.from_config(llm, dtype=dtype).requires_grad_(False)
    language_model = LanguageModel(model=base, tokenizer=tokenizer, source="drawn", revision="0")
    settings = {"feature_size": FEATURE_SIZE, "feature_fingerprint": "e" * 64}
    return StageTwoModel(language_model, config=tune, **settings).train()


def shape_of(model: StageTwoModel, batch: dict[str, Any]) -> BatchShape:
    source = STEPS + batch["prompt_ids"].shape[1] + len(model.conditioned_lm.lead_ids)
    return BatchShape(
        clips=CLIPS, steps=(STEPS,), projected=STEPS, source=source, labels=WORDS + 1, whole=source + WORDS
    )


def clip() -> dict[str, Any]:
    features = np.ones((STEPS, FEATURE_SIZE), dtype=np.float16)
    return {"features": features, "text": " ".join(["sonne"] * WORDS), "language": "de"}
