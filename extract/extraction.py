"""The frozen encoder runs once over every video: decoding ahead, encoding, writing to a shard."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from ..cache.format import CacheRow
from ..cache.writer import ShardWriter
from ..core.device import resolve_dtype
from ..core.progress import progress
from ..core.signals import Interrupted, interrupted_by_signals
from ..corpora.manifest import Manifest
from ..encoder.encode import encode
from ..encoder.frozen import FrozenEncoder
from .clips import ClipDataset
from .config import ExtractConfig
from .plan import ShardPlan, check_plans, level_of, plan_shards
from .result import Extracted, Rejected
from .settle import settle
from .stream import ClipStream
from .threads import torch_threads
from .writing import WriterThread

logger = logging.getLogger(__name__)


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
        ConfigError: the device has too little memory, or the phase is not below the encoder's stride.
        DataError: a split has no sample, none of its videos is there, a decoding process died, or features
            are not finite.
        ModelError: the level is ``sign`` and the encoder has no temporal module.
        Interrupted: SIGTERM or SIGINT came; what is done is kept.
    """
    order = {
        "encoder": encoder, "fingerprint": fingerprint, "out": out, "splits": splits, "shard": shard,
        "device": device,
    }  # fmt: skip
    config = settle(config, **order)
    plans = plan_shards(manifest, **order, config=config)
    check_plans(plans, manifest, out)
    result = Extracted()
    with torch_threads(config.num_threads), interrupted_by_signals():
        for plan in plans:
            if plan.finished is not None:
                _skip(plan, result)
            else:
                _write_shard(plan, manifest, encoder=encoder, config=config, device=device, result=result)
            result.shards.append(plan.path)
    return result


def _skip(plan: ShardPlan, result: Extracted) -> None:
    assert plan.finished is not None
    logger.info(f"{plan.path} is finished: skipped")
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
    frame_batch = plan.provenance.frame_batch
    with _open_writer(plan, config) as writer, _saying_how_to_go_on(writer):
        views = plan.views[len(plan.views) - len(writer.pending) :]
        clips = ClipDataset(manifest, views, config=encoder.config, extraction=config)
        ids = [view.sample.id for view in views]
        with ClipStream(clips, ids=ids, workers=config.num_workers, result=result) as stream:
            encoded = encode(
                encoder,
                stream.frames(),
                frame_batch=frame_batch,
                filled=writer.steps_written % encoder.windows.per_batch(frame_batch),
                compile=config.compile,
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


def _open_writer(plan: ShardPlan, config: ExtractConfig) -> ShardWriter:
    made_by = plan.provenance
    return ShardWriter(
        plan.folder,
        split=plan.split,
        index=plan.index,
        count=plan.count,
        rows=plan.rows,
        provenance=made_by,
        note={
            "encoder": made_by.encoder_fingerprint,
            "frame_batch": made_by.frame_batch,
            "threads": config.num_threads,
        },
    )


@contextmanager
def _saying_how_to_go_on(writer: ShardWriter) -> Iterator[None]:
    try:
        yield
    except Interrupted as stopped:
        logger.warning(
            f"Ended by {stopped.signal.name}: {writer.num_written} of {writer.num_rows} clips of "
            f"{writer.path} are done and kept.\nRun the same command again: it goes on from there."
        )
        raise


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
    done, total = writer.num_written, writer.num_rows
    with (
        progress(desc=f"extract {name}", total=total, initial=done, unit="clip") as bar,
        WriterThread(writer, result=result) as thread,
    ):
        for index, features in _timed(encoded, result):
            num_rejected = _reject_until(pending[index], thread, reasons)
            thread.append(features)
            result.clips += pending[index].view == 0
            result.frames += len(features)
            bar.set_postfix_str(f"{result.frames_per_second:.0f} frames/s", refresh=False)
            bar.update(1 + num_rejected)
        bar.update(_reject_until(None, thread, reasons))


def _timed(encoded: Iterator[tuple[int, np.ndarray]], result: Extracted) -> Iterator[tuple[int, np.ndarray]]:
    while True:
        with result.timed("encode", without="decode"):
            item = next(encoded, None)
        if item is None:
            return
        yield item


def _reject_until(row: CacheRow | None, thread: WriterThread, reasons: list[str]) -> int:
    """Reject the rows before ``row`` (None: all that are left) and count them: they were never encoded."""
    count = 0
    while (next_row := thread.next_row) is not None and next_row != row:
        reason = reasons.pop(0)
        if next_row.view == 0:
            logger.warning(f"{next_row.id}: {reason}")
        thread.reject(reason)
        count += 1
    return count
