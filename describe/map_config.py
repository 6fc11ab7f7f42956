"""Settings of ``fla map``."""

from dataclasses import dataclass

from ..core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class MapConfig:
    """Settings of a mapper and its training."""

    hidden_size: int = 1024
    """Width of the hidden layer. 1024 as in MMSLT."""
    learning_rate: float = 1e-3
    """Learning rate of AdamW."""
    weight_decay: float = 0.01
    """Weight decay of AdamW."""
    batch_clips: int = 32
    """Clips in a batch."""
    epochs: int = 50
    """Largest number of epochs."""
    patience: int = 5
    """Epochs without a lower error on dev before training ends."""
    seed: int = 0
    """Seed of the weights and of the order of clips."""

    def __post_init__(self) -> None:
        for name in ("hidden_size", "batch_clips", "epochs", "patience"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, but is {getattr(self, name)}.")
        if self.learning_rate <= 0:
            raise ConfigError(f"learning_rate must be above 0, but is {self.learning_rate}.")
        if self.weight_decay < 0:
            raise ConfigError(f"weight_decay must be at least 0, but is {self.weight_decay}.")
