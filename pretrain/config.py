"""Settings of stage one. Presets lie in configs/."""

from dataclasses import dataclass, field, replace
from typing import Literal

from ..core.errors import ConfigError
from ..encoder.config import EncoderConfig
from ..poses.augmentation import PoseAugmentConfig
from ..training.config import DecodingConfig, TrainingConfig
from ..video.augmentation import AugmentConfig


@dataclass(frozen=True, kw_only=True)
class TranslatorConfig:
    """Light translation model on top of the encoder, with the sizes of the paper (section 4.2, "Base")."""

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
    """Dropout of the translator. The paper gives no value."""
    label_smoothing: float = 0.2
    """Share of the target probability, spread over the vocabulary."""
    positions: int = 512
    """Maximum number of time steps of a clip, and of tokens of a sentence."""

    def __post_init__(self) -> None:
        """Refuse a width that is no multiple of the heads, and shares out of range."""
        if self.hidden_size % self.heads:
            raise ConfigError(f"hidden_size ({self.hidden_size}) must be a multiple of heads ({self.heads}).")
        for name in ("dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 0 and below 1, but is {getattr(self, name)}.")


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """Tokenizer of the sentences."""

    kind: Literal["bpe", "unigram"] = "bpe"
    """Algorithm for learning subwords from the training sentences. Every character seen is a token too."""
    vocab_size: int = 4000
    """Maximum number of tokens. Few sentences give fewer tokens."""
    llm: str | None = None
    """Language model (id or directory) whose tokens replace learned subwords, as in the paper. Only the
    tokens of the training sentences are kept."""


@dataclass(frozen=True, kw_only=True)
class PretrainTraining(TrainingConfig):
    """Training of stage one."""

    batch_steps: int
    """Maximum number of frames in a batch after thinning: clips times the longest clip."""
    frame_chunk: int | None = None
    """Frames that the backbone computes at a time. Memory then no longer grows with the frames of a batch.
    The backward pass computes the frames again, and BatchNorm sees a chunk. None: all frames at once."""
    compile: bool = False
    """Compile the backbone with torch.compile. Faster after some minutes on some GPUs. Last bits differ."""
    total_clips: int | None = None
    """Maximum number of clips of a step of the optimiser, over all processes. Replaces ``accumulate`` by
    total_clips / (processes x batch_clips). None: ``accumulate`` decides."""
    sync_batchnorm: bool = False
    """Under torchrun with several GPUs: BatchNorm takes the statistics of the batches of all processes."""
    at_least_one = (*TrainingConfig.at_least_one, "batch_steps", "frame_chunk", "total_clips")

    def __post_init__(self) -> None:
        """Refuse values out of range, and synchronised statistics of chunks."""
        super().__post_init__()
        # A process with fewer chunks would leave the others waiting for its statistics for ever.
        if self.sync_batchnorm and self.frame_chunk is not None:
            raise ValueError("sync_batchnorm must be false with frame_chunk, but is true")

    def for_processes(self, processes: int) -> "PretrainTraining":
        """Return the same settings with ``accumulate`` by ``total_clips``.

        Raises:
            ConfigError: ``total_clips`` is no multiple of the clips that all processes take at a time.
        """
        if self.total_clips is None:
            return self
        accumulate, rest = divmod(self.total_clips, processes * self.batch_clips)
        if rest or not accumulate:
            raise ConfigError(
                f"training.total_clips must be a multiple of {processes * self.batch_clips} ({processes} "
                f"processes x training.batch_clips {self.batch_clips}), but is {self.total_clips}.\n"
                "Set training.batch_clips or training.total_clips to fit, or start other processes."
            )
        return replace(self, accumulate=accumulate)


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """All settings of ``fla pretrain`` besides the manifest."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    translator: TranslatorConfig = field(default_factory=TranslatorConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    augment_poses: PoseAugmentConfig = field(default_factory=PoseAugmentConfig)
    """Augmentation of key points, with ``encoder.kind=poses``."""
    drop_frames: float = 0.0
    """Largest share of the frames of a training clip that is left out at random, below 1. Slow signing then
    also looks fast. 0: none. Stochastic frame dropping leaves out a fixed share (Niu and Mak 2020)."""
    training: PretrainTraining = field(
        default_factory=lambda: PretrainTraining(
            epochs=75, batch_clips=8, batch_steps=600, learning_rate=3e-4,
            weight_decay=0.01, warmup_share=0.05,
        )
    )  # fmt: skip
    backbone_lr_scale: float = 1.0
    """Factor of the backbone's learning rate. Below 1 the backbone stays closer to the initial weights."""
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    keep_frames_gib: float = 4.0
    """Memory for decoded frames in each process, GiB. Further clips are decoded again in every epoch."""
    seed: int = 42
    """Seed of initial weights, augmentation, frame phases and the order of batches."""

    def __post_init__(self) -> None:
        """Refuse an encoder without temporal module, too many frames, and diverse beam search."""
        # Without the temporal module, nothing in the encoder joins frames to signs.
        if not self.encoder.temporal:
            raise ConfigError("encoder.temporal must be true: stage one trains the temporal module.")
        if self.encoder.sampling.max_frames > self.translator.positions:
            raise ConfigError(
                f"encoder.sampling.max_frames ({self.encoder.sampling.max_frames}) must be at most "
                f"translator.positions ({self.translator.positions})."
            )
        if not 0 <= self.drop_frames < 1:
            raise ConfigError(f"drop_frames must be at least 0 and below 1, but is {self.drop_frames}.")
        self._check_poses()
        check_search(self.decoding)

    def _check_poses(self) -> None:
        """Refuse settings of a backbone over single frames, which key points do not have."""
        chunk, is_compiled = self.training.frame_chunk, self.training.compile
        if self.encoder.kind == "poses" and (chunk is not None or is_compiled):
            raise ConfigError(
                "training.frame_chunk must be null and training.compile false for encoder.kind=poses, but "
                f"they are {chunk} and {str(is_compiled).lower()}: key points have no backbone."
            )


def check_search(decoding: DecodingConfig) -> None:
    """Refuse diverse beam search and sampling, which stage one does not have.

    Raises:
        ConfigError: ``diversity`` or ``temperature`` is above 0.
    """
    for name in ("diversity", "temperature"):
        if value := getattr(decoding, name):
            raise ConfigError(
                f"decoding.{name} must be 0 in stage one, but is {value}.\n"
                "Only a run of fla tune can search for diverse translations."
            )
