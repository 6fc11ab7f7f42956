"""Features of other code in and out: import to a cache, export from a cache."""

from .export import export_cache
from .import_config import ImportConfig, Sentences
from .import_features import import_features

__all__ = ["ImportConfig", "Sentences", "export_cache", "import_features"]
