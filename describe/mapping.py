"""``fla map``: train a mapper between two caches, and write the predictions for all splits as a cache."""

import logging
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..cache.format import CacheRow, Provenance, shard_name
from ..cache.reader import FeatureCache, splits_in
from ..cache.writer import ShardWriter
from ..core.config import config_to_dict
from ..core.device import resolve_device
from ..core.errors import CacheError, DataError
from ..core.progress import progress
from ..core.run import check_new_folder
from ..encoder.mapper import apply_mapper, mapped_fingerprint, save_mapper
from .map_config import MapConfig
from .map_pairs import pairs_of
from .map_training import TrainedMapper, train_mapper

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """Result of ``fla map``."""

    out: Path
    epoch: int
    """Epoch of the kept weights, from 1."""
    dev_mse: float
    """Mean squared error of an element on dev."""
    mean_mse: float
    """Error of predicting the mean of train for every step of dev."""
    train_clips: int
    dev_clips: int
    rows: int
    """Rows of the new cache."""
    rejected: tuple[tuple[str, str], ...]
    """Split and id of the clips that the source lacks."""

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return asdict(self) | {"out": str(self.out)}

    def describe(self) -> str:
        """Return the result as lines for people."""
        share = self.dev_mse / self.mean_mse if self.mean_mse else float("nan")
        lines = [
            f"{self.out}: {self.rows} rows, mapped from {self.train_clips} clips of train",
            f"error on dev (MSE): {self.dev_mse:.5g} at epoch {self.epoch}, of predicting the mean "
            f"{self.mean_mse:.5g}: {share:.0%} of it",
        ]
        lines += [f"  {split} {id}: the source could not read it" for split, id in self.rejected]
        return "\n".join(lines)


def map_features(source: Path, target: Path, out: Path, *, config: MapConfig, device: str = "auto") -> Mapped:
    """Train a mapper from one cache to another, and write the predictions for every row of the source.

    Args:
        source: cache of pictures (or poses).
        target: cache of descriptions, with the same steps.
        out: a new or empty folder.
        config: settings.
        device: a name for :func:`.resolve_device`.

    Raises:
        CacheError: a cache lacks train or dev, the caches share no clips, or a clip has other steps.
        DataError: predictions are too large for float16.
        RunError: ``out`` is not empty.
    """
    check_new_folder(out)
    _check_splits(source, target)
    caches = {split: FeatureCache(source, split) for split in splits_in(source)}
    # Test is predicted, and never looked at by the training.
    train, dev = (pairs_of(caches[split], FeatureCache(target, split)) for split in ("train", "dev"))
    trained = train_mapper(train, dev, config=config, device=resolve_device(device))
    partial = out.with_name(f"{out.name}.partial")
    # A killed run may have left this folder. Training again gives the same bytes.
    shutil.rmtree(partial, ignore_errors=True)
    save_mapper(trained.mapper, partial)
    for cache in caches.values():
        provenance = _provenance(cache.provenance, train.target.provenance, trained, config)
        _write_split(partial, cache, provenance, trained)
    partial.replace(out)  # whole or not there: an empty folder may be replaced
    return Mapped(
        out=out, epoch=trained.epoch, dev_mse=trained.dev_mse, mean_mse=trained.mean_mse,
        train_clips=len(train.rows), dev_clips=len(dev.rows), rows=sum(map(len, caches.values())),
        rejected=tuple(
            (split, id) for split, cache in caches.items() for id, view in cache.rejected if not view
        ),
    )  # fmt: skip


def _check_splits(*folders: Path) -> None:
    for folder in folders:
        for split in ("train", "dev"):
            if split not in splits_in(folder):
                raise CacheError(
                    f"{folder} must hold train, to learn from, and dev, to end the training, but lacks "
                    f"{split}.\nRun: fla extract"
                )


def _write_split(out: Path, cache: FeatureCache, provenance: Provenance, trained: TrainedMapper) -> None:
    rows = [*cache.rows, *_rejected_rows(cache)]
    # On the CPU: predictions are quick there, and the same wherever the mapper was trained.
    split, mapper = provenance.split, trained.mapper.cpu()
    with ShardWriter(out, split=split, index=0, count=1, rows=rows, provenance=provenance) as writer:
        for number, row in enumerate(progress(cache.rows, desc=f"map {split}", unit="row")):
            try:
                writer.append(row, apply_mapper(mapper, cache[number]))
            except DataError as error:
                raise DataError(f"{split} clip {row.id!r}: {error}") from error
        # What the source could not read stays listed: every clip is accounted for.
        for row in rows[len(cache.rows) :]:
            writer.reject(row, f"it was rejected when {cache.folder} was extracted")
        writer.finish()
    logger.debug(f"{out / shard_name(split, 0, 1)} is written")


def _rejected_rows(cache: FeatureCache) -> Iterator[CacheRow]:
    for id, view in cache.rejected:
        # A cache keeps of a rejected clip nothing but its name.
        yield CacheRow(id=id, text="", language="", signer="", num_frames=0, view=view)


def _provenance(
    source: Provenance, target: Provenance, trained: TrainedMapper, config: MapConfig
) -> Provenance:
    """Return the provenance of mapped features: that of the source, with the mapper and its target."""
    mapper = trained.mapper
    described = {
        "source": source.encoder_fingerprint,
        "source_config": source.encoder_config,
        "source_size": source.feature_size,
        "target": target.encoder_fingerprint,
        "target_config": target.encoder_config,
        "target_preprocessing": target.preprocessing,
        "config": config_to_dict(config),
        "epoch": trained.epoch,
        "dev_mse": trained.dev_mse,
        "mean_mse": trained.mean_mse,
    }
    return replace(
        source,
        encoder_fingerprint=mapped_fingerprint(source.encoder_fingerprint, mapper),
        encoder_config={"kind": "mapper", **asdict(mapper.config)},
        # The recipe of the source stays: a new video goes through the encoder, then through the mapper.
        preprocessing={**source.preprocessing, "mapped": described},
        feature_size=target.feature_size,
        versions={**source.versions, **{name: version(name) for name in ("fla-llm", "torch")}},
    )
