"""Translation of videos, one sentence or fault for each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..core.errors import DataError
from ..core.progress import progress
from ..core.sample import Medium
from ..encoder.encode import encode
from ..encoder.store import TrainableEncoder
from ..poses.reading import list_pose_files
from ..video import list_clips
from .clip_files import read_clip
from .feature_recipe import FeatureRecipe
from .translator import Translator


@dataclass(frozen=True, kw_only=True)
class Translation:
    """Sentence of a video, or the fault of the video."""

    video: Path
    text: str = ""
    """Sentence. Empty if there is a fault."""
    fault: str | None = None


def translate(videos: Sequence[Path], *, translator: Translator) -> list[Translation]:
    """Translate videos without a manifest.

    The result has one entry per video, in the given order. A fault in a video does not stop the other videos.

    Args:
        videos: video files, folders of frames, or folders with several clips. For an encoder of poses pose
            files, or folders of pose files.
        translator: encoder and model.
    """
    paths, faults = _inputs(videos, translator.encoder.config.medium)
    sentences: dict[int, str] = {}
    found = encode_videos(
        translator.encoder, paths, recipe=translator.recipe, device=translator.device, faults=faults
    )
    for number, features in progress(found, desc="translating", total=len(paths), unit="videos"):
        try:
            [sentences[number]] = translator.sentences([features], names=[str(paths[number])])
        # A video may have more steps than the language model has positions.
        except DataError as error:
            faults[number] = str(error)
    return [
        Translation(video=path, text=sentences.get(number, ""), fault=_named(path, faults.get(number)))
        for number, path in enumerate(paths)
    ]


def encode_videos(
    encoder: TrainableEncoder,
    videos: Sequence[Path],
    *,
    recipe: FeatureRecipe,
    device: torch.device,
    faults: dict[int, str],
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number and the features (T, F), float16, of each readable video in order.

    Args:
        encoder: the frozen encoder.
        videos: video files or folders of frames, or pose files for an encoder of poses.
        recipe: choice of frames, and settings of the encoder.
        device: device of the computation.
        faults: number of a video -> fault. These videos are skipped, and new faults are added.
    """
    begin = 0

    def first_open() -> int:
        """Return the number of the next video without a fault."""
        # Not counted while reading: the reader runs ahead of the encoder.
        return next(number for number in range(begin, len(videos)) if number not in faults)

    while begin < len(videos):
        clips = _readable(encoder, videos, recipe, faults, begin=begin)
        encoded = encode(
            encoder, clips, frame_batch=recipe.frame_batch, level=recipe.level, device=device,
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
    encoder: TrainableEncoder,
    videos: Sequence[Path],
    recipe: FeatureRecipe,
    faults: dict[int, str],
    *,
    begin: int,
) -> Iterator[tuple[Path, np.ndarray]]:
    for number in range(begin, len(videos)):
        if number in faults:
            continue
        try:
            frames = read_clip(videos[number], encoder.config, recipe)
        # The fault is reported with the results. The encoder goes on with the next video.
        except DataError as error:
            faults[number] = str(error)
            continue
        yield videos[number], frames


def _inputs(given: Sequence[Path], medium: Medium) -> tuple[list[Path], dict[int, str]]:
    """Return all clips in the given paths, and the faults of folders without clips."""
    paths: list[Path] = []
    faults: dict[int, str] = {}
    for path in given:
        try:
            paths += list_clips(path) if medium == "video" else list_pose_files(path)
        except DataError as error:
            faults[len(paths)] = str(error)
            paths.append(path)
    return paths, faults


def _named(path: Path, fault: str | None) -> str | None:
    # Errors of decoding name the file already, others only the clip.
    return fault if fault is None or str(path) in fault else f"{path}: {fault}"
