"""Settings of the language model: adapters and quantisation. Loads no torch."""

from dataclasses import dataclass
from typing import Literal

from ..core.errors import ConfigError

Quantise = Literal["nf4", "int8", "none"]
PromptPlace = Literal["before", "after"]
"""Place of the prompt, relative to the features."""
KEPT_IDS = "kept_ids.json"
"""File with the kept ids of a trimmed vocabulary."""
LORA_WEIGHTS = "adapter_model.safetensors"
LORA_PARTS = ("adapter_config.json", LORA_WEIGHTS)
"""Files of adapters, by the names of peft."""


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """Low-rank adapters on the frozen language model. The defaults are common QLoRA practice."""

    rank: int = 16
    """Columns of each adapter."""
    alpha: int = 32
    """The adapter's output is scaled by alpha / rank."""
    dropout: float = 0.05
    """On the adapter's input, in training."""
    targets: str = "all-linear"
    """``all-linear``, or names of linear modules separated by commas: ``q_proj,v_proj``."""
    part: Literal["all", "encoder"] = "all"
    """Adapted part of the model. ``encoder``: the encoder of an encoder-decoder model, as in MMSLT."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank) instead (rsLoRA): wide and narrow adapters then learn at the same rate."""
    dora: bool = False
    """Train length and direction of each weight column separately (DoRA). Slower."""
    b_rate_ratio: float = 1.0
    """Learning rate of the adapters' B over the rate of A (LoRA+, 16 in the paper). 1 is plain LoRA."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError(f"'lora.rank' must be at least 1, but is {self.rank}.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"'lora.dropout' must be in 0..1, but is {self.dropout}.")
        if self.b_rate_ratio <= 0:
            raise ConfigError(f"'lora.b_rate_ratio' must be above 0, but is {self.b_rate_ratio}.")
