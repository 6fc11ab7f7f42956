"""Encoder directory: ``config.json`` and ``model.safetensors``, without pickles.

The fingerprint identifies an encoder. Any other setting or weight gives another fingerprint.
"""

import hashlib
import json
from pathlib import Path

import safetensors.torch

from ..core.files import atomic_write, sha256_file
from ..core.weights import load_into
from .config import EncoderConfig
from .folder import (
    CLIP_SOURCE,
    CONFIG_FILE,
    FORMAT,
    WEIGHTS_FILE,
    find_encoder,
    read_description,
    read_settings,
)
from .frozen import FrozenEncoder
from .model import VisualEncoder
from .pose_encoder import PoseEncoder

TrainableEncoder = VisualEncoder | PoseEncoder
"""Encoders that stage one trains. Each is stored in an encoder directory of its own."""


def make_encoder(config: EncoderConfig) -> TrainableEncoder:
    """Return an untrained encoder."""
    return PoseEncoder(config) if config.kind == "poses" else VisualEncoder(config)


def save_encoder(encoder: FrozenEncoder, folder: Path) -> None:
    """Write an encoder directory, each file atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(_weights_bytes(encoder))
    with atomic_write(folder / CONFIG_FILE) as temporary:
        temporary.write_bytes(_config_bytes(encoder))


def load_encoder(folder: Path) -> TrainableEncoder:
    """Read an encoder, in evaluation mode, on the CPU.

    Args:
        folder: an encoder directory, or a run directory that holds one as ``encoder/``.

    Raises:
        ModelError: a file is missing, damaged, or of another kind.
        ConfigError: the settings are not settings of an encoder.
    """
    folder = find_encoder(folder)
    encoder = make_encoder(read_settings(folder))
    load_into(encoder, folder / WEIGHTS_FILE, of=str(folder / CONFIG_FILE))
    return encoder.eval()


def load_frozen(folder: Path) -> FrozenEncoder:
    """Read an encoder of any kind, in evaluation mode, on the CPU: of stage one, of timm, or a clip encoder.

    Raises:
        ModelError: a file is missing or damaged, or the weights do not fit the settings.
        ConfigError: the settings are not settings of an encoder.
    """
    found = find_encoder(folder)
    settings = read_description(found)
    if settings.get("source") != CLIP_SOURCE:
        return load_encoder(found)
    from .hf_video import clip_encoder  # transformers is slow to load, and only needed here

    encoder = clip_encoder(settings, origin=str(found / CONFIG_FILE))
    load_into(encoder, found / WEIGHTS_FILE, of=str(found / CONFIG_FILE))
    return encoder.requires_grad_(False).eval()


def fingerprint(folder: Path) -> str:
    """Return the SHA-256 of the settings and weights in an encoder directory.

    Raises:
        ModelError: a file is missing.
    """
    folder = find_encoder(folder)
    return _sha256_of([sha256_file(folder / CONFIG_FILE), sha256_file(folder / WEIGHTS_FILE)])


def fingerprint_of(encoder: FrozenEncoder) -> str:
    """Return the SHA-256 of an encoder's settings and weights, the same as that of its directory."""
    parts = (_config_bytes(encoder), _weights_bytes(encoder))
    return _sha256_of([hashlib.sha256(part).hexdigest() for part in parts])


def _config_bytes(encoder: FrozenEncoder) -> bytes:
    """Return the contents of config.json."""
    settings = encoder.settings
    # Stored weights replace pretrained ones: loading must not ask for those.
    if "pretrained" in settings:
        settings["pretrained"] = False
    return (json.dumps({"format": FORMAT, **settings}, indent=2) + "\n").encode()


def _weights_bytes(encoder: FrozenEncoder) -> bytes:
    # On the CPU and contiguous, so that the bytes are the same from any device and memory layout.
    state = {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()}
    return safetensors.torch.save(state)


def _sha256_of(digests: list[str]) -> str:
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
