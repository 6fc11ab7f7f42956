"""The encoder directory: ``config.json`` and ``model.safetensors``. Nothing else, nothing pickled.

Its fingerprint says which encoder made a feature: it changes with any setting and any weight.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError

from ..core.config import config_from_dict, config_to_dict
from ..core.errors import ModelError
from ..core.files import atomic_write, read_json, sha256_file
from .backbone import check_timm_name
from .config import EncoderConfig
from .model import VisualEncoder

FORMAT = "fla-encoder-1"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


def save_encoder(encoder: VisualEncoder, folder: Path) -> None:
    """Write an encoder directory; each file is whole or not there."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(_weights_bytes(encoder))
    with atomic_write(folder / CONFIG_FILE) as temporary:
        temporary.write_bytes(_config_bytes(encoder))


def load_encoder(folder: Path) -> VisualEncoder:
    """Read an encoder, in evaluation mode, on the CPU.

    Args:
        folder: an encoder directory, or a run directory that holds one as ``encoder/``.

    Raises:
        ModelError: a part is missing, damaged, or of something else.
        ConfigError: the settings are not an encoder's.
    """
    folder = find_encoder(folder)
    config = _read_config(folder / CONFIG_FILE)
    encoder = VisualEncoder(config)
    weights = folder / WEIGHTS_FILE
    try:
        encoder.load_state_dict(safetensors.torch.load_file(weights))
    except SafetensorError as error:
        raise ModelError(f"{weights} is damaged: {error}") from error
    except RuntimeError as error:  # a heading, then a line for each key missing, too many or of another shape
        first = str(error).splitlines()[1].strip()
        raise ModelError(f"{weights} does not fit {folder / CONFIG_FILE}: {first}") from error
    return encoder.eval()


def find_encoder(folder: Path) -> Path:
    """Return the encoder directory that ``folder`` is or holds.

    Raises:
        ModelError: it is neither, and what is missing.
    """
    inner = folder / "encoder"
    found = inner if inner.is_dir() else folder
    missing = [name for name in (CONFIG_FILE, WEIGHTS_FILE) if not (found / name).is_file()]
    if missing:
        what = f"lacks {' and '.join(missing)}" if found.is_dir() else "does not exist"
        raise ModelError(
            f"{found} must be an encoder directory, but {what}.\n"
            "Give a run of `fla pretrain`, or the encoder/ folder in it."
        )
    return found


def fingerprint(folder: Path) -> str:
    """Return the SHA-256 over an encoder directory's settings and weights.

    Raises:
        ModelError: a part is missing.
    """
    folder = find_encoder(folder)
    return _joined(sha256_file(folder / CONFIG_FILE), sha256_file(folder / WEIGHTS_FILE))


def fingerprint_of(encoder: VisualEncoder) -> str:
    """Return the fingerprint an encoder has, or would have, on disk."""
    digests = (hashlib.sha256(part).hexdigest() for part in (_config_bytes(encoder), _weights_bytes(encoder)))
    return _joined(*digests)


def timm_encoder(
    name: str, *, image_size: int | None = None, resize_size: int | None = None, pretrained: bool = True
) -> VisualEncoder:
    """Build a frozen timm backbone as an encoder: level "frame" only.

    Args:
        name: a timm model, as in ``resnet18`` or ``vit_base_patch16_224.augreg_in21k``.
        image_size: the side it sees; None: the one it was trained at.
        resize_size: the side frames are read at; None: such that timm's own share is cropped.
        pretrained: with timm's weights, fetched when not on disk; else random ones.

    Raises:
        ModelError: the name is unknown, or the weights cannot be fetched.
    """
    import timm

    check_timm_name(name)
    trained = timm.get_pretrained_cfg(name)
    if trained is None:
        raise ModelError(f"timm does not say how pictures are prepared for {name}.")
    image_size = image_size or trained.input_size[-1]
    config = EncoderConfig(
        backbone=name,
        pretrained=pretrained,
        temporal=False,
        image_size=image_size,
        resize_size=resize_size or round(image_size / trained.crop_pct),
        mean=_three(trained.mean),
        std=_three(trained.std),
    )
    return VisualEncoder(config).requires_grad_(False).eval()


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue


def _read_config(path: Path) -> EncoderConfig:
    content = read_json(path)
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ModelError(f"{path} must describe an encoder (format: {FORMAT}), but does not.")
    return config_from_dict(EncoderConfig, content, origin=str(path))


def _config_bytes(encoder: VisualEncoder) -> bytes:
    """Return config.json: without the wish for pretrained weights, for the weights lie beside it."""
    settings = config_to_dict(replace(encoder.config, pretrained=False))
    return (json.dumps({"format": FORMAT, **settings}, indent=2) + "\n").encode()


def _weights_bytes(encoder: VisualEncoder) -> bytes:
    state = {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()}
    return safetensors.torch.save(state)


def _joined(*digests: str) -> str:
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
