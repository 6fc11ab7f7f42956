"""Stage one: the visual encoder, trained with a light translation model on sentences alone."""

from .config import PRESETS, PretrainConfig, TokenizerConfig, TranslatorConfig

__all__ = ["PRESETS", "PretrainConfig", "TokenizerConfig", "TranslatorConfig"]
