"""Resolution of open settings, before the first clip.

The frame batch, and on a CPU the number of threads, decide the last bits of a feature. An earlier choice is
used again: the frame batch of any shard or journal of the same encoder in the cache's folder, and the threads
of the journal of the same shard. All shards of a cache need the same frame batch, but not the same threads.
"""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..cache.format import parse_shard_name, partial_folder, shard_name
from ..cache.journal import read_header
from ..cache.shard import read_index
from ..core.device import default_threads, resolve_dtype
from ..core.errors import CacheError
from ..core.files import read_json, visible
from ..core.sample import SPLITS
from ..encoder.frozen import FrozenEncoder
from .batch_size_search import choose_frame_batch, seconds_to_encode
from .config import FRAME_BATCH, ExtractConfig
from .provenance import level_of

logger = logging.getLogger(__name__)

_NOTE = "frame_batch-{}.json"
"""File name of the note with the frame batch, for the beginning of an encoder's fingerprint."""


def resolve_settings(
    config: ExtractConfig,
    *,
    encoder: FrozenEncoder,
    fingerprint: str,
    out: Path,
    splits: Sequence[str] = SPLITS,
    shard: tuple[int, int] = (0, 1),
    device: torch.device,
    leave_note: bool = True,
) -> ExtractConfig:
    """Return the settings with ``frame_batch`` and ``threads`` filled in.

    Args:
        config: the settings; values that the user gave stay.
        encoder: the frozen encoder.
        fingerprint: fingerprint of the encoder; results of other encoders are ignored.
        out: folder of the cache.
        splits: splits to extract.
        shard: (i, n), the shard of each split.
        device: where the encoder computes.
        leave_note: write the result of a search into the folder, for processes that start at the same time.

    Raises:
        ConfigError: CUDA has too little memory for the smallest frame batch tried.
        CacheError: ``out`` cannot be a folder, or a shard in the folder is damaged.
        ModelError: the level is ``sign`` and the encoder has no temporal module.
    """
    _check_folder(out)
    journals = [partial_folder(out / shard_name(split, *shard)) for split in splits]
    # Threads only from journals of this shard: a finished shard does not continue.
    own = [folder for folder in journals if folder.exists()]
    threads = config.threads or next(_in_journals(own, fingerprint, "threads"), None) or default_threads()
    frame_batch = config.frame_batch or next(_frame_batches(out, own, fingerprint), None)
    if frame_batch is None:
        frame_batch = _fastest_frame_batch(encoder, config=config, device=device)
        if leave_note and device.type == "cuda":
            frame_batch = _first_to_note(out, fingerprint, frame_batch)
    return replace(config, frame_batch=frame_batch, threads=threads)


def _fastest_frame_batch(encoder: FrozenEncoder, *, config: ExtractConfig, device: torch.device) -> int:
    """Return the frame batch: the fastest by a search on CUDA, 32 elsewhere."""
    # A clip of key points is encoded as a whole, and texts differ in length.
    if device.type != "cuda" or encoder.config.medium != "video":
        return FRAME_BATCH
    dtype = resolve_dtype(config.precision, device)
    seconds = seconds_to_encode(encoder, level=level_of(encoder, config), device=device, dtype=dtype)
    chosen = choose_frame_batch(seconds)
    torch.cuda.empty_cache()  # the batches that were tried and are too large
    logger.info(f"frame_batch={chosen} was found to be fastest on {torch.cuda.get_device_name(device)}.")
    return chosen


def _check_folder(out: Path) -> None:
    """Refuse a file, a path below a file, and a name too long for the file system."""
    try:
        there = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    except OSError as error:  # such as a name of more than 255 bytes
        raise CacheError(f"--out must name a folder, but {out} cannot be one: {error.strerror}.") from error
    if not there.is_dir():
        raise CacheError(f"--out must name a folder, but {there} is a file.\nChoose another folder.")


def _frame_batches(out: Path, own: Sequence[Path], fingerprint: str) -> Iterator[int]:
    """Yield the frame batches of finished shards, of journals (``own`` first) and of the note."""
    # Finished shards come first, because they cannot change any more.
    for path in visible(out.glob("*.h5")):
        if parse_shard_name(path.name):
            made_by = read_index(path).provenance
            if made_by.encoder_fingerprint == fingerprint:
                yield made_by.frame_batch
    yield from _in_journals([*own, *visible(out.glob("*.partial"))], fingerprint, "frame_batch")
    if (note := out / _NOTE.format(fingerprint[:12])).exists():
        yield read_json(note)["frame_batch"]


def _in_journals(folders: Sequence[Path], fingerprint: str, key: str) -> Iterator[Any]:
    for folder in folders:
        header = read_header(folder)
        if header.get("encoder") == fingerprint and key in header:
            yield header[key]


def _first_to_note(out: Path, fingerprint: str, frame_batch: int) -> int:
    """Write the frame batch into a note. Return the frame batch of the first note."""
    note = out / _NOTE.format(fingerprint[:12])
    mine = note.with_name(f".{note.name}.{os.getpid()}.tmp")
    out.mkdir(parents=True, exist_ok=True)
    mine.write_text(json.dumps({"encoder": fingerprint, "frame_batch": frame_batch}))
    # A link is made whole or not at all, by one process alone, on network file systems too.
    with suppress(FileExistsError):
        note.hardlink_to(mine)
    mine.unlink()
    return read_json(note)["frame_batch"]
