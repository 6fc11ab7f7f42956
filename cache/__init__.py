"""Feature cache: embedding sequences and sentences in HDF5, the only input of stage two."""

from .format import CacheRow, Provenance, shard_name
from .reader import FeatureCache, splits_in
from .verify import Fault, verify
from .writer import ShardWriter

__all__ = [
    "CacheRow",
    "FeatureCache",
    "Fault",
    "Provenance",
    "ShardWriter",
    "shard_name",
    "splits_in",
    "verify",
]
