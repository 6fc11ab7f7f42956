"""Settings of an extraction."""

from dataclasses import dataclass, replace
from typing import Literal

from ..core.device import Precision
from ..core.errors import ConfigError
from ..video.augmentation import AugmentConfig
from ..video.sampling import FrameSampling
from .threads import available_cores, default_threads

FRAME_BATCH = 32
"""Frames the backbone sees at a time where nothing else is said and nothing is gained by more: on a CPU."""


@dataclass(frozen=True, kw_only=True)
class TimmConfig:
    """How a backbone given as ``timm:NAME`` is made."""

    pretrained: bool = True
    """Take timm's weights, fetched when not on disk; else random ones."""
    weights: str | None = None
    """Take these instead: a .safetensors file, or a directory as timm's models have it on the hub."""
    image_size: int | None = None
    """Pixels of a side it sees; None: those it was trained at."""
    pool: str = "avg"
    """``avg``: as timm pools; ``token``: the class token; ``mean``: over patches or map cells; ``grid-N``."""
    scales: tuple[int, ...] = (1,)
    """Multiples of ``image_size`` a frame is seen at, in tiles; their features are joined."""
    frame_stride: int = 4
    """Every so many-th frame is looked at."""
    max_frames: int = 300
    """Of a clip with more such frames an even subset of so many."""

    def __post_init__(self) -> None:
        if self.weights is not None and not self.pretrained:
            raise ConfigError("pretrained must be true where weights are named, but is false.")

    @property
    def sampling(self) -> FrameSampling:
        """Which frames are looked at."""
        return FrameSampling(stride=self.frame_stride, max_frames=self.max_frames)


@dataclass(frozen=True, kw_only=True)
class HfVideoConfig:
    """How a clip encoder given as ``hf-video:NAME`` is made."""

    window_stride: int | None = None
    """Looked-at frames from one window's beginning to the next one's; None: half a window."""
    pool: Literal["mean", "token"] = "mean"
    """``mean``: over a window's tokens but the class token; ``token``: the class token."""
    frame_stride: int = 1
    """Every so many-th frame is looked at."""
    max_frames: int = 1000
    """Of a clip with more such frames an even subset of so many: windows then span more time."""
    fetch: bool = True
    """Fetch by its id what is not on disk; else only look there."""

    @property
    def sampling(self) -> FrameSampling:
        """Which frames are looked at."""
        return FrameSampling(stride=self.frame_stride, max_frames=self.max_frames)


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """How the frozen encoder is run over the videos."""

    level: Literal["sign", "frame"] | None = None
    """Features after the temporal module or before it; None: after it, where the encoder has one."""
    frame_batch: int | None = None
    """Frames the backbone sees at a time, part of what decides the last bits of a feature; None: as the cache
    has it already, else the fastest on CUDA (tried before the first clip), 32 elsewhere."""
    precision: Precision = "auto"
    """Number format to compute in; auto: bf16 where it is quicker, else fp32."""
    phase: int = 0
    """The first frame kept of each clip, below the encoder's ``sampling.stride``."""
    workers: int | None = None
    """Processes that decode; 0: none besides the one that encodes; None: one a core, at most 16."""
    threads: int | None = None
    """Threads the encoder computes with on a CPU, part of what decides the last bits of a feature; None: as
    the shard was begun with, else what OMP_NUM_THREADS says, else one a core."""
    compile: bool = False
    """Let torch compile the encoder: quicker after a minute on some GPUs; last bits may differ."""
    fps: float | None = None
    """Look at so many frames a second by each clip's own clock, instead of as the encoder samples."""
    keep_partial: bool = False
    """Of a damaged video take the frames before its fault, instead of leaving it out."""
    timm: TimmConfig = TimmConfig()
    """For ``--encoder timm:NAME`` alone."""
    hf_video: HfVideoConfig = HfVideoConfig()
    """For ``--encoder hf-video:NAME`` alone."""
    views: int = 0
    """Augmented passes of each training video that are kept besides the clean one."""
    augment: AugmentConfig = AugmentConfig()
    """How far a view may be moved and its light changed."""
    seed: int = 0
    """Draws the views, and the random weights of a timm backbone that is not pretrained."""

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
        if self.workers is not None and self.workers < 0:
            raise ConfigError(f"workers must be 0 or more, but is {self.workers}.")

    def sampling(self, own: FrameSampling) -> FrameSampling:
        """Return which frames are looked at, where the encoder itself would look at ``own``."""
        return own if self.fps is None else replace(own, fps=self.fps)

    @property
    def num_workers(self) -> int:
        """The number of processes that decode."""
        return min(available_cores(), 16) if self.workers is None else self.workers

    @property
    def num_threads(self) -> int:
        """The number of threads the encoder computes with on a CPU."""
        return self.threads or default_threads()
