"""Cached features as a torch Dataset, for models of your own."""

import hashlib
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from ..cache.reader import FeatureCache
from ..core.errors import CacheError, ConfigError

if TYPE_CHECKING:
    # The package is optional, and a checker without it knows no more than this.
    HfDataset = Any


class FeatureDataset(Dataset[dict[str, Any]]):
    """Clips of a feature cache, one item each.

    An item has ``features`` (T, D), float32, and ``text``, ``id``, ``signer``, ``language``, ``task``.

    >>> from torch.utils.data import DataLoader
    >>> clips = FeatureDataset("cache", "train")  # doctest: +SKIP
    >>> loader = DataLoader(clips, batch_size=8, collate_fn=clips.collate, num_workers=2)  # doctest: +SKIP
    """

    def __init__(self, folder: Path | str, split: str, *, view: int = 0, in_memory: bool = False) -> None:
        """Open a split. Features are read when an item is asked for.

        Args:
            folder: a cache of ``fla extract``.
            split: ``train``, ``dev`` or ``test``.
            view: 0 for the clean pass over the videos, 1 and above for augmented passes.
            in_memory: keep every array that was read.

        Raises:
            CacheError: the folder is no cache, or the split has no such view.
        """
        self._cache = FeatureCache(folder, split, in_memory=in_memory)
        self._numbers = [number for number, row in enumerate(self._cache.rows) if row.view == view]
        self.missing = [id for id, rejected in self._cache.rejected if rejected == view]
        """Ids of the clips of the split that could not be encoded."""
        if not self._numbers:
            views = sorted({row.view for row in self._cache.rows})
            raise CacheError(
                f"{folder} must have view {view} of split {split}, but has the views "
                f"{', '.join(map(str, views)) or 'of no clip'}."
            )

    @property
    def feature_size(self) -> int:
        """Width D of the features."""
        return self._cache.provenance.feature_size

    def __len__(self) -> int:
        """Return how many clips there are."""
        return len(self._numbers)

    def __getitem__(self, index: int) -> dict[str, Any]:
        number = self._numbers[index]
        row = self._cache.rows[number]
        return {
            # The cache stores float16, and layers are float32 by default.
            "features": torch.from_numpy(self._cache[number]).float(),
            "text": row.text, "id": row.id, "signer": row.signer, "language": row.language, "task": row.task,
        }  # fmt: skip

    def to_hf_dataset(self) -> "HfDataset":
        """Return the clips as a ``datasets.Dataset``, with the columns of an item. Features stay float16.

        The rows are written once into the cache of ``datasets``, which finds them again for equal features.

        Raises:
            ConfigError: the package ``datasets`` is not installed.
        """
        try:
            datasets = import_module("datasets")
        except ImportError as error:
            raise ConfigError(
                f"to_hf_dataset must have the package datasets, but datasets cannot be imported: {error}.\n"
                "Run: pip install datasets"
            ) from error
        words = {name: datasets.Value("string") for name in ("text", "id", "signer", "language")}
        columns = {"features": datasets.Array2D(shape=(None, self.feature_size), dtype="float16"), **words}
        return datasets.Dataset.from_generator(
            self._rows, features=datasets.Features(columns), fingerprint=self._digest()
        )

    def _rows(self) -> Iterator[dict[str, Any]]:
        for number in self._numbers:
            row = self._cache.rows[number]
            words = {"text": row.text, "id": row.id, "signer": row.signer, "language": row.language}
            yield {"features": self._cache[number], **words}

    def _digest(self) -> str:
        """Return a digest of all rows, by which ``datasets`` recognises them."""
        rows = [(self._cache.rows[number], int(self._cache.crc32[number])) for number in self._numbers]
        return hashlib.sha256(repr((self._cache.fingerprint, rows)).encode()).hexdigest()

    @staticmethod
    def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return a batch of clips, padded with zeros at the end.

        Returns:
            ``features`` (B, T, D), ``lengths`` (B,), ``mask`` (B, T), True at real steps, and a list for
            every other entry.
        """
        features: list[Tensor] = [item["features"] for item in items]
        lengths = torch.tensor([len(each) for each in features])
        padded = pad_sequence(features, batch_first=True)
        # True at real steps, the opposite of key_padding_mask in torch.
        mask = torch.arange(padded.shape[1]) < lengths[:, None]
        others = {name: [item[name] for item in items] for name in items[0] if name != "features"}
        return {"features": padded, "lengths": lengths, "mask": mask, **others}
