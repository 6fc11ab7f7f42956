"""Settings of stage one. Presets lie in configs/."""

from dataclasses import dataclass, field
from typing import Literal

from ..core.errors import ConfigError
from ..encoder.config import EncoderConfig
from ..training.config import DecodingConfig, TrainingConfig
from ..video.augmentation import AugmentConfig


@dataclass(frozen=True, kw_only=True)
class TranslatorConfig:
    """The light translation model on top of the encoder; sizes are the paper's (section 4.2, "Base")."""

    encoder_layers: int = 3
    """Transformer layers of the encoder."""
    decoder_layers: int = 3
    """Transformer layers of the decoder."""
    heads: int = 8
    """Attention heads of each layer."""
    hidden_size: int = 512
    """Width of the model, and of the adapter's hidden layer."""
    ffn_size: int = 2048
    """Width inside the feed-forward blocks."""
    dropout: float = 0.1
    """The paper names none."""
    label_smoothing: float = 0.2
    """Share of the target spread over the vocabulary."""
    positions: int = 512
    """Time steps of a clip, and tokens of a sentence, at most."""

    def __post_init__(self) -> None:
        """Refuse values that contradict one another."""
        if self.hidden_size % self.heads:
            raise ConfigError(f"hidden_size ({self.hidden_size}) must be a multiple of heads ({self.heads}).")
        for name in ("dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 0 and below 1, but is {getattr(self, name)}.")


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """Which tokens sentences are made of."""

    kind: Literal["bpe", "unigram"] = "bpe"
    """How subwords are learned from the training sentences; every character seen is a token too."""
    vocab_size: int = 4000
    """Tokens, at most; few sentences give fewer."""
    llm: str | None = None
    """Take the tokens of this language model (id or directory) that the training sentences use, as the paper
    does, instead of learning subwords."""


@dataclass(frozen=True, kw_only=True)
class PretrainTraining(TrainingConfig):
    """How stage one is trained."""

    batch_steps: int
    """Frames in a batch after thinning, padding included (clips times the longest clip), at most."""
    at_least_one = (*TrainingConfig.at_least_one, "batch_steps")


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Everything ``fla pretrain`` can be told, besides the manifest."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    translator: TranslatorConfig = field(default_factory=TranslatorConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    training: PretrainTraining = field(
        default_factory=lambda: PretrainTraining(
            epochs=75, batch_clips=8, batch_steps=600, learning_rate=3e-4,
            weight_decay=0.01, warmup_share=0.05,
        )
    )  # fmt: skip
    backbone_lr_scale: float = 1.0
    """Multiplies the backbone's learning rate; below 1 it stays closer to the weights it came with."""
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    keep_frames_gib: float = 4.0
    """Memory for decoded frames, GiB, in each process; clips beyond it are decoded anew in every epoch."""
    seed: int = 42
    """Seed of initial weights, augmentation, frame phases and the order of batches."""

    def __post_init__(self) -> None:
        """Refuse an encoder that the translator cannot follow, and a search that it does not have."""
        if not self.encoder.temporal:
            raise ConfigError("encoder.temporal must be true: stage one trains the temporal module.")
        if self.encoder.sampling.max_frames > self.translator.positions:
            raise ConfigError(
                f"encoder.sampling.max_frames ({self.encoder.sampling.max_frames}) must be at most "
                f"translator.positions ({self.translator.positions})."
            )
        check_search(self.decoding)


def check_search(decoding: DecodingConfig) -> None:
    """Refuse a search that stage one does not have.

    Raises:
        ConfigError: it is a diverse one.
    """
    if decoding.diversity:
        raise ConfigError(
            f"decoding.diversity must be 0 in stage one, but is {decoding.diversity}.\n"
            "Only a run of fla tune is searched for diverse translations."
        )
