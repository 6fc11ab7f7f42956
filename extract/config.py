"""Settings of an extraction."""

from dataclasses import dataclass, replace
from typing import Literal

from ..core.device import Precision, available_cores
from ..core.errors import ConfigError
from ..core.sample import Source
from ..encoder.config import EncoderConfig, PoseConfig
from ..encoder.hand_crops import HandsConfig
from ..poses.normalise import Normalisation
from ..video.augmentation import AugmentConfig
from ..video.sampling import FrameSampling

FRAME_BATCH = 32
"""Frame batch on a CPU, where a larger one gains nothing."""


@dataclass(frozen=True, kw_only=True)
class TimmConfig:
    """Settings of a backbone given as ``timm:NAME``."""

    pretrained: bool = True
    """Use timm's weights (fetched when not on disk) instead of random weights."""
    weights: str | None = None
    """Use these weights: a .safetensors file, or a directory with the layout of timm's models on the hub."""
    image_size: int | None = None
    """Side of the input in pixels. None: the side in the backbone's training."""
    pool: str = "avg"
    """``avg`` (as timm), ``token`` (class token), ``mean`` (of patches or map cells), or ``grid-N``."""
    scales: tuple[int, ...] = (1,)
    """Scales of a frame, as multiples of ``image_size``, each in tiles. The features are concatenated."""
    frame_stride: int = 4
    """Distance between sampled frames."""
    max_frames: int = 300
    """Largest number of sampled frames. A longer clip is sampled evenly."""

    def __post_init__(self) -> None:
        if self.weights is not None and not self.pretrained:
            raise ConfigError("pretrained must be true where weights are named, but is false.")

    @property
    def sampling(self) -> FrameSampling:
        """Sampling of frames."""
        return FrameSampling(stride=self.frame_stride, max_frames=self.max_frames)


@dataclass(frozen=True, kw_only=True)
class HfVideoConfig:
    """Settings of a clip encoder given as ``hf-video:NAME``."""

    window_stride: int | None = None
    """Sampled frames from the beginning of one window to the next. None: half a window."""
    pool: Literal["mean", "token"] = "mean"
    """``mean``: mean over the tokens of a window, without the class token, ``token``: class token."""
    frame_stride: int = 1
    """Distance between sampled frames."""
    max_frames: int = 1000
    """Largest number of sampled frames. A longer clip is sampled evenly, and a window spans more time."""
    fetch: bool = True
    """Fetch missing files from the hub instead of using the disk alone."""

    @property
    def sampling(self) -> FrameSampling:
        """Sampling of frames."""
        return FrameSampling(stride=self.frame_stride, max_frames=self.max_frames)


@dataclass(frozen=True, kw_only=True)
class PosesConfig:
    """Settings of key points without training, given as ``--encoder poses``."""

    normalisation: Normalisation = "uni-sign"
    """``uni-sign``: x and y as shares of width and height, as published, ``isotropic``: by the same unit."""
    threshold: float = 0.3
    """Points with this score or less are missing."""
    frame_stride: int = 1
    """Distance between sampled frames."""
    max_frames: int = 256
    """Largest number of sampled frames. A longer clip is sampled evenly."""

    @property
    def encoder(self) -> EncoderConfig:
        """Settings of the encoder."""
        return EncoderConfig(
            kind="poses",
            temporal=False,
            sampling=FrameSampling(stride=self.frame_stride, max_frames=self.max_frames),
            poses=PoseConfig(normalisation=self.normalisation, threshold=self.threshold),
        )


