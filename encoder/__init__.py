"""The visual encoder: frames to embeddings; its training form, its inference path, its directory."""

from .config import EncoderConfig
from .encode import Level, encode
from .model import VisualEncoder
from .store import find_encoder, fingerprint, fingerprint_of, load_encoder, save_encoder, timm_encoder

__all__ = [
    "EncoderConfig",
    "Level",
    "VisualEncoder",
    "encode",
    "find_encoder",
    "fingerprint",
    "fingerprint_of",
    "load_encoder",
    "save_encoder",
    "timm_encoder",
]
