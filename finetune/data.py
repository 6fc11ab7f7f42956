"""Clips from feature caches: which rows make a clip, and what a batch of them looks like."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..cache.reader import FeatureCache, splits_in
from ..core.errors import CacheError, DataError
from ..core.progress import progress
from ..core.seeds import derive_seed
from ..training.batches import BatchDataset, Collate, make_batches
from ..training.evaluation import EvaluationSet
from ..training.model import IGNORED
from .family import pad_rows
from .wording import Wording


class FeatureItems:
    """The clips of one split of one or several caches.

    A clip's rows are its views; training draws one of them from (seed, epoch, id), evaluation reads view 0.
    """

    def __init__(
        self, caches: Sequence[FeatureCache], *, limit: int | None = None, view_seed: int | None = None
    ) -> None:
        """Put caches together.

        Args:
            caches: of one encoder, each of the same split, with disjoint ids.
            limit: clips kept of each cache, from its start.
            view_seed: draws views; None always takes view 0.

        Raises:
            CacheError: encoders differ, an id is in two caches, or view 0 is wanted and not there.
        """
        _check_same_encoder(caches)
        self.caches = list(caches)
        self.view_seed = view_seed
        self._rows: dict[str, list[tuple[FeatureCache, int]]] = {}
        for cache in caches:
            self._add(cache, limit)
        self.ids = list(self._rows)

    def __len__(self) -> int:
        """Return how many clips there are."""
        return len(self.ids)

    def get(self, index: int, epoch: int = 0) -> dict[str, Any]:
        """Return one clip.

        Raises:
            DataError: its features are not all finite numbers.
        """
        views = self._rows[self.ids[index]]
        view = 0
        if self.view_seed is not None:
            view = derive_seed(self.view_seed, epoch, self.ids[index]) % len(views)
        cache, row_index = views[view]
        row, features = cache.rows[row_index], cache[row_index]
        if not np.isfinite(features).all():
            raise DataError(
                f"Features of {row.id!r} must be finite, but hold NaN or infinity.\nRun: fla cache verify"
            )
        return {"id": row.id, "features": features, "text": row.text, "language": row.language}

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the encoder that made the features."""
        return self.caches[0].fingerprint

    @property
    def feature_size(self) -> int:
        """Width of a feature."""
        return self.caches[0].provenance.feature_size

    @property
    def lengths(self) -> list[int]:
        """Feature steps of each clip, of its longest view."""
        views = self._rows.values()
        return [max(int(cache.num_steps[i]) for cache, i in rows) for rows in views]

    @property
    def texts(self) -> list[str]:
        """The sentence of each clip."""
        return [self._first_row(id).text for id in self.ids]

    @property
    def languages(self) -> list[str]:
        """The language code of each clip."""
        return [self._first_row(id).language for id in self.ids]

    def _first_row(self, id: str) -> Any:
        cache, index = self._rows[id][0]
        return cache.rows[index]

    def _add(self, cache: FeatureCache, limit: int | None) -> None:
        own: dict[str, list[tuple[int, int]]] = {}
        for index, row in enumerate(cache.rows):
            own.setdefault(row.id, []).append((row.view, index))
        for id, views in list(own.items())[:limit]:
            if id in self._rows:
                raise CacheError(
                    f"Caches given together must hold different clips, but {id!r} is in two of them "
                    f"({cache.provenance.corpus}, split {cache.provenance.split})."
                )
            views.sort()
            if self.view_seed is None and views[0][0] != 0:
                raise CacheError(
                    f"Clip {id!r} must have its clean pass (view 0), but has only view {views[0][0]}."
                )
            self._rows[id] = [(cache, index) for _, index in views]