@dataclass(frozen=True, kw_only=True)
class HfTextConfig:
    """Settings of a text encoder given as ``hf-text:NAME``."""

    pool: Literal["cls", "mean"] = "cls"
    """``cls``: vector of the class token, as in MMSLT, ``mean``: mean over the tokens."""
    max_tokens: int = 512
    """Largest number of tokens of a description. The end of a longer one is cut off."""
    frame_stride: int | None = None
    """Distance between frames, a multiple of that of the descriptions. None: every described frame."""
    max_frames: int = 300
    """Largest number of frames. A longer clip is sampled evenly."""
    fetch: bool = True
    """Fetch missing files from the hub instead of using the disk alone."""

    def __post_init__(self) -> None:
        for name in ("max_tokens", "frame_stride", "max_frames"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigError(f"hf_text.{name} must be at least 1, but is {value}.")


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """Settings of an extraction."""

    level: Literal["sign", "frame"] | None = None
    """``sign``: features after the temporal module, ``frame``: before. None: the highest of the encoder."""
    frame_batch: int | None = None
    """Frames in a batch of the encoder, which decide the last bits of a feature. None: the frame batch of the
    cache if there is one, else the fastest on CUDA (by a search before the first clip), 32 elsewhere."""
    precision: Precision = "auto"
    """Number format of the computation. ``auto``: bf16 where bf16 is faster, else fp32."""
    phase: int = 0
    """First sampled frame of each clip, below the encoder's ``sampling.stride``."""
    workers: int | None = None
    """Number of processes for decoding. 0: decode in the encoding process. None: one per core, at most 16."""
    threads: int | None = None
    """CPU threads of the encoder, which decide the last bits of a feature. None: the number in the journal of
    the shard, else OMP_NUM_THREADS, else one per core."""
    compile: bool = False
    """Compile the encoder: faster after a minute on some GPUs. The last bits may differ."""
    fps: float | None = None
    """Sample by target frame rate, by the timestamps of each clip, instead of by the encoder's stride."""
    keep_partial: bool = False
    """Keep the frames before the first decoding error of a damaged video, instead of rejecting the video."""
    timm: TimmConfig = TimmConfig()
    """Settings for ``--encoder timm:NAME``."""
    hf_video: HfVideoConfig = HfVideoConfig()
    """Settings for ``--encoder hf-video:NAME``."""
    poses: PosesConfig = PosesConfig()
    """Settings for ``--encoder poses``."""
    hf_text: HfTextConfig = HfTextConfig()
    """Settings for ``--encoder hf-text:NAME``."""
    crop: Literal["none", "hands"] = "none"
    """``hands``: encode crops of both hands, around the key points of pose files, in place of pictures."""
    hands: HandsConfig = HandsConfig()
    """Settings for ``crop: hands``."""
    views: int = 0
    """Number of augmented passes over each training video, besides the clean pass."""
    augment: AugmentConfig = AugmentConfig()
    """Limits of the augmentation of a view."""
    seed: int = 0
    """Seed of the views, of the frames drawn by ``hands.share``, and of the random weights of a timm backbone
    without pretraining."""

    def __post_init__(self) -> None:
        for name in ("frame_batch", "threads"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, but is {value}.")
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise ConfigError(f"fps must be a number above 0, but is {self.fps}.")
        if self.phase < 0:
            raise ConfigError(f"phase must be 0 or more, but is {self.phase}.")
        if self.views < 0:
            raise ConfigError(f"views must be 0 or more, but is {self.views}.")
        if self.crop == "hands" and (self.views or self.keep_partial):
            raise ConfigError(
                "views must be 0 and keep_partial false where crop is hands, but are "
                f"{self.views} and {str(self.keep_partial).lower()}."
            )
        if self.workers is not None and self.workers < 0:
            raise ConfigError(f"workers must be 0 or more, but is {self.workers}.")

    def check_medium(self, medium: Source) -> None:
        """Refuse settings that have no meaning for an encoder of poses or descriptions.

        Raises:
            ConfigError: a setting for videos has another value than its default.
        """
        videos_alone = {
            "video": (),
            "poses": ("frame_batch", "compile", "keep_partial", "views"),
            # The frames were chosen when they were described.
            "descriptions": ("compile", "keep_partial", "views", "phase", "fps"),
        }
        plain = ExtractConfig()
        for name in videos_alone[medium]:
            if getattr(self, name) != getattr(plain, name):
                raise ConfigError(
                    f"{name} must be {getattr(plain, name)} for an encoder of {medium}, but is "
                    f"{getattr(self, name)}."
                )

    def sampling(self, own: FrameSampling) -> FrameSampling:
        """Return the sampling of frames, for an encoder with the sampling ``own``."""
        return own if self.fps is None else replace(own, fps=self.fps)

    @property
    def num_workers(self) -> int:
        """Number of processes for decoding."""
        # At most 16: on a large machine each process holds decoded clips in memory.
        return min(available_cores(), 16) if self.workers is None else self.workers
