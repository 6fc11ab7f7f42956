"""Sign language corpora as they are released, made into one manifest that every later stage reads."""

from .manifest import Manifest, read_manifest, write_manifest

__all__ = ["Manifest", "read_manifest", "write_manifest"]
