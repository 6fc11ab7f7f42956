"""An extraction as one process can be told of it by another: paths and settings, nothing open or loaded.

One function writes shards, :func:`write_shards`. A single process calls it, and so does every process of
``--devices`` and every task of ``--engine ray``: what they write is the same to the byte.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch

from ..core.device import resolve_device
from ..corpora.manifest import Manifest, read_manifest
from ..encoder.frozen import FrozenEncoder
from .config import ExtractConfig
from .extraction import extract
from .plan import ShardPlan, check_plans, plan_shards, views_cost
from .result import Extracted
from .settle import settle
from .shards import Shard
from .source import load_source

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be extracted, by which encoder, to where."""

    manifest: Path
    """The manifest's file."""
    root: Path | None = None
    """Where its videos lie; None: where it says itself."""
    limit: int | None = None
    """Only the first samples of each split; None: all."""
    ckpt: Path | None = None
    """An encoder directory, or a run that holds one; or"""
    encoder: str | None = None
    """``timm:NAME`` or ``hf-video:NAME``."""
    out: Path
    """The cache's folder."""
    splits: tuple[str, ...] = ()
    """Which splits; none named: all there are."""
    config: ExtractConfig = ExtractConfig()
    """How."""

    def load(self) -> "LoadedJob":
        """Read the manifest and load the encoder.

        Raises:
            DataError: the manifest cannot be used.
            ModelError: there is no such encoder.
        """
        manifest = read_manifest(self.manifest, root=self.root, limit=self.limit)
        encoder, fingerprint = load_source(ckpt=self.ckpt, encoder=self.encoder, config=self.config)
        return LoadedJob(job=self, manifest=manifest, encoder=encoder, fingerprint=fingerprint)

    def sharing_cores(self, processes: int) -> "Job":
        """Return the job of one of several processes of a machine: each decodes with its share of cores."""
        if self.config.workers is not None:
            return self
        workers = max(1, self.config.num_workers // processes)
        return replace(self, config=replace(self.config, workers=workers))

    def absolute(self) -> "Job":
        """Return the job for a process that runs in another folder."""
        paths = {name: getattr(self, name) for name in ("manifest", "root", "ckpt", "out")}
        return replace(self, **{name: path and path.absolute() for name, path in paths.items()})


@dataclass(frozen=True, kw_only=True)
class LoadedJob:
    """A job whose manifest was read and whose encoder is in memory."""

    job: Job
    manifest: Manifest
    encoder: FrozenEncoder
    fingerprint: str

    def plan(
        self, shards: Sequence[Shard], *, device: torch.device, leave_note: bool = True
    ) -> list[ShardPlan]:
        """Return the plans of these shards of each split.

        Raises:
            FlaError: as :func:`.settle.settle` and :func:`.plan.plan_shards`.
        """
        plans = []
        for shard in shards:
            order = {
                "encoder": self.encoder, "fingerprint": self.fingerprint, "out": self.job.out,
                "splits": self.job.splits, "shard": shard, "device": device,
            }  # fmt: skip
            config = settle(self.job.config, **order, leave_note=leave_note)
            plans += plan_shards(self.manifest, **order, config=config)
        return plans

    def check(
        self, shards: Sequence[Shard], *, device: torch.device, leave_note: bool = True
    ) -> list[ShardPlan]:
        """Refuse to begin what cannot end well, all shards together; say what views cost; return the plans.

        Args:
            shards: (i, n) of each.
            device: where the encoder would compute.
            leave_note: keep a frame batch that was found by trying for the processes that write.

        Raises:
            FlaError: as :func:`.plan.check_plans` and :meth:`plan`.
        """
        plans = self.plan(shards, device=device, leave_note=leave_note)
        check_plans(plans, self.manifest, self.job.out)
        for line in views_cost(plans):
            logger.info(line)
        return plans

    def write(self, shards: Sequence[Shard], *, device: torch.device) -> Extracted:
        """Write these shards of each split, one after the other; raises as :func:`.extraction.extract`."""
        results = [
            extract(
                self.manifest,
                encoder=self.encoder,
                fingerprint=self.fingerprint,
                out=self.job.out,
                splits=self.job.splits,
                shard=shard,
                config=self.job.config,
                device=device,
            )
            for shard in shards
        ]
        return merged(results)


def write_shards(job: Job, shards: Sequence[Shard], *, device: str, threads: int | None = None) -> Extracted:
    """Write shards of each split in this process, going on where an earlier run was ended.

    Args:
        job: what, by which encoder, to where.
        shards: (i, n) of each.
        device: as ``--device`` takes it.
        threads: CPU threads a computation may use where no journal and no setting says; None: as settled.

    Raises:
        FlaError: as :func:`.extraction.extract` and :meth:`Job.load`.
    """
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    return job.load().write(shards, device=resolve_device(device))


def merged(results: Sequence[Extracted], *, seconds: float | None = None) -> Extracted:
    """Return one result for several.

    Args:
        results: what was done, one after the other or side by side.
        seconds: how long it took side by side; the time spent on each kind of work is scaled to it.
    """
    whole = Extracted()
    for field in fields(Extracted):
        parts = [getattr(result, field.name) for result in results]
        if field.name == "spent":
            whole.spent = {work: sum(part[work] for part in parts) for work in whole.spent}
        elif isinstance(getattr(whole, field.name), list):
            setattr(whole, field.name, [item for part in parts for item in part])
        else:
            setattr(whole, field.name, sum(parts))
    if seconds is not None and whole.seconds:
        scale = seconds / whole.seconds
        whole.spent = {work: part * scale for work, part in whole.spent.items()}
    return whole
