"""Settings left open are settled before the first clip, so that all runs and shards of a cache agree.

How many frames the backbone sees at once has a say in the last bits of a feature, and so has, on a CPU, the
number of threads. What was chosen once is taken again: the frame batch from anything in the cache's folder
that the same encoder made, the threads from the shard's own journal alone, since shards agree without.
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
from ..core.device import resolve_dtype
from ..core.files import read_json, visible
from ..core.sample import SPLITS
from ..encoder.frozen import FrozenEncoder
from .config import FRAME_BATCH, ExtractConfig
from .plan import existing_parent, level_of
from .probe import choose_frame_batch, seconds_to_encode

logger = logging.getLogger(__name__)


def settle(
    config: ExtractConfig,
    *,
    encoder: FrozenEncoder,
    fingerprint: str,
    out: Path,
    splits: Sequence[str] = (),
    shard: tuple[int, int] = (0, 1),
    device: torch.device,
    leave_note: bool = True,
) -> ExtractConfig:
    """Return the settings with ``frame_batch`` given, and ``threads`` where a journal says them.

    Args:
        config: the settings; what they say holds.
        encoder: the frozen encoder.
        fingerprint: its fingerprint; what another encoder made is not looked at.
        out: the cache's folder.
        splits: which splits are to be extracted; none named: all.
        shard: (i, n): which shard of each.
        device: where the encoder computes.
        leave_note: write a frame batch found by trying into the folder, for processes that begin at the
            same time.

    Raises:
        ConfigError: CUDA has too little memory for the smallest frame batch tried.
        CacheError: ``out`` cannot be a folder, or a shard in it is damaged.
        ModelError: the level is ``sign`` and the encoder has no temporal module.
    """
    existing_parent(out)
    own = [partial_folder(out / shard_name(split, *shard)) for split in splits or SPLITS]
    threads = config.threads or next(_in_journals(own, fingerprint, "threads"), None)
    frame_batch = config.frame_batch or next(_frame_batches(out, own, fingerprint), None)
    if frame_batch is None:
        frame_batch = resolve_frame_batch(encoder, config=config, device=device)
        if leave_note and device.type == "cuda":
            frame_batch = _first_to_note(out, fingerprint, frame_batch)
    return replace(config, frame_batch=frame_batch, threads=threads)


def resolve_frame_batch(encoder: FrozenEncoder, *, config: ExtractConfig, device: torch.device) -> int:
    """Return the frames the backbone is to see at a time: on CUDA the fastest, by trying; else 32.

    Raises:
        ConfigError: CUDA has too little memory for the smallest frame batch tried.
        ModelError: the level is ``sign`` and the encoder has no temporal module.
    """
    if device.type != "cuda":
        return FRAME_BATCH
    dtype = resolve_dtype(config.precision, device)
    seconds = seconds_to_encode(encoder, level=level_of(encoder, config), device=device, dtype=dtype)
    chosen = choose_frame_batch(seconds)
    torch.cuda.empty_cache()
    logger.info(f"frame_batch={chosen} was found to be fastest on {torch.cuda.get_device_name(device)}.")
    return chosen


def _frame_batches(out: Path, own: Sequence[Path], fingerprint: str) -> Iterator[int]:
    """Yield the frame batches of finished shards, of journals (``own`` first) and of the note."""
    for path in visible(out.glob("*.h5")):
        if parse_shard_name(path.name):
            made_by = read_index(path).provenance
            if made_by.encoder_fingerprint == fingerprint:
                yield made_by.frame_batch
    yield from _in_journals([*own, *visible(out.glob("*.partial"))], fingerprint, "frame_batch")
    if (note := _note(out, fingerprint)).exists():
        yield read_json(note)["frame_batch"]


def _in_journals(folders: Sequence[Path], fingerprint: str, key: str) -> Iterator[Any]:
    for folder in folders:
        header = read_header(folder)
        if header.get("encoder") == fingerprint and key in header:
            yield header[key]


def _note(out: Path, fingerprint: str) -> Path:
    return out / f"frame_batch-{fingerprint[:12]}.json"


def _first_to_note(out: Path, fingerprint: str, frame_batch: int) -> int:
    """Note the frame batch; where another process was quicker, return what that one noted.

    A link is made whole or not at all, by one process alone, on network file systems too.
    """
    note = _note(out, fingerprint)
    mine = note.with_name(f".{note.name}.{os.getpid()}.tmp")
    out.mkdir(parents=True, exist_ok=True)
    mine.write_text(json.dumps({"encoder": fingerprint, "frame_batch": frame_batch}))
    with suppress(FileExistsError):
        note.hardlink_to(mine)
    mine.unlink()
    return read_json(note)["frame_batch"]
