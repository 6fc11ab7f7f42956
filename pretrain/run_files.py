"""The files of stage one's translator: their names, and the check that they are there, without torch."""

from pathlib import Path

from ..core.config import config_from_dict
from ..core.errors import RunError
from ..core.files import read_json
from .config import PretrainConfig

FORMAT = "fla-stage-one-1"
TRANSLATOR, CONFIG_FILE, WEIGHTS_FILE = "translator", "config.json", "model.safetensors"


def read_settings(run: Path) -> PretrainConfig:
    """Return the settings of a finished stage-one run.

    Raises:
        RunError: the run has not been finished, or is of something else.
        ConfigError: the settings are not stage one's.
    """
    folder = run / TRANSLATOR
    missing = [name for name in (CONFIG_FILE, WEIGHTS_FILE) if not (folder / name).is_file()]
    if missing:
        raise RunError(
            f"{run} must be a finished stage-one run, but {folder.name}/ lacks {' and '.join(missing)}.\n"
            "Run: fla pretrain ... --resume"
        )
    content = read_json(folder / CONFIG_FILE)
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise RunError(f"{folder / CONFIG_FILE} must describe a stage-one model ({FORMAT}), but does not.")
    return config_from_dict(PretrainConfig, content, origin=str(folder / CONFIG_FILE))
