"""Frames of clips, as the encoder of a run receives them: thinned, resized and cropped."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..core.config import config_from_dict
from ..core.errors import DataError, FlaError
from ..core.sample import Sample, Unreadable
from ..corpora.manifest import Manifest
from ..encoder.config import EncoderConfig
from ..pretrain.config import PretrainConfig
from ..pretrain.data import EvaluationClips, TrainingClips
from ..pretrain.frames import FrameStore
from ..pretrain.run_files import TRANSLATOR
from ..pretrain.tokenizer import load_tokenizer
from .pictures import evenly_spaced, frame_uri
from .read_run import RunRecord

FRAMES = 8
"""Frames of a strip."""
EPOCHS = 3
"""Epochs whose augmentation is shown."""
PICTURE_SETTINGS = ("resize_size", "image_size", "fit", "sampling")
"""Settings of frames in the record of a cache, named as in :class:`EncoderConfig`."""


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Frames of a clip as the encoder sees them, in an evaluation or in training."""

    caption: str
    frames: list[str]
    """Data URIs, in the order of time."""
    steps: int
    """Number of frames that the encoder receives."""


@dataclass(frozen=True, kw_only=True)
class SeenClip:
    """A training clip as the encoder of stage one receives it, in evaluation and in training."""

    run: str
    id: str
    image_size: int
    strips: list[Strip]
    fault: str | None = None
    """Reason why there are no frames."""


def seen_clip(run: RunRecord, manifest: Manifest, config: PretrainConfig) -> SeenClip | None:
    """Return the first training clip, as cropped in evaluation and as augmented in the first epochs.

    Args:
        run: a stage-one run.
        manifest: the clips. None is returned where it has no training clip.
        config: settings of the run.
    """
    # One clip is enough to see crop, colours and augmentation, and keeps the page small.
    samples = manifest.split("train")[:1]
    if not samples:
        return None
    sample, size = samples[0], config.encoder.image_size
    try:
        return SeenClip(
            run=run.name, id=sample.id, image_size=size, strips=list(_strips(run, manifest, sample, config))
        )
    except FlaError as error:
        fault = str(error).split("\n")[0]
    return SeenClip(run=run.name, id=sample.id, image_size=size, strips=[], fault=fault)


def _strips(run: RunRecord, manifest: Manifest, sample: Sample, config: PretrainConfig) -> Iterator[Strip]:
    store = FrameStore(manifest, config.encoder)
    yield _strip(
        evaluation_frames(manifest, sample, config.encoder, store=store), "In evaluation: centre crop"
    )
    clips = TrainingClips(
        [sample], store=store, tokenizer=load_tokenizer(run.folder / TRANSLATOR), config=config
    )
    for epoch in range(EPOCHS):
        yield _strip(_frames(clips.get(0, epoch)), f"In training, epoch {epoch + 1}: augmented")


def evaluation_frames(
    manifest: Manifest, sample: Sample, config: EncoderConfig, *, store: FrameStore | None = None
) -> torch.Tensor:
    """Return the frames (T, 3, S, S) uint8 that an encoder receives in evaluation and extraction.

    Raises:
        DataError: the clip cannot be read.
    """
    if config.kind == "poses":
        raise DataError("An encoder of poses receives key points, and no pictures.")
    store = store or FrameStore(manifest, config)
    return _frames(EvaluationClips([sample], store=store, image_size=config.image_size).get(0, 0))


def extraction_config(stream: Mapping[str, Any]) -> EncoderConfig:
    """Return the settings of the pictures behind the features of a stage-two run.

    Args:
        stream: a stream of ``run.json``. What its record lacks, as after an import, gets the default.
    """
    made_by = stream.get("made_by") or [{}]
    seen = made_by[0].get("preprocessing", {})
    known: dict[str, Any] = {name: seen[name] for name in PICTURE_SETTINGS if name in seen}
    if "poses" in seen:
        known["kind"] = "poses"
    return config_from_dict(EncoderConfig, known, origin="run.json")


def thumbnails(frames: torch.Tensor) -> list[str]:
    """Return data URIs of a few frames (T, 3, S, S) uint8, at equal distances in time."""
    # Equal distances: the strip stands above the attention, which has the same axis.
    chosen = evenly_spaced(FRAMES, of=len(frames))
    return [frame_uri(frame) for frame in frames[chosen].permute(0, 2, 3, 1).contiguous().numpy()]


def _strip(frames: torch.Tensor, caption: str) -> Strip:
    return Strip(caption=caption, frames=thumbnails(frames), steps=len(frames))


def _frames(item: dict[str, Any] | Unreadable) -> torch.Tensor:
    if isinstance(item, Unreadable):
        raise DataError(item.reason)
    return item["frames"]
