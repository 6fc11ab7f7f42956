"""The settings of stage two; presets lie beside this file as ``<name>.yaml``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..core.errors import ConfigError
from ..training.config import DecodingConfig, TrainingConfig
from .prompt import check_prompt

PRESETS = Path(__file__).parent
Quantise = Literal["nf4", "int8", "none"]


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """Low-rank adapters on the frozen language model; the defaults are common QLoRA practice."""

    rank: int = 16
    """Columns of each adapter."""
    alpha: int = 32
    """The adapter's output is scaled by alpha / rank."""
    dropout: float = 0.05
    """On the adapter's input, in training."""
    targets: str = "all-linear"
    """``all-linear``, or names of linear modules separated by commas: ``q_proj,v_proj``."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError(f"'lora.rank' must be at least 1, but is {self.rank}.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"'lora.dropout' must be in 0..1, but is {self.dropout}.")


@dataclass(frozen=True, kw_only=True)
class ProjectorConfig:
    """What turns a feature into something shaped like a word embedding."""

    kind: Literal["linear", "mlp"] = "mlp"
    """``mlp`` has one hidden layer, as the paper's LLM-Adapter."""
    hidden_size: int = 1024
    """Width of the hidden layer; not used by ``linear``."""
    learning_rate: float = 1e-3
    """Its own, since it starts from nothing; 1e-3 is the paper's (section 4.2)."""

    def __post_init__(self) -> None:
        if self.hidden_size < 1:
            raise ConfigError(f"'projector.hidden_size' must be at least 1, but is {self.hidden_size}.")
        if self.learning_rate <= 0:
            raise ConfigError(f"'projector.learning_rate' must be above 0, but is {self.learning_rate}.")


@dataclass(frozen=True, kw_only=True)
class TuneConfig:
    """Everything ``fla tune`` can be told, besides the caches and the language model."""

    quantise: Quantise = "nf4"
    """Weights of the frozen linear layers: 4-bit NormalFloat, 8-bit, or as computed with."""
    lora: LoraSettings = field(default_factory=LoraSettings)
    projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    prompt: str | None = None
    """Follows the features; ``{language}`` stands for the language's name. None the default, ``""`` none."""
    label_smoothing: float = 0.1
    """Share of the target spread over the vocabulary; the paper's 0.2 is for full tuning."""
    activation_checkpointing: bool = True
    """Recompute activations in the backward pass: less memory, about a third more time."""
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            epochs=30, batch_clips=16, batch_steps=4096, learning_rate=2e-4,
            weight_decay=0.01, warmup_share=0.05, schedule="cosine", optimiser="adamw",
        )
    )  # fmt: skip
    """``learning_rate`` here is LoRA's; ``batch_steps`` counts feature steps, padding included."""
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    seed: int = 42

    def __post_init__(self) -> None:
        check_prompt(self.prompt)
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"'label_smoothing' must be in 0..1, but is {self.label_smoothing}.")
