"""Encoder of a stream: from a directory, or key points without training from the record of the run."""

from pathlib import Path
from typing import Any

from ..core.config import config_from_dict
from ..encoder.config import EncoderConfig
from ..encoder.pose_encoder import PoseEncoder
from ..encoder.store import TrainableEncoder, fingerprint, fingerprint_of, load_encoder
from ..finetune.streams import StreamRecord


def encoder_of(run: Path, ckpt: Path | None, stream: StreamRecord) -> tuple[TrainableEncoder, str]:
    """Return the encoder of a stream with its fingerprint.

    Args:
        run: the stage-two run, or an export with an encoder.
        ckpt: directory of the encoder. None: the encoder lies in ``run``, or is the one that
            ``fla extract --encoder poses`` has: it has no weights, so the record of the run is enough.
        stream: record of the stream.

    Raises:
        ModelError: there is no encoder.
    """
    if ckpt is None and (poses := _without_training(run, stream)) is not None:
        return poses, fingerprint_of(poses)
    folder = run if ckpt is None else ckpt
    return load_encoder(folder), fingerprint(folder)


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
