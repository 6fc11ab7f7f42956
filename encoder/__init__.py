"""The visual encoder: frames to embeddings; its training form, its inference path, its directory."""

from .clip_encoder import ClipEncoder, ClipEncoderConfig
from .config import EncoderConfig
from .encode import Level, encode
from .frozen import FrozenEncoder
from .model import VisualEncoder
from .store import find_encoder, fingerprint, fingerprint_of, load_encoder, save_encoder
from .timm_source import timm_encoder
from .windows import Windows

__all__ = [
    "ClipEncoder",
    "ClipEncoderConfig",
    "EncoderConfig",
    "FrozenEncoder",
    "Level",
    "VisualEncoder",
    "Windows",
    "encode",
    "find_encoder",
    "fingerprint",
    "fingerprint_of",
    "load_encoder",
    "save_encoder",
    "timm_encoder",
]
