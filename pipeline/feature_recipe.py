"""Recipe of features: choice of frames, level and batches, as recorded in a tuned run."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from ..core.config import config_from_dict
from ..core.device import resolve_dtype
from ..core.errors import CacheError
from ..encoder.encode import Level
from ..encoder.frozen import FrozenEncoder
from ..extract.config import FRAME_BATCH, ExtractConfig
from ..finetune.streams import StreamRecord
from ..poses.detector import PoseDetector
from ..video.sampling import FrameSampling

logger = logging.getLogger(__name__)

PICTURES = ("resize_size", "image_size", "fit", "mean", "std")
"""Settings of pictures in the record of a cache. The encoder has the same settings."""
LEVELS = ("sign", "frame")


@dataclass(frozen=True, kw_only=True)
class FeatureRecipe:
    """Recipe that turns videos into features."""

    sampling: FrameSampling
    """Choice of frames."""
    phase: int = 0
    """First kept frame, or the shift of the times for a target frame rate."""
    level: Level = "sign"
    frame_batch: int = FRAME_BATCH
    dtype: torch.dtype
    """Number format of the computation."""
    keep_partial: bool = False
    """Whether to keep the frames before the first decoding error."""
    detectors: tuple[PoseDetector, ...] = ()
    """Known detectors of the key points in training. Empty: pictures, or unknown."""


def recipe_of(
    run: Path, stream: StreamRecord, *, encoder: FrozenEncoder, device: torch.device
) -> FeatureRecipe:
    """Return the recipe of the features of ``stream``, for this encoder and device.

    A run without a record of its features gets the settings of the encoder.

    Raises:
        CacheError: the features were made by several recipes, or by one that the encoder cannot follow.
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
    if "copies" in seen:
        logger.warning(
            f"{run} was tuned on features of small copies (fla shrink, {seen['copies']['size']} pixels), but "
            "videos are read in their own size: translations may differ slightly from those of a copy."
        )
    # On the same kind of device, the number format and frame batch of the cache give features that are
    # equal to the last bit. On another kind features differ anyway: the defaults for this device apply.
    same_kind = made["device_kind"] == device.type
    return FeatureRecipe(
        sampling=_sampling(run, seen, plain.sampling),
        phase=seen.get("phase", 0),
        level=cast(Level, made["level"]),
        frame_batch=made["frame_batch"] if same_kind else plain.frame_batch,
        dtype=getattr(torch, made["compute_dtype"]) if same_kind else plain.dtype,
        keep_partial=seen.get("keep_partial", False),
        detectors=tuple(stream.detectors),
    )


def _sampling(run: Path, seen: dict[str, Any], own: FrameSampling) -> FrameSampling:
    # A cache that was imported from other code may have no record of the frames.
    if "sampling" not in seen:
        return own
    return config_from_dict(FrameSampling, seen["sampling"], origin=str(run / "run.json"))


def _check_one_way(run: Path, made_by: Sequence[dict[str, Any]]) -> None:
    """Refuse a run whose corpora have different recipes."""
    # A new video belongs to no corpus, so nothing would choose between the recipes.
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
    return {
        "level": made["level"],
        **{name: seen.get(name) for name in (*PICTURES, "poses", "sampling", "phase")},
    }


def _check_level(run: Path, level: str, encoder: FrozenEncoder) -> None:
    # Level "sign" is the output of the temporal module, which a plain picture model lacks.
    if level not in LEVELS or (level == "sign" and encoder.temporal is None):
        raise CacheError(
            f"The encoder must give features of level {level}, as {run} was tuned on, but gives "
            f"{'frame alone' if encoder.temporal is None else ' and '.join(LEVELS)}.\nGive another --ckpt."
        )


def _check_pictures(run: Path, seen: dict[str, Any], encoder: FrozenEncoder) -> None:
    settings = encoder.settings
    for name in PICTURES:
        # The encoder would accept pictures of another size or colour range, and give worse features silently.
        if name in seen and seen[name] != settings[name]:
            raise CacheError(
                f"The encoder must have {name} {seen[name]!r}, as the features {run} was tuned on were made "
                f"with, but has {settings[name]!r}.\nGive another --ckpt."
            )
