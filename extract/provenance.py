"""Provenance of a shard: the record of all choices behind its bytes."""

from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import torch

from ..cache.format import Provenance
from ..core.config import config_to_dict
from ..core.device import resolve_dtype
from ..core.errors import ConfigError
from ..corpora.copies import Copies
from ..encoder.clip_encoder import ClipEncoder
from ..encoder.encode import Level
from ..encoder.frozen import FrozenEncoder
from ..encoder.pose_clips import POSE_VERSION
from ..poses.detector import PoseDetector
from ..video.frames import FRAME_VERSION
from .config import ExtractConfig

_PACKAGES = ("fla-llm", "torch", "timm", "av", "pillow")
"""Packages whose version can change feature values."""
_PREPROCESSING = ("resize_size", "image_size", "fit", "mean", "std")
"""Settings of an encoder for the conversion of pictures to the input."""


def provenance_of(
    encoder: FrozenEncoder,
    *,
    fingerprint: str,
    config: ExtractConfig,
    device: torch.device,
    corpus: str,
    split: str,
    rates: set[float],
    copies: Copies | None = None,
    detector: PoseDetector | None = None,
    descriptions: dict[str, Any] | None = None,
) -> Provenance:
    """Return the provenance of a shard.

    Args:
        encoder: the frozen encoder.
        fingerprint: fingerprint of the encoder.
        config: settings with ``frame_batch`` resolved.
        device: where the encoder computes.
        corpus: name of the corpus.
        split: name of the split.
        rates: frames per second of all clips of the split.
        copies: origin of the videos, if they are small copies.
        detector: detector of the key points, if known.
        descriptions: header of the description files, for a text encoder.

    Raises:
        ModelError: the level is ``sign`` and the encoder has no temporal module.
        ConfigError: the phase is not below the encoder's stride.
    """
    assert config.frame_batch is not None, "settings are resolved first"
    level = level_of(encoder, config)
    if level == "sign":
        encoder.require_temporal()
    stride = encoder.config.sampling.stride
    if config.phase >= stride:
        raise ConfigError(f"phase must be below the encoder's stride ({stride}), but is {config.phase}.")
    settings = encoder.settings
    preprocessing = _preprocessing(settings, encoder, config, descriptions)
    return Provenance(
        encoder_fingerprint=fingerprint,
        encoder_config=settings,
        level=level,
        preprocessing=preprocessing | _origins(encoder, config, copies, detector),
        frame_batch=config.frame_batch,
        compute_dtype=str(resolve_dtype(config.precision, device)).removeprefix("torch."),
        device_kind=device.type,
        corpus=corpus,
        split=split,
        feature_size=encoder.output_size if level == "sign" else encoder.frame_size,
        step_seconds=_step_seconds(encoder, config, rates),
        versions={name: version(name) for name in _packages(encoder)},
    )


def _packages(encoder: FrozenEncoder) -> tuple[str, ...]:
    # Caches of pictures keep the provenance that they had before there were texts.
    return (*_PACKAGES, "transformers") if encoder.config.medium == "descriptions" else _PACKAGES


def level_of(encoder: FrozenEncoder, config: ExtractConfig) -> Level:
    """Return the configured level of features, or the highest that the encoder has."""
    return config.level or ("sign" if encoder.temporal is not None else "frame")


def _preprocessing(
    settings: dict[str, Any],
    encoder: FrozenEncoder,
    config: ExtractConfig,
    descriptions: dict[str, Any] | None,
) -> dict[str, Any]:
    preprocessing: dict[str, Any] = {"phase": config.phase}
    if encoder.config.medium == "poses":
        preprocessing |= {"poses": settings["poses"], "pose_version": POSE_VERSION}
    elif encoder.config.medium == "descriptions":
        preprocessing["descriptions"] = descriptions
    else:
        preprocessing |= {key: settings[key] for key in _PREPROCESSING} | {"frame_version": FRAME_VERSION}
    # The settings name the model by the last part of the id alone. A path would tell where it lay.
    if isinstance(encoder, ClipEncoder) and encoder.hub_id is not None:
        preprocessing["hub_id"] = encoder.hub_id
    preprocessing["sampling"] = config_to_dict(config.sampling(encoder.config.sampling))
    # Options that are off are left out: a cache made before an option existed stays the same.
    preprocessing |= {key: True for key in ("compile", "keep_partial") if getattr(config, key)}
    if config.crop == "hands":
        # With every frame cropped nothing is drawn, and the seed has no influence.
        seed = {"seed": config.seed} if config.hands.share < 1 else {}
        preprocessing["crop"] = {"part": "hands", **config_to_dict(config.hands), **seed}
        # A crop is resized as a whole: these settings of the encoder do not apply.
        preprocessing = {
            key: value for key, value in preprocessing.items() if key not in ("fit", "resize_size")
        }
    if config.views:  # also for splits without views, because the shards of a cache agree
        augment = config_to_dict(config.augment)
        preprocessing["views"] = {"count": config.views, "seed": config.seed, "augment": augment}
    return preprocessing


def _origins(
    encoder: FrozenEncoder, config: ExtractConfig, copies: Copies | None, detector: PoseDetector | None
) -> dict[str, Any]:
    """Return what is known of the files that the encoder sees."""
    medium, origins = encoder.config.medium, dict[str, Any]()
    # Key points do not depend on the videos.
    if copies is not None and medium == "video":
        origins["copies"] = asdict(copies)
    # Crops of the hands lie where the key points are.
    if detector is not None and (medium == "poses" or config.crop == "hands"):
        origins["detector"] = asdict(detector)
    return origins


def _step_seconds(encoder: FrozenEncoder, config: ExtractConfig, rates: set[float]) -> float | None:
    """Return the seconds from one step to the next; None if the frame rates of clips differ."""
    sampling, stride = config.sampling(encoder.config.sampling), encoder.windows.stride
    if sampling.fps is not None:
        return stride / sampling.fps
    return sampling.stride * stride / next(iter(rates)) if len(rates) == 1 else None
