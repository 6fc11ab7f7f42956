"""A whole training step, counted tensor by tensor, takes what the plan says: parts, moments and their sum."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
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
from fla_llm.planning.batch_shapes import BatchShape
from fla_llm.planning.cuda_rules import CudaRules
from fla_llm.planning.layer_memory import pass_back
from fla_llm.planning.live_bytes import LiveBytes
from fla_llm.planning.memory import Part, measure_model, standing_parts, total
from fla_llm.planning.training_memory import training_parts

CLIPS, STEPS, WORDS, FEATURE_SIZE = 8, 130, 29, 64
WIDTH, FFN = 256, 640  # of all models: operations on the same shapes are looked up, not worked out again
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
def test_a_real_step_takes_what_is_foretold(
    shape: str, train: Any, checkpointing: bool, lora: dict[str, Any], config: TuneConfig,
    tokenizer: PreTrainedTokenizerFast,
) -> None:  # fmt: skip
    tune = replace(
        config, quantise="none", train=train, activation_checkpointing=checkpointing,
        lora=replace(config.lora, rank=16, **lora),
        projector=replace(config.projector, hidden_size=128),
        training=replace(config.training, precision="bf16"),
    )  # fmt: skip
    llm = SHAPES[shape]()
    model = drawn(llm, tune, tokenizer)
    batch = collate([clip() for _ in range(CLIPS)], codec=model.codec)
    with CudaRules(), LiveBytes([*model.parameters(), *model.buffers(), *batch.values()]) as live:
        pass_back(model(**batch)["loss"])
    memory = measure_model(llm, tune=tune, feature_size=FEATURE_SIZE, dtype=torch.bfloat16)
    prompt = batch["prompt_ids"].shape[1] + len(model.conditioned_lm.lead_ids)
    around = BatchShape(clips=CLIPS, steps=STEPS, prompt=prompt, labels=WORDS + 1)
    foretold = total(moving(training_parts(memory, around), standing_parts(memory)))
    assert foretold == pytest.approx(live.peak, rel=0.1)


def drawn(llm: PretrainedConfig, tune: TuneConfig, tokenizer: PreTrainedTokenizerFast) -> StageTwoModel:
    auto = AutoModelForSeq2SeqLM if llm.is_encoder_decoder else AutoModelForCausalLM
    dtype = torch.float32 if tune.train == "full" else torch.bfloat16
    base = auto.from_config(llm, dtype=dtype).requires_grad_(False)
    language_model = LanguageModel(model=base, tokenizer=tokenizer, source="drawn", revision="0")
    settings = {"feature_size": FEATURE_SIZE, "feature_fingerprint": "e" * 64}
    return StageTwoModel(language_model, config=tune, **settings).train()


def clip() -> dict[str, Any]:
    features = np.ones((STEPS, FEATURE_SIZE), dtype=np.float16)
    return {"features": features, "text": " ".join(["sonne"] * WORDS), "language": "de"}


def moving(parts: list[Part], standing: list[Part]) -> list[Part]:
    """Return what comes and goes, without the share that the allocator is assumed to waste."""
    return [part for part in parts[len(standing) :] if "slack" not in part.name]
