"""Translation of videos, one sentence or fault for each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.errors import DataError
from ..core.progress import progress
from ..core.sample import Source
from ..encoder.encode import encode
from ..encoder.frozen import FrozenEncoder
from ..poses.reading import list_pose_files
from ..video import Clip, list_clips
from ..video.segments import SegmentConfig
from .clip_files import ClipReader
from .feature_recipe import FeatureRecipe
from .subtitles import Cue
from .translator import Translator


@dataclass(frozen=True, kw_only=True)
class Translation:
    """Sentence of a video, or of a segment of a video, or the fault."""

    video: Path
    start_seconds: float | None = None
    """Start of the segment. None: the whole video."""
    end_seconds: float | None = None
    """End of the segment. None: the whole video."""
    text: str = ""
    """Sentence. Empty if there is a fault."""
    fault: str | None = None

    @property
    def cue(self) -> Cue:
        """The sentence of a segment as a subtitle."""
        assert self.start_seconds is not None, "a whole video has no times"
        assert self.end_seconds is not None, "a segment has both times"
        return Cue(start_seconds=self.start_seconds, end_seconds=self.end_seconds, text=self.text)

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        times = {"start_seconds": self.start_seconds, "end_seconds": self.end_seconds}
        known = {name: value for name, value in times.items() if value is not None}
        return {"video": str(self.video), **known, "translation": self.text}


def translate(
    videos: Sequence[Path], *, translator: Translator, segments: SegmentConfig | None = None
) -> list[Translation]:
    """Translate videos without a manifest.

    The result has one entry per video, or per segment of a video, in the given order. A fault in a video or a
    segment does not stop the others. Memory does not grow with the length of a video.

    Args:
        videos: video files, folders of frames, or folders with several clips. For an encoder of poses pose
            files, or folders of pose files.
        translator: encoder and model.
        segments: division of each video into segments. None: a video is one clip.
    """
    clips, faults = _inputs(videos, translator.encoder.config.medium)
    read = ClipReader(translator.encoder.config, translator.recipe)
    if segments is not None:
        clips, faults = _divided(clips, faults, read, segments)
    sentences: dict[int, str] = {}
    found = encode_videos(
        translator.encoder,
        clips,
        recipe=translator.recipe,
        device=translator.device,
        faults=faults,
        read=read,
    )
    unit = "videos" if segments is None else "segments"
    for number, features in progress(found, desc="translating", total=len(clips), unit=unit):
        try:
            [sentences[number]] = translator.sentences([features], names=[str(clips[number].path)])
        # A video may have more steps than the language model has positions.
        except DataError as error:
            faults[number] = str(error)
    return [
        Translation(
            video=clip.path, start_seconds=clip.start_seconds, end_seconds=clip.end_seconds,
            text=sentences.get(number, ""), fault=_named(clip, faults.get(number)),
        )
        for number, clip in enumerate(clips)
    ]  # fmt: skip


def encode_videos(
    encoder: FrozenEncoder,
    clips: Sequence[Clip],
    *,
    recipe: FeatureRecipe,
    device: torch.device,
    faults: dict[int, str],
    read: ClipReader | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number and the features (T, F), float16, of each readable video in order.

    Args:
        encoder: the frozen encoder.
        clips: video files or folders of frames, or pose files for an encoder of poses, or parts of these.
        recipe: choice of frames, and settings of the encoder.
        device: device of the computation.
        faults: number of a video -> fault. These videos are skipped, and new faults are added.
        read: reader of the clips. None: a new reader.
    """
    read = read or ClipReader(encoder.config, recipe)
    begin = 0

    def first_open() -> int:
        """Return the number of the next video without a fault."""
        # Not counted while reading: the reader runs ahead of the encoder.
        return next(number for number in range(begin, len(clips)) if number not in faults)

    while begin < len(clips):
        readable = _readable(clips, read, faults, begin=begin)
        encoded = encode(
            encoder, readable, frame_batch=recipe.frame_batch, level=recipe.level, device=device,
            dtype=recipe.dtype,
        )  # fmt: skip
        try:
            for _, features in encoded:
                number = first_open()
                yield number, features
                begin = number + 1
            return
        except DataError as error:  # float16 cannot hold the features: the next videos are encoded again
            number = first_open()
            faults[number] = str(error)
            begin = number + 1


def _readable(
    clips: Sequence[Clip], read: ClipReader, faults: dict[int, str], *, begin: int
) -> Iterator[tuple[Path, np.ndarray]]:
    for number in range(begin, len(clips)):
        if number in faults:
            continue
        try:
            frames = read(clips[number])
        # The fault is reported with the results. The encoder goes on with the next video.
        except DataError as error:
            faults[number] = str(error)
            continue
        yield clips[number].path, frames


def _inputs(given: Sequence[Path], medium: Source) -> tuple[list[Clip], dict[int, str]]:
    """Return all clips in the given paths, and the faults of folders without clips."""
    clips: list[Clip] = []
    faults: dict[int, str] = {}
    for path in given:
        try:
            found = list_pose_files(path) if medium == "poses" else list_clips(path)
        except DataError as error:
            faults[len(clips)] = str(error)
            found = [path]
        clips += [Clip(path=each) for each in found]
    return clips, faults


def _divided(
    clips: Sequence[Clip], known: dict[int, str], read: ClipReader, how: SegmentConfig
) -> tuple[list[Clip], dict[int, str]]:
    """Return the segments of clips, and the faults. A clip with a fault stays whole."""
    found: list[Clip] = []
    faults: dict[int, str] = {}
    for number, clip in enumerate(progress(clips, desc="dividing", total=len(clips), unit="videos")):
        try:
            segments = [clip] if number in known else read.segments(clip.path, how)
        except DataError as error:
            faults[len(found)], segments = str(error), [clip]
        if number in known:
            faults[len(found)] = known[number]
        found += segments
    return found, faults


def _named(clip: Clip, fault: str | None) -> str | None:
    if fault is None:
        return None
    # Errors of decoding name the file already, others only the clip.
    named = fault if str(clip.path) in fault else f"{clip.path}: {fault}"
    if not clip.is_cut:
        return named
    return f"segment {clip.start_seconds:.2f} to {clip.end_seconds:.2f} s: {named}"
