"""Settings of ``fla tune --decoder diffusion``. Loads no torch."""

from dataclasses import dataclass, field
from typing import Literal

from ..core.errors import ConfigError
from ..finetune.config import FeatureTraining, ProjectorConfig
from ..llm.config import Quantise
from ..training.config import DecodingConfig

Sampler = Literal["ddim", "dpm"]


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """Text autoencoder: a frozen encoder-decoder model with a resampler and an expander."""

    latents: int = 32
    """Number of latents of a sentence. 32 as in LD4LG (Lovelace et al., NeurIPS 2023)."""
    latent_size: int = 64
    """Width of a latent. 64 as in LD4LG."""
    layers: int = 3
    """Layers of the resampler, and of the expander. 3 as in LD4LG."""
    dropout: float = 0.1
    """Dropout in resampler and expander."""
    latent_noise: float = 0.1
    """Standard deviation of noise on the latents in training, so that sentences stand apart. 0: no noise."""
    text: str | None = None
    """Text file with further sentences, one in a line, in the language of the clips. None: no file."""
    min_bleu4: float = 90.0
    """Lowest BLEU-4 of reconstructed dev sentences with which a denoiser is trained."""
    training: FeatureTraining = field(
        default_factory=lambda: FeatureTraining(
            epochs=100, batch_clips=64, batch_tokens=4096, learning_rate=3e-4, weight_decay=1e-6,
            warmup_share=0.05, evaluate_every_epochs=10, evaluate_from_epoch=10,
        )
    )  # fmt: skip
    """Training of resampler and expander. A batch holds sentences, and its tokens are those of sentences."""

    def __post_init__(self) -> None:
        for name in ("latents", "latent_size", "layers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"'autoencoder.{name}' must be at least 1, but is {getattr(self, name)}.")
        _check_share("autoencoder.dropout", self.dropout)
        if self.latent_noise < 0:
            raise ConfigError(f"'autoencoder.latent_noise' must be at least 0, but is {self.latent_noise}.")


@dataclass(frozen=True, kw_only=True)
class DenoiserConfig:
    """Denoiser, and the fusion of the streams of features."""

    layers: int = 6
    """Layers of the denoiser, each with self-attention over latents and cross-attention to features."""
    hidden_size: int = 512
    """Width of denoiser and fusion, an even number."""
    fusion_layers: int = 2
    """Layers of self-attention over the features of all streams before the denoiser. 0: none."""
    pseudo_glosses: int = 0
    """Number of words that are predicted from the features and join them as conditions. 0: none."""
    dropout: float = 0.1
    """Dropout in denoiser and fusion."""
    condition_dropout: float = 0.1
    """Share of training clips without their features, for guidance. 0.1 as in LD4LG."""
    self_condition: float = 0.5
    """Share of training batches with an earlier prediction as input (Chen et al., ICLR 2023)."""

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise ConfigError(f"'denoiser.layers' must be at least 1, but is {self.layers}.")
        for name in ("fusion_layers", "pseudo_glosses"):
            if getattr(self, name) < 0:
                raise ConfigError(f"'denoiser.{name}' must be at least 0, but is {getattr(self, name)}.")
        # Half of the width holds sines, half cosines.
        if self.hidden_size < 2 or self.hidden_size % 2:
            raise ConfigError(f"'denoiser.hidden_size' must be an even number, but is {self.hidden_size}.")
        for name in ("dropout", "condition_dropout"):
            _check_share(f"denoiser.{name}", getattr(self, name))
        if not 0 <= self.self_condition <= 1:
            raise ConfigError(f"'denoiser.self_condition' must be in 0..1, but is {self.self_condition}.")


@dataclass(frozen=True, kw_only=True)
class DiffusionDecoding(DecodingConfig):
    """Drawing of latents, and search for the sentence of drawn latents."""

    sampler: Sampler = "ddim"
    """Sampler of ``diffusers``: DDIM without added noise (Song et al., ICLR 2021), or DPM-Solver++ of order 2
    (Lu et al., 2022)."""
    steps: int = 50
    """Steps of the sampler, at most 1000."""
    guidance: float = 2.0
    """Weight of the features (classifier-free guidance). 0: no features, 1: no guidance. 2 as in LD4LG."""
    noise: float = 1.0
    """Standard deviation of the noise that a draw begins with. Above 1: more different sentences. 1 as in
    training."""
    seed: int = 0
    """Seed of the noise. ``fla evaluate --seed`` overrides this seed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.temperature or self.diversity:
            raise ValueError(
                "temperature and diversity must be 0, since candidates of a diffusion run are drawn from "
                f"noise, but are {self.temperature} and {self.diversity}"
            )
        if not 1 <= self.steps <= 1000:
            raise ValueError(f"steps must be in 1..1000, but is {self.steps}")
        if self.guidance < 0:
            raise ValueError(f"guidance must be at least 0, but is {self.guidance}")
        # Without noise all draws would be one sentence.
        if self.noise <= 0:
            raise ValueError(f"noise must be above 0, but is {self.noise}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, but is {self.seed}")


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """Settings of ``fla tune --decoder diffusion``."""

    quantise: Quantise = "none"
    """Format of the frozen language model's linear layers."""
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    """Projector of each stream, from features to the width of the denoiser."""
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    training: FeatureTraining = field(
        default_factory=lambda: FeatureTraining(
            epochs=200, batch_clips=64, batch_tokens=16384, learning_rate=2e-4, weight_decay=1e-6,
            warmup_share=0.05, ema_decay=0.999, evaluate_every_epochs=10, evaluate_from_epoch=50,
        )
    )  # fmt: skip
    """Training of the denoiser. The tokens of a batch are projected features and latents."""
    decoding: DiffusionDecoding = field(default_factory=lambda: DiffusionDecoding(num_beams=4))
    seed: int = 42
    """Seed of new weights, dropout, noise in training, views and the order of batches."""


def _check_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ConfigError(f"'{name}' must be at least 0 and below 1, but is {value}.")
