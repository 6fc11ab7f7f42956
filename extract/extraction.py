"""Extraction: every clip is decoded, encoded by the frozen encoder, and written to a shard."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch

from ..cache.writer import ShardWriter
from ..core.device import torch_threads
from ..core.signals import Interrupted, interrupted_by_signals
from ..encoder.encode import BatchEncoder, Level, batch_encoder
from .checks import check
from .clips import ClipDataset
from .decode_ahead import decode_ahead
from .plan import Extraction, ShardPlan
from .result import Extracted
from .writing import WriterThread

logger = logging.getLogger(__name__)


def extract(extraction: Extraction) -> Extracted:
    """Write every shard of an extraction, each from where an earlier run ended.

    Raises:
        CacheError: another process writes a shard, or as :func:`.checks.check`.
        DataError: a decoding process died, the features of a clip are not finite, or as
            :func:`.checks.check`.
        ConfigError: the device has too little memory, or as :func:`.checks.check`.
        ModelError: the level is ``sign`` and the encoder has no temporal module.
        Interrupted: SIGTERM or SIGINT came; finished clips are kept.
    """
    check(extraction)
    result = Extracted()
    with interrupted_by_signals():
        # One shard after the other, so that a run that is ended leaves most shards finished.
        for plan in extraction.plans:
            if plan.finished is None:
                with torch_threads(plan.threads):
                    _write_shard(plan, extraction, result)
            else:
                logger.info(f"{plan.path} is finished: skipped")
                result.skipped.append(plan.path)
                reason = (
                    f"It could not be read when {plan.path.name} was written; mend it and delete that shard."
                )
                result.add_rejected(plan.split, {id_: reason for id_, _ in plan.finished.rejected})
            result.shards.append(plan.path)
    return result


def _write_shard(plan: ShardPlan, extraction: Extraction, result: Extracted) -> None:
    """Decode, encode and write the clips of a shard."""
    with _open_writer(plan) as writer:
        views = plan.views[writer.num_written :]
        clips = ClipDataset(
            extraction.manifest, views, config=extraction.encoder.config, extraction=plan.config,
            texts=extraction.texts,
        )  # fmt: skip
        batches = _batch_encoder(plan, extraction, steps_written=writer.steps_written)
        with (
            WriterThread(writer, result=result) as output,
            decode_ahead(clips, workers=plan.config.num_workers) as decoded,
        ):
            for number, frames in result.timed_each("decode", decoded):
                if isinstance(frames, str):  # the reason why the clip cannot be read
                    output.put(number, frames)
                    continue
                for done, features in result.timed_each("encode", batches.add(number, frames)):
                    output.put(done, features)
            for done, features in result.timed_each("encode", batches.finish()):
                output.put(done, features)
        # The journal has the reasons of earlier runs too, and finish() removes the journal.
        result.add_rejected(plan.split, {entry.id: entry.rejected or "" for entry in writer.rejected})
        with result.timed("write"):
            writer.finish()


def _batch_encoder(plan: ShardPlan, extraction: Extraction, *, steps_written: int) -> BatchEncoder[int]:
    """Return the encoder of a shard of which an earlier run has written so many steps."""
    encoder, made_by = extraction.encoder, plan.provenance
    return batch_encoder(
        encoder, frame_batch=made_by.frame_batch, level=cast("Level", made_by.level),
        device=extraction.device, dtype=getattr(torch, made_by.compute_dtype), compile=plan.config.compile,
        # Zeros stand for the units of the earlier run: every unit has the place that it had there.
        filled=steps_written % encoder.windows.per_batch(made_by.frame_batch),
    )  # fmt: skip


@contextmanager
def _open_writer(plan: ShardPlan) -> Iterator[ShardWriter]:
    """Open the journal of a shard; tell a user who stops the run how to continue."""
    made_by = plan.provenance
    note = {
        "encoder": made_by.encoder_fingerprint,
        "frame_batch": made_by.frame_batch,
        "threads": plan.threads,
    }
    with ShardWriter(
        plan.path.parent, split=plan.split, index=plan.index, count=plan.count, rows=plan.rows,
        provenance=made_by, note=note,
    ) as writer:  # fmt: skip
        try:
            yield writer
        except Interrupted as interrupted:
            logger.warning(
                f"Ended by {interrupted.signal.name}: {writer.num_written} of {writer.num_rows} clips of "
                f"{writer.path} are done and kept.\nRun the same command again: it goes on from there."
            )
            raise
