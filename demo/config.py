"""Settings of the demo. Loads no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ..configs import PRETRAIN_PRESETS, TUNE_PRESETS
from ..core.config import load_config
from ..extract.config import ExtractConfig
from ..finetune.config import TuneConfig
from ..pretrain.config import PretrainConfig
from .corpus import DemoConfig

Kind = Literal["causal", "seq2seq"]
HEAD_SIZE = 64  # also the block of NF4: widths must be whole multiples of it

TINY = (
    "corpus.train_clips=900", "corpus.single_sign_clips=400", "corpus.dev_clips=12", "corpus.test_clips=24",
    "pretrain.training.epochs=4", "pretrain.training.evaluate_from_epoch=4", "llm.steps=80",
    "text_sentences=1500", "tune.training.epochs=6", "tune.training.evaluate_from_epoch=6",
)  # fmt: skip
"""Sizes of ``fla demo --tiny``: too few clips to learn the language."""


@dataclass(frozen=True, kw_only=True)
class SmallLlmConfig:
    """Shape and training of the small language model."""

    kind: Kind = "causal"
    """``causal`` continues text, ``seq2seq`` restores sentences from some of their tokens."""
    keep_order: bool = False
    """``seq2seq``: give the tokens to restore a sentence from in their order. False: in random order."""
    hidden_size: int = 128
    """Width, a multiple of 64."""
    layers: int = 4
    """Number of layers of the decoder, and of the encoder if any."""
    vocabulary: int = 2000
    """Maximum number of tokens. The 256 bytes are always included, so every text has tokens."""
    steps: int = 300
    """Number of optimiser steps."""
    batch_tokens: int = 768
    """Tokens in a step."""
    learning_rate: float = 3e-3
    """Learning rate for about a million weights. Large models need about a tenth."""

    def __post_init__(self) -> None:
        if self.hidden_size < HEAD_SIZE or self.hidden_size % HEAD_SIZE:
            raise ValueError(f"hidden_size must be a multiple of {HEAD_SIZE}, but is {self.hidden_size}")


@dataclass(frozen=True, kw_only=True)
class DemoRunConfig:
    """All settings of the demo, with a group for each stage."""

    corpus: DemoConfig = field(default_factory=DemoConfig)
    pretrain: PretrainConfig
    extract: ExtractConfig = field(default_factory=ExtractConfig)
    llm: SmallLlmConfig = field(
        default_factory=lambda: SmallLlmConfig(
            kind="seq2seq", keep_order=True, layers=3, steps=700, batch_tokens=300, learning_rate=1.5e-3
        )
    )
    tune: TuneConfig
    text_sentences: int = 6000
    """Number of sentences to pretrain the small language model on. None of these is in a split."""
    seed: int = 42
    """Seed of every stage. Overrides the seeds of the stages."""


def load_demo_config(
    source: str | None = None, overrides: Sequence[str] = (), *, is_tiny: bool = False
) -> DemoRunConfig:
    """Return the demo's settings: the stages' ``demo`` presets, then a file, then single settings.

    Args:
        source: a YAML file.
        overrides: settings, ``key=value``.
        is_tiny: the sizes of a first look, :data:`TINY`, in place of the sizes of the presets.
    """
    base = DemoRunConfig(
        pretrain=load_config(PretrainConfig, presets=PRETRAIN_PRESETS, source="demo"),
        tune=load_config(TuneConfig, presets=TUNE_PRESETS, source="demo"),
    )
    if is_tiny:
        base = load_config(DemoRunConfig, base=base, overrides=TINY)
    config = load_config(DemoRunConfig, base=base, source=source, overrides=overrides)
    return replace(
        config,
        pretrain=replace(config.pretrain, seed=config.seed),
        tune=replace(config.tune, seed=config.seed),
    )
