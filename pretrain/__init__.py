"""Stage one: the visual encoder, trained with a light translation model on sentences alone."""

from .config import PretrainConfig, TokenizerConfig, TranslatorConfig

__all__ = ["PretrainConfig", "TokenizerConfig", "TranslatorConfig"]
