"""Stage one: the visual encoder, trained with a light translation model on videos and sentences, without glosses."""

from .config import PretrainConfig, TokenizerConfig, TranslatorConfig

__all__ = ["PretrainConfig", "TokenizerConfig", "TranslatorConfig"]
