"""Encoder of a stream: from a directory, or made again from the record of the run."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.config import config_from_dict
from ..core.errors import CacheError
from ..encoder.config import EncoderConfig
from ..encoder.folder import CLIP_SOURCE, is_encoder
from ..encoder.frozen import FrozenEncoder
from ..encoder.pose_encoder import PoseEncoder
from ..encoder.store import fingerprint, fingerprint_of, load_frozen
from ..finetune.streams import StreamRecord
from ..video.sampling import FrameSampling
from .precheck import how_named


def encoder_of(run: Path, ckpt: Path | None, stream: StreamRecord) -> tuple[FrozenEncoder, str]:
    """Return the encoder of a stream with its fingerprint.

    Args:
        run: the stage-two run, or an export with an encoder.
        ckpt: directory of the encoder, or the weights of the timm model or clip encoder that the run records.
            None: the encoder lies in ``run``; or the record of the run is enough, for key points without
            training and for weights that timm or the hub has.
        stream: record of the stream.

    Raises:
        ModelError: there is no encoder, or a file of the encoder is damaged.
        CacheError: the weights are not those behind the features of the run.
    """
    folder = run if ckpt is None else ckpt
    if is_encoder(folder):
        return load_frozen(folder), fingerprint(folder)
    if ckpt is None and (poses := _without_training(run, stream)) is not None:
        return poses, fingerprint_of(poses)
    if (made := made_again(run, stream, weights=ckpt)) is not None:
        return made, stream.encoder_fingerprint
    return load_frozen(folder), fingerprint(folder)


def made_again(run: Path, stream: StreamRecord, *, weights: Path | None) -> FrozenEncoder | None:
    """Return the timm model or clip encoder behind a stream, or None if the record names no such encoder.

    Args:
        run: the stage-two run.
        stream: record of the stream.
        weights: file or directory of the weights. None: the weights that timm or the hub has by name.

    Raises:
        ModelError: the weights are neither on this disk nor on a hub that answers, or do not fit.
        CacheError: the weights are not those behind the features of the run.
    """
    for made in stream.made_by:
        named = how_named(made)
        if named is None or (named == "weights" and weights is None):
            continue
        origin = str(run / "run.json")
        build = _clip_encoder if made["encoder_config"].get("source") == CLIP_SOURCE else _timm
        encoder = build(made, weights, origin)
        if (found := fingerprint_of(encoder)) != stream.encoder_fingerprint:
            raise CacheError(
                f"The encoder must be {stream.encoder_fingerprint}, on whose features {run} was tuned, but "
                f"the weights of {weights or 'the model by its name'} give {found}.\n"
                "Give the weights that fla extract was given: --ckpt PATH"
            )
        return encoder
    return None


def _timm(made: Mapping[str, Any], weights: Path | None, origin: str) -> FrozenEncoder:
    from ..encoder.model import VisualEncoder

    settings = made["encoder_config"] | ({} if weights is None else {"weights": str(weights)})
    encoder = VisualEncoder(config_from_dict(EncoderConfig, settings, origin=origin))
    # As fla extract: the fingerprint does not depend on the place of the file.
    encoder.config = replace(encoder.config, weights=None)
    return encoder.requires_grad_(False).eval()


def _clip_encoder(made: Mapping[str, Any], weights: Path | None, origin: str) -> FrozenEncoder:
    from ..encoder.hf_video import hf_video_encoder  # transformers is slow to load, and only needed here

    settings = made["encoder_config"]
    source = made["preprocessing"]["hub_id"] if weights is None else str(weights)
    encoder = hf_video_encoder(
        source, window_stride=settings["window_stride"], pool=settings["pool"],
        sampling=config_from_dict(FrameSampling, settings["sampling"], origin=origin),
    )  # fmt: skip
    # A directory may have another name than it had, which is part of the settings.
    encoder.config = replace(encoder.config, name=settings["name"])
    return encoder


def _without_training(run: Path, stream: StreamRecord) -> PoseEncoder | None:
    """Return the encoder of key points alone, if the features of the stream came from one."""
    for made in stream.made_by:
        seen: dict[str, Any] = made["preprocessing"]
        if made["level"] == "frame" and "poses" in seen and "sampling" in seen:
            settings = {
                "kind": "poses",
                "temporal": False,
                "poses": seen["poses"],
                "sampling": seen["sampling"],
            }
            found = PoseEncoder(config_from_dict(EncoderConfig, settings, origin=str(run / "run.json")))
            # A trained encoder gives key points at level frame too, but has weights.
            if fingerprint_of(found) == stream.fingerprint:
                return found
    return None
