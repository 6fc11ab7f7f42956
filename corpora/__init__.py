"""Readers of sign language corpora, which write a manifest for all later stages."""

from .manifest import Manifest, read_manifest, write_manifest

__all__ = ["Manifest", "read_manifest", "write_manifest"]
