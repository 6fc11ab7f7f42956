"""Gloss-free sign language translation in two stages that meet only in files."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

try:
    import fcntl  # noqa: F401  # imported for the check alone
except ImportError as error:  # Windows: no locks that end with their process, no folders that can be synced
    raise ImportError(
        "fla needs a POSIX system, Linux or macOS, and this is none.\n"
        "On Windows run it inside WSL 2: wsl --install"
    ) from error

__version__ = version("fla-llm")

if TYPE_CHECKING:
    from . import extract
    from .pipeline.api import evaluate, tune
    from .pipeline.dataset import FeatureDataset
    from .pipeline.translator import Translator
    from .scoring import score

__all__ = ["FeatureDataset", "Translator", "__version__", "evaluate", "extract", "score", "tune"]
_ROOMS = {
    "FeatureDataset": ".pipeline.dataset",
    "Translator": ".pipeline.translator",
    "evaluate": ".pipeline.api",
    "score": ".scoring",
    "tune": ".pipeline.api",
}


def __getattr__(name: str) -> Any:
    # torch takes seconds to load: each name loads its room when it is asked for.
    if name == "extract":
        return import_module(".extract", __name__)
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ROOMS[name], __name__), name)
