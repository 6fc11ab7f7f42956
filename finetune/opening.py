"""Start of a run on cached features, for either decoder: clips, device, and the checks before any model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..cache.reader import splits_in
from ..core.device import resolve_device
from ..core.errors import CacheError
from ..core.missing import log_missing
from ..training.batches import BatchDataset
from ..training.processes import is_main_process, join_processes, local_device, wait_for_all
from ..training.tracking import check_tracker
from .config import FeatureRunConfig
from .data import FeatureItems, open_caches
from .run import begin_run, check_run
from .store import RunModel
from .streams import warn_of_mixed_origins, warn_of_other_origins


@dataclass(frozen=True, kw_only=True)
class OpenedRun:
    """Run whose clips are open, and whose directory is accepted."""

    out: Path
    train: FeatureItems
    dev: FeatureItems | None
    device: torch.device
    changed: dict[str, Any]
    """Settings that changed since the run began."""
    init: Path | None

    @property
    def missing(self) -> dict[str, dict[str, str]]:
        """Missing clips of each split with reasons, without complete splits."""
        return missing_by_split(self.train, self.dev)

    def begin(self, model: RunModel, batches: BatchDataset) -> None:
        """Log missing clips, and record the run. The main process alone calls this method.

        Raises:
            RunError: the run was begun with other batches.
        """
        for split, clips in self.missing.items():
            log_missing(split, clips)
        begin_run(
            self.out, model, batches=batches, train=self.train, dev=self.dev, changed=self.changed,
            init=self.init,
        )  # fmt: skip


def open_run(
    features: Sequence[Path],
    *,
    llm: str,
    config: FeatureRunConfig,
    out: Path,
    init: Path | None = None,
    resume: bool,
    allow_config_change: bool,
    device: str,
    limit: int | None,
    in_memory: bool,
) -> OpenedRun:
    """Open the clips of a run, join its processes, and check its directory.

    The arguments are those of :func:`.train.tune`.

    Raises:
        ConfigError: the package of the tracker is not installed.
        RunError: ``out`` is not empty, or the run began with other settings, clips or language model.
        CacheError: a folder is no cache, lacks the split, or does not fit the other caches.
    """
    check_tracker(config.training.report_to)
    train, dev = open_clips(features, config=config, limit=limit, in_memory=in_memory)
    torch_device = local_device(resolve_device(device))
    join_processes(torch_device)
    changed: dict[str, Any] = {}
    if is_main_process():
        changed = check_run(
            out, config, llm=llm, init=init, train=train, dev=dev, resume=resume,
            allow_config_change=allow_config_change,
        )  # fmt: skip
    # The other processes wait until the main process has accepted the run directory.
    wait_for_all()
    return OpenedRun(out=out, train=train, dev=dev, device=torch_device, changed=changed, init=init)


def open_clips(
    features: Sequence[Path], *, config: FeatureRunConfig, limit: int | None = None, in_memory: bool = False
) -> tuple[FeatureItems, FeatureItems | None]:
    """Return the clips of ``train``, and of ``dev`` if a cache has this split.

    A view of each training clip is drawn for each epoch. The clips of dev are always the clean pass.

    Raises:
        CacheError: no cache has split dev, and ``training.select`` is best. The streams of dev and train
            differ. A cache has neither train nor dev.
    """
    for folder in features:
        # A cache with test alone would otherwise be passed over without a word.
        _check_has_part(folder)
    kept = {"in_memory": in_memory, "workers": config.training.workers}
    caches = open_caches(features, "train", **kept)
    train = FeatureItems(caches, limit=limit, view_seed=config.seed)
    for record in train.records:
        warn_of_mixed_origins(record)
    if any("dev" in splits_in(folder) for folder in features):
        # Without a seed of views: scores must not depend on drawn views.
        dev = FeatureItems(open_caches(features, "dev", **kept), limit=limit)
        _check_same_streams(train, dev)
        return train, dev
    if config.training.select == "best":
        raise CacheError(
            f"{', '.join(map(str, features))}: there is no dev split to choose the best checkpoint by.\n"
            "Add --set training.select=last, or run: fla extract --split dev"
        )
    return train, None


def _check_has_part(folder: Path) -> None:
    splits = splits_in(folder)
    if splits and not {"train", "dev"} & set(splits):
        raise CacheError(
            f"{folder} must hold split train or dev to be tuned on, but holds {', '.join(splits)} alone.\n"
            "Run: fla extract --split train --split dev"
        )


def missing_by_split(train: FeatureItems, dev: FeatureItems | None) -> dict[str, dict[str, str]]:
    """Return the missing clips of each split with reasons, without complete splits."""
    splits = {"train": train.missing, "dev": {} if dev is None else dev.missing}
    return {split: clips for split, clips in splits.items() if clips}


def _check_same_streams(train: FeatureItems, dev: FeatureItems) -> None:
    ours, theirs = ([(r.fingerprint, r.feature_size) for r in items.records] for items in (train, dev))
    if ours != theirs:
        raise CacheError(
            f"Split dev must have the streams of train ({len(ours)}), in one order, but has {len(theirs)} of "
            f"encoders {', '.join(fingerprint for fingerprint, _ in theirs)}.\n"
            "Extract dev with each encoder: fla extract --split dev"
        )
    for own, other in zip(train.records, dev.records, strict=True):
        warn_of_other_origins(own, other)
