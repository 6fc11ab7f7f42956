"""Check a cache for damage: quickly by the seals, or down to each video.

The quick check reads bytes and compares digests; it opens HDF5 only where they agree. The deep one
parses every shard, damaged ones too, and does so in a process of its own with limits on time and
memory, since a parser fed with damaged bytes may crash, loop, or ask for any amount of memory.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import CacheError
from ..core.files import visible
from .checksum_header import checksum_matches, read_checksum
from .reader import read_shards, shard_paths

_BASE_SECONDS = 60
_BYTES_PER_SECOND = 10e6
"""The slowest disk that is given the time it needs."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that is wrong with a cache."""

    shard: str
    """The shard's file name, or the cache's folder for what concerns all shards."""
    video: str | None
    """The damaged video's id, where the fault is one video's."""
    reason: str
    """What is wrong, as a sentence."""


def verify(folder: Path, *, deep: bool = False) -> list[Fault]:
    """Return everything that is wrong with the shards of a cache.

    Args:
        folder: the cache.
        deep: also check every video: checksum, NaN and infinity, agreement with the index.

    Raises:
        CacheError: there is no such folder, or no ``*.h5`` file in it.
    """
    paths = visible(folder.glob("*.h5"))
    if not paths:
        shard_paths(folder)
    faults = [fault for path in paths for fault in _verify_shard(path, deep=deep)]
    try:
        if faults:
            shard_paths(folder)  # by names alone: what is damaged is not opened here
        else:
            read_shards(folder)
    except CacheError as error:
        if str(error) not in {fault.reason for fault in faults}:
            faults.append(Fault(shard=str(folder), video=None, reason=str(error)))
    return faults


def _verify_shard(path: Path, *, deep: bool) -> Iterator[Fault]:
    try:
        read_checksum(path)
    except CacheError as error:
        yield Fault(shard=path.name, video=None, reason=str(error))
        return
    if not checksum_matches(path):
        reason = "Its bytes are not those that were written: the user block with their SHA-256 differs."
        yield Fault(shard=path.name, video=None, reason=reason)
    if deep:
        yield from _check_videos(path, seconds=_BASE_SECONDS + path.stat().st_size / _BYTES_PER_SECOND)


def _check_videos(path: Path, *, seconds: float) -> Iterator[Fault]:
    """Parse a shard in a child process; name the video it was at if the child does not come back."""
    command = [sys.executable, "-m", f"{__package__}.check", str(path), str(int(seconds))]
    try:
        result = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
        output, end = result.stdout, _how_it_ended(result.returncode, result.stderr)
    except subprocess.TimeoutExpired as error:
        output, end = error.stdout or b"", f"took longer than {seconds:.0f} s"
    at = None
    for line in output.split(b"\n")[:-1]:  # a child that was ended may leave half a line
        at, reason = json.loads(line)
        if reason is not None:
            yield Fault(shard=path.name, video=at, reason=reason)
    if end is not None:
        yield Fault(shard=path.name, video=at, reason=f"Parsing it {end}.")


def _how_it_ended(status: int, stderr: bytes) -> str | None:
    if status == 0:
        return None
    if status < 0:
        return f"ended with {signal.Signals(-status).name}"
    last = stderr.decode(errors="replace").strip().split("\n")[-1]
    return f"failed: {last}"
