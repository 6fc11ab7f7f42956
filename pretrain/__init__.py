"""Stage one: the visual encoder, trained without glosses through a light translation model."""

from .config import PretrainConfig, TokenizerConfig, TranslatorConfig

__all__ = ["PretrainConfig", "TokenizerConfig", "TranslatorConfig"]
