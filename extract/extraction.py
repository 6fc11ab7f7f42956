"""The frozen encoder runs once over every video: decoding ahead, encoding, writing to a shard."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from ..cache.format import CacheRow
from ..cache.writer import ShardWriter
from ..core.device import resolve_dtype
from ..core.progress import progress, say
from ..corpora.manifest import Manifest
from ..encoder.encode import encode
from ..encoder.frozen import FrozenEncoder
from .clips import FILLER, ClipDataset, ClipStream
from .config import ExtractConfig
from .plan import ShardPlan, check_plans, level_of, plan_shards
from .result import Extracted, Rejected


def extract(
    manifest: Manifest,
    *,
    encoder: FrozenEncoder,
    fingerprint: str,
    out: Path,
    splits: Sequence[str] = (),
    shard: tuple[int, int] = (0, 1),
    config: ExtractConfig,
    device: torch.device,
) -> Extracted:
    """Write a shard of each split, going on where an earlier run was ended.

    Args:
        manifest: the videos.
        encoder: the frozen encoder.
        fingerprint: its fingerprint.
        out: the cache's folder; other files in it are left alone.
        splits: which splits; none named: all there are.
        shard: (i, n): every n-th sample of a split, from the i-th.
        config: how.
        device: where the encoder computes.

    Raises:
        CacheError: a shard is there that was made by something else, another process is writing it,
            or the disk is too small.
        DataError: a split has no sample, none of its videos is there, or features are not finite.
        ModelError: the level is ``sign`` and the encoder has no temporal module.
    """
    plans = plan_shards(
        manifest,
        encoder=encoder,
        fingerprint=fingerprint,
        out=out,
        splits=splits,
        shard=shard,
        config=config,
        device=device,
    )
    check_plans(plans, manifest, out)
    result = Extracted()
    for plan in plans:
        if plan.finished is not None:
            _skip(plan, result)
        else:
            _write_shard(plan, manifest, encoder=encoder, config=config, device=device, result=result)
        result.shards.append(plan.path)
    return result


def _skip(plan: ShardPlan, result: Extracted) -> None:
    assert plan.finished is not None
    say(f"{plan.path} is finished: skipped")
    result.skipped.append(plan.path)
    reason = f"It could not be read when {plan.path.name} was written; mend it and delete that shard."
    once = dict.fromkeys(id_ for id_, _ in plan.finished.rejected)  # not once for each view
    result.rejected += [Rejected(split=plan.split, id=id_, reason=reason) for id_ in once]


def _write_shard(
    plan: ShardPlan,
    manifest: Manifest,
    *,
    encoder: FrozenEncoder,
    config: ExtractConfig,
    device: torch.device,
    result: Extracted,
) -> None:
    place = {"split": plan.split, "index": plan.index, "count": plan.count}
    with ShardWriter(plan.folder, **place, rows=plan.rows, provenance=plan.provenance) as writer:
        pending = plan.views[len(plan.views) - len(writer.pending) :]
        clips = ClipDataset(manifest, pending, config=encoder.config, extraction=config)
        stream = ClipStream(clips, workers=config.num_workers, result=result)
        encoded = encode(
            encoder,
            stream.frames(filler=writer.steps_written % config.frame_batch),
            frame_batch=config.frame_batch,
            level=level_of(encoder, config),
            device=device,
            dtype=resolve_dtype(config.precision, device),
        )
        _fill(writer, encoded, stream.rejected, name=plan.path.stem, result=result)
        once = {entry.id: entry.rejected or "" for entry in writer.rejected}  # not once for each view
        rejected = [Rejected(split=plan.split, id=id_, reason=reason) for id_, reason in once.items()]
        with result.timed("write"):
            writer.finish()
        result.rejected += rejected


def _fill(
    writer: ShardWriter,
    encoded: Iterator[tuple[int, np.ndarray]],
    reasons: list[str],
    *,
    name: str,
    result: Extracted,
) -> None:
    """Add the pending videos to the writer, in order: their features, or why there are none."""
    pending = writer.pending
    with progress(desc=f"extract {name}", total=writer.num_rows, unit="clip") as bar:
        bar.update(writer.num_rows - len(pending))
        for index, features in _timed(encoded, result):
            if index == FILLER:
                continue
            with result.timed("write"):
                _reject_until(pending[index], writer, reasons)
                writer.append(pending[index], features)
            result.clips += pending[index].view == 0
            result.frames += len(features)
            bar.update(writer.num_written - bar.n)
        _reject_until(None, writer, reasons)
        bar.update(writer.num_written - bar.n)


def _timed(encoded: Iterator[tuple[int, np.ndarray]], result: Extracted) -> Iterator[tuple[int, np.ndarray]]:
    while True:
        with result.timed("encode", without="decode"):
            item = next(encoded, None)
        if item is None:
            return
        yield item


def _reject_until(row: CacheRow | None, writer: ShardWriter, reasons: list[str]) -> None:
    """Reject the rows before ``row`` (None: all that are left): they never came to be encoded."""
    while writer.next_row is not None and writer.next_row != row:
        reason = reasons.pop(0)
        if writer.next_row.view == 0:
            say(f"{writer.next_row.id}: {reason}")
        writer.reject(writer.next_row, reason)
