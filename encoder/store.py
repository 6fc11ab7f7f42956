"""The encoder directory: ``config.json`` and ``model.safetensors``. Nothing else, nothing pickled.

Its fingerprint says which encoder made a feature: it changes with any setting and any weight.
"""

import hashlib
import json
from pathlib import Path

import safetensors.torch

from ..core.files import atomic_write, sha256_file
from ..core.weights import load_into
from .folder import CONFIG_FILE, FORMAT, WEIGHTS_FILE, find_encoder, read_settings
from .frozen import FrozenEncoder
from .model import VisualEncoder


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
    config = read_settings(folder)
    encoder = VisualEncoder(config)
    load_into(encoder, folder / WEIGHTS_FILE, of=str(folder / CONFIG_FILE))
    return encoder.eval()


def fingerprint(folder: Path) -> str:
    """Return the SHA-256 over an encoder directory's settings and weights.

    Raises:
        ModelError: a part is missing.
    """
    folder = find_encoder(folder)
    return _sha256_of([sha256_file(folder / CONFIG_FILE), sha256_file(folder / WEIGHTS_FILE)])


def fingerprint_of(encoder: FrozenEncoder) -> str:
    """Return the SHA-256 over an encoder's settings and weights: of a visual encoder, as on disk."""
    parts = (_config_bytes(encoder), _weights_bytes(encoder))
    return _sha256_of([hashlib.sha256(part).hexdigest() for part in parts])


def _config_bytes(encoder: FrozenEncoder) -> bytes:
    """Return config.json: without the wish for pretrained weights, for the weights lie beside it."""
    settings = encoder.settings
    if "pretrained" in settings:
        settings["pretrained"] = False
    return (json.dumps({"format": FORMAT, **settings}, indent=2) + "\n").encode()


def _weights_bytes(encoder: FrozenEncoder) -> bytes:
    state = {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()}
    return safetensors.torch.save(state)


def _sha256_of(digests: list[str]) -> str:
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
