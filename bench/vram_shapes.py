"""Shapes of published models, as their ``config.json`` gives them, and lengths of three corpora.

What memory depends on, and no more.
"""

from collections.abc import Sequence
from typing import Any

import torch

from fla_llm.configs import TUNE_PRESETS
from fla_llm.core.config import load_config
from fla_llm.finetune.config import TuneConfig
from fla_llm.planning.model_shapes import config_from
from fla_llm.planning.run_spec import RunSpec
from fla_llm.planning.sequence_lengths import (
    BYTES_PER_TOKEN,
    BYTES_PER_WORD,
    PHOENIX_STEPS,
    PHOENIX_WORDS,
    ClipLength,
    assumed_prompt,
)
from fla_llm.planning.tune_plan import FEATURE_SIZE

QWEN = {"vocab_size": 151936, "max_position_embeddings": 32768}
T5_XL = {
    "d_model": 2048, "d_ff": 5120, "d_kv": 64, "num_layers": 24, "num_decoder_layers": 24, "num_heads": 32,
    "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "decoder_start_token_id": 0,
}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "Qwen2.5-1.5B": {
        "model_type": "qwen2", "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
        "num_attention_heads": 12, "num_key_value_heads": 2, "tie_word_embeddings": True, **QWEN,
    },
    "Qwen3-4B": {
        "model_type": "qwen3", "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": True,
        **QWEN,
    },
    "Llama-3.1-8B": {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
        "max_position_embeddings": 131072, "tie_word_embeddings": False,
    },
    "Gemma-2-9B": {
        "model_type": "gemma2", "hidden_size": 3584, "intermediate_size": 14336, "num_hidden_layers": 42,
        "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 256, "vocab_size": 256000,
        "max_position_embeddings": 8192,
    },
    "Qwen2.5-14B": {
        "model_type": "qwen2", "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 48,
        "num_attention_heads": 40, "num_key_value_heads": 8, "tie_word_embeddings": False,
        **QWEN, "vocab_size": 152064,
    },
    "Flan-T5-XL": {"model_type": "t5", "vocab_size": 32128, **T5_XL},
    "mT5-xl": {"model_type": "mt5", "vocab_size": 250112, **T5_XL},
    "mBART-large-50": {
        "model_type": "mbart", "vocab_size": 250054, "d_model": 1024, "encoder_layers": 12,
        "decoder_layers": 12, "encoder_ffn_dim": 4096, "decoder_ffn_dim": 4096,
        "encoder_attention_heads": 16, "decoder_attention_heads": 16, "max_position_embeddings": 1024,
        "scale_embedding": True, "decoder_start_token_id": 2,
    },
}  # fmt: skip
PRESETS = {
    name: {"mbart": "mbart", "t5": "t5", "mt5": "t5"}.get(shape["model_type"], "llama")
    for name, shape in SHAPES.items()
}
"""Settings each model is planned and measured with."""

MEASURED = (
    "Qwen2.5-1.5B", "Qwen3-4B", "Llama-3.1-8B", "Qwen2.5-14B", "Flan-T5-XL", "mBART-large-50",
)  # fmt: skip
"""Models that bench/vram.py measures unless told otherwise."""
STRIDE_FRAMES = 4  # of the presets of all corpora
HOW2SIGN_FPS = 24
HOW2SIGN_STEPS = 400  # the most that its preset of stage one lets pass: the longest of train is not known


def _length(frames: float, sentence_bytes: int) -> ClipLength:
    labels = -(-sentence_bytes // BYTES_PER_TOKEN) + 1
    steps = -(-round(frames) // STRIDE_FRAMES)
    return ClipLength(steps=(steps,), labels=labels, prompt=assumed_prompt(TuneConfig()))


CORPORA = {
    "PHOENIX14T": {
        "typical": _length(117, 83),
        "95 %": _length(208, 158),
        "longest": _length(STRIDE_FRAMES * PHOENIX_STEPS, BYTES_PER_WORD * PHOENIX_WORDS),
    },
    "How2Sign": {
        "typical": _length(5.70 * HOW2SIGN_FPS, 77),
        "95 %": _length(17.31 * HOW2SIGN_FPS, 203),
        "longest": _length(HOW2SIGN_STEPS * STRIDE_FRAMES, 504),
    },
}
"""Lengths of clips and of sentences, each of its own: a long clip need not have the long sentence.

PHOENIX14T: label files of the training split: frames (mean and 95th percentile; the median was not at hand),
bytes of UTF-8 of 7,096 sentences (median, 95th percentile); the longest are those that `fla plan` assumes.
How2Sign: how2sign_realigned_val.csv, 1,741 rows (median, 95th percentile): seconds from START_REALIGNED to
END_REALIGNED at 24 frames a second, and bytes of SENTENCE, of which 504 are the most. A token is three bytes,
as `fla plan` assumes.
"""
LONGEST = {
    "PHOENIX14T": CORPORA["PHOENIX14T"]["longest"],
    "CSL-Daily": _length(493, 129),
    "How2Sign": CORPORA["How2Sign"]["longest"],
}
"""The longest clip with the longest sentence, of each corpus that has presets.

CSL-Daily: label files of the training split: 493 frames, and 43 characters of three bytes.
"""

_TINY = {
    "hidden_size": 128, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "head_dim": 64, "d_model": 128, "d_ff": 128, "d_kv": 64, "num_layers": 2,
    "num_decoder_layers": 2, "num_heads": 2, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "vocab_size": 512,
}  # fmt: skip


def tiny(shape: dict[str, Any]) -> dict[str, Any]:
    """Return a shape of the same architecture that is loaded and trained in a second."""
    return {name: _TINY.get(name, value) for name, value in shape.items()}


def settings_of(name: str) -> TuneConfig:
    """Return the settings a model is planned and measured with."""
    return load_config(TuneConfig, base=TuneConfig(), presets=TUNE_PRESETS, source=PRESETS[name])


def run_of(
    name: str, clips: Sequence[ClipLength], *, tune: TuneConfig | None = None, small: bool = False
) -> RunSpec:
    """Return a run on clips of these lengths, in bf16."""
    shape = tiny(SHAPES[name]) if small else SHAPES[name]
    return RunSpec(
        config=config_from(shape, name=name), tune=tune or settings_of(name), feature_sizes=(FEATURE_SIZE,),
        dtype=torch.bfloat16, train=clips, dev=clips,
    )  # fmt: skip


def longest_run(name: str, corpus: str) -> RunSpec:
    """Return a run in which every clip of a batch is the corpus' longest."""
    tune = settings_of(name)
    return run_of(name, [LONGEST[corpus]] * tune.training.batch_clips, tune=tune)