class Reordered:
    """Clips whose features are those of other clips: what a model scores that only knows the language."""

    def __init__(self, items: FeatureItems, order: Sequence[int]) -> None:
        """Give clip i the features of clip ``order[i]``."""
        self.items = items
        self.order = order

    def __len__(self) -> int:
        """Return how many clips there are."""
        return len(self.items)

    def get(self, index: int, epoch: int = 0) -> dict[str, Any]:
        """Return clip ``index`` with another's features."""
        return self.items.get(index, epoch) | {
            "features": self.items.get(self.order[index], epoch)["features"]
        }

    @property
    def lengths(self) -> list[int]:
        """Feature steps of each clip as it is given."""
        lengths = self.items.lengths
        return [lengths[i] for i in self.order]


def open_caches(features: Sequence[Path], split: str, *, in_memory: bool = False) -> list[FeatureCache]:
    """Open one split of every cache that has it.

    Args:
        features: the caches' folders.
        split: ``train``, ``dev`` or ``test``.
        in_memory: read all features now and keep them.

    Raises:
        CacheError: a folder is no cache, or no folder has the split.
    """
    having = [folder for folder in features if split in splits_in(folder)]
    caches = [FeatureCache(folder, split, in_memory=in_memory) for folder in having or features]
    if in_memory:
        _read_all(caches)
    return caches


def _read_all(caches: Sequence[FeatureCache]) -> None:
    """Read every row once: processes that load batches are forked anew for each epoch, and then share it."""
    rows = [(cache, index) for cache in caches for index in range(len(cache))]
    for cache, index in progress(rows, desc=f"reading {caches[0].provenance.split}", unit="clip"):
        cache[index]


def collate(items: Sequence[Mapping[str, Any]], *, wording: Wording) -> dict[str, Tensor]:
    """Make a batch: features (B, T, F), prompt_ids (B, P), labels (B, L) and the lengths of the first two.

    Padding is told by lengths alone, never by an id: many models pad with their end token.

    Args:
        items: clips as :meth:`FeatureItems.get` gives them, or made by hand: ``features`` (T, F) float16 or
            float32, ``language``, and ``text``, which may be empty where only a translation is wanted.
        wording: the language model's.
    """
    features, mask = pad_rows([torch.from_numpy(np.asarray(item["features"])) for item in items])
    prompts, prompt_mask = pad_rows([_ids(wording.prompt_ids(item["language"])) for item in items])
    targets, target_mask = pad_rows([_ids(wording.target_ids(item["text"])) for item in items])
    return {
        "features": features,
        "feature_lengths": mask.sum(dim=1),
        "prompt_ids": prompts,
        "prompt_lengths": prompt_mask.sum(dim=1),
        "decoder_prefix_ids": torch.stack([_ids(wording.decoder_prefix_ids(i["language"])) for i in items]),
        "labels": targets.masked_fill(~target_mask.bool(), IGNORED),
    }


def feature_evaluation_set(
    items: FeatureItems,
    *,
    collate: Collate,
    max_clips: int,
    max_steps: int,
    order: Sequence[int] | None = None,
) -> EvaluationSet:
    """Return what ``predict`` needs to translate ``items``.

    Args:
        items: the clips of one split.
        collate: the model's.
        max_clips: clips in a batch, at most.
        max_steps: feature steps in a batch, padding included, at most.
        order: clip i gets the features of clip ``order[i]``; None leaves each its own.
    """
    given = items if order is None else Reordered(items, order)
    batches = make_batches(given.lengths, max_clips=max_clips, max_steps=max_steps, seed=0)
    return EvaluationSet(
        batches=BatchDataset(given, batches, collate),
        ids=items.ids,
        references=items.texts,
        languages=items.languages,
    )


def _ids(ids: Sequence[int]) -> Tensor:
    return torch.tensor(ids, dtype=torch.long)


def _check_same_encoder(caches: Sequence[FeatureCache]) -> None:
    for cache in caches[1:]:
        if cache.fingerprint != caches[0].fingerprint:
            raise CacheError(
                "Caches given together must come from one encoder, but come from "
                f"{caches[0].fingerprint} and {cache.fingerprint}."
            )
