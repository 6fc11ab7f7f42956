"""Extraction: the frozen encoder runs once over every video and leaves a feature cache."""

from .config import ExtractConfig
from .extraction import extract
from .result import Extracted, Rejected

__all__ = ["ExtractConfig", "Extracted", "Rejected", "extract"]
