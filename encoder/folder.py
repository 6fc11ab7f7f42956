"""Files of an encoder directory: names and checks, without torch."""

from pathlib import Path
from typing import Any

from ..core.config import config_from_dict
from ..core.errors import ModelError
from ..core.files import read_json
from ..core.weights import check_file
from .config import EncoderConfig

FORMAT = "fla-encoder-1"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
CLIP_SOURCE = "hf-video"
"""Value of ``source`` in the settings of a clip encoder. Other encoders have no such entry."""


def find_encoder(folder: Path) -> Path:
    """Return the encoder directory: ``folder``, or ``encoder/`` in a run directory.

    Raises:
        ModelError: a file of the encoder directory is missing. The error names the file.
    """
    inner = folder / "encoder"
    found = inner if inner.is_dir() else folder
    missing = [name for name in (CONFIG_FILE, WEIGHTS_FILE) if not (found / name).is_file()]
    if missing:
        what = f"lacks {' and '.join(missing)}" if found.is_dir() else "does not exist"
        raise ModelError(
            f"{found} must be an encoder directory, but {what}.\n"
            "Give a run of `fla pretrain`, or the encoder/ folder of a run or of an export."
        )
    return found


def is_encoder(folder: Path) -> bool:
    """Return whether a folder is an encoder directory or a run with one, and not weights of other code."""
    inner = folder / "encoder"
    path = (inner if inner.is_dir() else folder) / CONFIG_FILE
    content = read_json(path) if path.is_file() else None
    return isinstance(content, dict) and content.get("format") == FORMAT


def read_description(folder: Path) -> dict[str, Any]:
    """Return the settings in an encoder directory, of any kind of encoder, as JSON values.

    Raises:
        ModelError: ``config.json`` describes something else.
    """
    path = folder / CONFIG_FILE
    content = read_json(path)
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ModelError(f"{path} must describe an encoder (format: {FORMAT}), but does not.")
    return content


def read_settings(folder: Path) -> EncoderConfig:
    """Return the settings in an encoder directory of stage one, or of a timm backbone.

    Raises:
        ModelError: ``config.json`` describes something else.
        ConfigError: the settings are not settings of such an encoder.
    """
    return config_from_dict(EncoderConfig, read_description(folder), origin=str(folder / CONFIG_FILE))


def check_encoder(folder: Path) -> None:
    """Check an encoder directory without loading the weights.

    Raises:
        ModelError: a file is missing, damaged, or of another kind.
        ConfigError: the settings are not settings of an encoder.
    """
    found = find_encoder(folder)
    # The settings of a clip encoder are checked where transformers is loaded.
    if read_description(found).get("source") != CLIP_SOURCE:
        read_settings(found)
    check_file(found / WEIGHTS_FILE)
