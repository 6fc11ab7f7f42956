"""Encoding a video as the features of a run were made: its frames, its level, its batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from ..core.config import config_from_dict
from ..core.device import resolve_dtype
from ..core.errors import CacheError
from ..encoder.encode import Level
from ..encoder.model import VisualEncoder
from ..extract.config import FRAME_BATCH, ExtractConfig
from ..finetune.streams import StreamRecord
from ..video.sampling import FrameSampling

PICTURES = ("resize_size", "image_size", "fit", "mean", "std")
"""What a cache records of how frames became the encoder's; the encoder's own settings say it too."""
LEVELS = ("sign", "frame")


@dataclass(frozen=True, kw_only=True)
class FeatureRecipe:
    """How videos become features."""

    sampling: FrameSampling
    """Which frames are looked at."""
    phase: int = 0
    """The first frame looked at, or the shift of the moments."""
    level: Level = "sign"
    frame_batch: int = FRAME_BATCH
    dtype: torch.dtype
    """What to compute in."""
    keep_partial: bool = False
    """Of a damaged video take the frames before its fault."""


def recipe_of(
    run: Path, stream: StreamRecord, *, encoder: VisualEncoder, device: torch.device
) -> FeatureRecipe:
    """Return how the features of ``stream`` were made, for this encoder and device.

    The number format and the frame batch are those of the cache where it was made on a device of this kind:
    then features are the same to the last bit (on a CPU with as many threads, and unless it was compiled).
    A run that does not say how its features were made gets what the encoder's own settings say.

    Raises:
        CacheError: they were made in several ways, or in one that the encoder cannot reproduce.
    """
    plain = FeatureRecipe(
        sampling=encoder.config.sampling, dtype=resolve_dtype(ExtractConfig().precision, device)
    )
    if not stream.made_by:
        return plain
    made = stream.made_by[0]
    _check_one_way(run, stream.made_by)
    _check_level(run, made["level"], encoder)
    seen: dict[str, Any] = made["preprocessing"]
    _check_pictures(run, seen, encoder)
    same_kind = made["device_kind"] == device.type
    return FeatureRecipe(
        sampling=_sampling(run, seen, plain.sampling),
        phase=seen.get("phase", 0),
        level=cast(Level, made["level"]),
        frame_batch=made["frame_batch"] if same_kind else plain.frame_batch,
        dtype=getattr(torch, made["compute_dtype"]) if same_kind else plain.dtype,
        keep_partial=seen.get("keep_partial", False),
    )


def _sampling(run: Path, seen: dict[str, Any], own: FrameSampling) -> FrameSampling:
    if "sampling" not in seen:
        return own
    return config_from_dict(FrameSampling, seen["sampling"], origin=str(run / "run.json"))


def _check_one_way(run: Path, made_by: Sequence[dict[str, Any]]) -> None:
    """Refuse corpora whose frames were chosen in several ways: a video is of none of them."""
    first = _frames_of(made_by[0])
    for made in made_by[1:]:
        if (other := _frames_of(made)) != first:
            differing = next(name for name in first if first[name] != other[name])
            raise CacheError(
                f"{run} must be tuned on features made in one way to translate videos, but was tuned on "
                f"{differing} {first[differing]!r} and {other[differing]!r}.\n"
                "Extract the videos as one of the caches was made, and run: fla evaluate"
            )


def _frames_of(made: dict[str, Any]) -> dict[str, Any]:
    seen = made["preprocessing"]
    return {"level": made["level"], **{name: seen.get(name) for name in (*PICTURES, "sampling", "phase")}}


def _check_level(run: Path, level: str, encoder: VisualEncoder) -> None:
    if level not in LEVELS or (level == "sign" and encoder.temporal is None):
        raise CacheError(
            f"The encoder must give features of level {level}, as {run} was tuned on, but gives "
            f"{'frame alone' if encoder.temporal is None else ' and '.join(LEVELS)}.\nGive another --ckpt."
        )


def _check_pictures(run: Path, seen: dict[str, Any], encoder: VisualEncoder) -> None:
    settings = encoder.config.settings
    for name in PICTURES:
        if name in seen and seen[name] != settings[name]:
            raise CacheError(
                f"The encoder must have {name} {seen[name]!r}, as the features {run} was tuned on were made "
                f"with, but has {settings[name]!r}.\nGive another --ckpt."
            )
