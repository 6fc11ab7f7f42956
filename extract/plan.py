"""Plan of an extraction: an object, built once, for checks and work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ..cache.finished import read_finished
from ..cache.format import CacheRow, Provenance, shard_name
from ..cache.shard import ShardIndex
from ..core.errors import DataError
from ..core.sample import SPLITS, Sample
from ..corpora.manifest import Manifest
from ..encoder.frozen import FrozenEncoder
from ..video.sampling import count_selected
from .config import ExtractConfig
from .provenance import provenance_of
from .resolve_settings import resolve_settings
from .shards import WHOLE, Shard
from .text_clips import TextClips
from .views import View, views_of

_ROW_BYTES = 1024
"""Bytes of a row without features (HDF5 headers, index, text), rounded up."""


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """Contents and settings of a shard."""

    path: Path
    """File of the finished shard."""
    split: str
    index: int
    count: int
    config: ExtractConfig
    """Settings with ``frame_batch`` and ``threads`` resolved."""
    provenance: Provenance
    samples: tuple[Sample, ...]
    views: tuple[View, ...]
    """A view for each row, in order: of each sample the clean pass, then the augmented passes."""
    rows: tuple[CacheRow, ...]
    steps: tuple[int, ...]
    """Steps of each row, by the frame counts of the manifest."""
    finished: ShardIndex | None
    """Index of the shard on disk, if an earlier run has finished the shard."""

    @property
    def threads(self) -> int:
        """CPU threads of the encoder."""
        assert self.config.threads is not None, "settings are resolved first"
        return self.config.threads

    @property
    def size_bytes(self) -> int:
        """Size of the shard, estimated."""
        return sum(self.steps) * self.provenance.feature_size * 2 + len(self.steps) * _ROW_BYTES

    @property
    def views_bytes(self) -> int:
        """Bytes of the augmented views, estimated."""
        steps = [count for count, view in zip(self.steps, self.views, strict=True) if view.number]
        return sum(steps) * self.provenance.feature_size * 2 + len(steps) * _ROW_BYTES


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """Extraction in this process: manifest, encoder, cache, shards, settings."""

    manifest: Manifest
    encoder: FrozenEncoder
    fingerprint: str
    """Fingerprint of the encoder."""
    out: Path
    """Folder of the cache. Other files in the folder are left alone."""
    splits: tuple[str, ...] = ()
    """Splits to encode. Empty: all."""
    shards: tuple[Shard, ...] = (WHOLE,)
    """(i, n) of each shard to write: every n-th sample of a split, from the i-th."""
    config: ExtractConfig
    """Settings of the user."""
    device: torch.device
    """Device of the encoder."""
    texts: TextClips | None = None
    """Descriptions of the clips, for a text encoder."""
    dry_run: bool = False
    """Leave nothing in the folder."""
    trained_on: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Record of the clips on which the encoder was trained. Empty: not known."""

    @cached_property
    def plans(self) -> tuple[ShardPlan, ...]:
        """Plan of each shard of each split, made once.

        Raises:
            DataError: a split has no sample.
            ValueError: a shard is not (i, n) with 0 <= i < n.
            ModelError: the level is ``sign`` and the encoder has no temporal module.
            ConfigError: the phase is not below the encoder's stride, or CUDA has too little memory for the
                smallest frame batch tried.
            CacheError: ``out`` cannot be a folder, or holds a shard that is damaged, was made by something
                else or of other videos.
        """
        config, splits, plans = self.config, splits_to_write(self.manifest, self.splits), list[ShardPlan]()
        config.check_medium(self.encoder.config.medium)
        for shard in self.shards:
            if not 0 <= shard[0] < shard[1]:
                raise ValueError(f"shard must be (i, n) with 0 <= i < n, but is {shard}")
            resolved = resolve_settings(
                config, encoder=self.encoder, fingerprint=self.fingerprint, out=self.out,
                splits=splits, shard=shard, device=self.device, leave_note=not self.dry_run,
            )  # fmt: skip
            config = replace(config, frame_batch=resolved.frame_batch)  # all shards of a cache agree
            plans += [self._plan_shard(split, shard, resolved) for split in splits]
        return tuple(plans)

    def _plan_shard(self, split: str, shard: Shard, config: ExtractConfig) -> ShardPlan:
        """Return the plan of a shard of a split, for resolved settings."""
        index, count = shard
        # Every n-th sample: each shard has clips of the whole corpus, so that shards take equal times.
        sampling = config.sampling(self.encoder.config.sampling)
        everything = self.manifest.split(split)
        samples = tuple(everything[index::count])
        views = views_of(samples, config=config, sampling=sampling)
        rows = tuple(view.row for view in views)
        path = self.out / shard_name(split, index, count)
        provenance = provenance_of(
            self.encoder, fingerprint=self.fingerprint, config=config, device=self.device,
            corpus=self.manifest.corpus, split=split, rates={sample.fps for sample in everything},
            copies=self.manifest.copies, detector=self.manifest.detector,
            descriptions=None if self.texts is None else self.texts.descriptions.header,
        )  # fmt: skip
        frames = [
            count_selected(
                view.sample.num_frames,
                sampling=sampling,
                phase=view.frame_offset,
                clip_fps=view.sample.fps,
            )
            for view in views
        ]
        return ShardPlan(
            path=path, split=split, index=index, count=count, config=config, provenance=provenance,
            samples=samples, views=views, rows=rows, steps=tuple(map(self.encoder.windows.count, frames)),
            finished=read_finished(path, rows=rows, provenance=provenance),
        )  # fmt: skip


def splits_to_write(manifest: Manifest, wanted: Sequence[str]) -> list[str]:
    """Return the wanted splits, or all splits of the manifest, in the usual order.

    Raises:
        DataError: a wanted split has no sample.
    """
    there = [split for split in SPLITS if manifest.split(split)]
    for split in wanted:
        if split not in there:
            raise DataError(f"The manifest must have samples of split {split}, but has {', '.join(there)}.")
    return [split for split in there if not wanted or split in wanted]
