"""What each corpus preset of stage two takes, for its header and docs/presets.md. Loads no weights.

    python bench/preset_vram.py

Lengths: the corpus's longest clip and sentence in every place of a batch. Every figure is an estimate. Where
the vocabulary is trimmed, the tokens kept are counted as far as they are known.
"""

import re
from collections.abc import Iterator
from typing import Any

import torch
from vram_shapes import LONGEST, QWEN, SHAPES

from fla_llm.configs import TUNE_PRESETS
from fla_llm.core.config import load_config
from fla_llm.finetune.config import TuneConfig
from fla_llm.planning.memory import GB
from fla_llm.planning.model_shapes import config_from
from fla_llm.planning.run_spec import RunSpec, plan_once
from fla_llm.planning.tune_plan import FEATURE_SIZE

KEPT = {"PHOENIX14T": 2454}
"""Tokens that a trimmed mBART keeps, as far as they are known; else all are counted.

PHOENIX14T: GFSLT-VLP's configuration of its trimmed mBART; the paper states no number. `fla tune` keeps
single characters too, which only the tokenizer can count.
"""
SHAPE_OF: dict[str, dict[str, Any]] = {
    "facebook/mbart-large-cc25": SHAPES["mBART-large-50"] | {"vocab_size": 250027},
    "google/flan-t5-xl": SHAPES["Flan-T5-XL"],
    "google/mt5-xl": SHAPES["mT5-xl"],
    "meta-llama/Llama-3.1-8B": SHAPES["Llama-3.1-8B"],
    "Qwen/Qwen3-4B-Base": SHAPES["Qwen3-4B"],
    "Qwen/Qwen3-8B-Base": {
        "model_type": "qwen3", "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": False,
        **QWEN,
    },
}  # fmt: skip


def models_of(preset: str) -> list[str]:
    """Return the language models that a preset's header names, the one of its command first."""
    header = (TUNE_PRESETS / f"{preset}.yaml").read_text(encoding="utf-8")
    named = [re.findall(r"--llm (\S+)", header)[0], *(llm for llm in SHAPE_OF if llm in header)]
    return list(dict.fromkeys(named))


def settings_of(preset: str) -> TuneConfig:
    return load_config(TuneConfig, base=TuneConfig(), presets=TUNE_PRESETS, source=preset)


def bytes_of(preset: str, llm: str, *, corpus: str) -> int:
    """Return what a run takes at its fullest."""
    settings = settings_of(preset)
    clips = [LONGEST[corpus]] * settings.training.batch_clips
    run = RunSpec(
        config=config_from(SHAPE_OF[llm], name=llm), tune=settings, feature_sizes=(FEATURE_SIZE,),
        dtype=torch.bfloat16, train=clips, dev=clips,
        rows=kept(settings, corpus),
    )  # fmt: skip
    return plan_once(run, 24 * GB).bytes


def kept(settings: TuneConfig, corpus: str) -> int | None:
    return KEPT.get(corpus) if settings.trim_vocab else None


def rows() -> Iterator[str]:
    yield "| preset | model | tokens | takes |"
    yield "|---|---|---|---|"
    for corpus in LONGEST:
        for preset in sorted(path.stem for path in TUNE_PRESETS.glob(f"{corpus.lower()}-*.yaml")):
            tokens = kept(settings_of(preset), corpus) or "all"
            for llm in models_of(preset):
                took = bytes_of(preset, llm, corpus=corpus) / GB
                yield f"| `{preset}` | {llm} | {tokens} | {took:.1f} GB |"


if __name__ == "__main__":
    for row in rows():
        print(row, flush=True)
