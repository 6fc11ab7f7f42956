"""Check of a cache for damage: quickly by checksum headers, or deeply by videos.

The quick check compares digests and opens HDF5 only for intact shards. The deep check parses every shard,
damaged or not, in a separate process with limits on time and memory: a parser of damaged bytes may crash,
loop, or request any amount of memory.
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
"""Speed of the slowest supported disk."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Fault of a cache."""

    shard: str
    """File name of the shard, or the folder of the cache for a fault of several shards."""
    video: str | None
    """Id of the damaged video, or None."""
    reason: str
    """Description of the fault, as a sentence."""


def verify(folder: Path, *, deep: bool = False) -> list[Fault]:
    """Return all faults of a cache.

    Args:
        folder: the cache.
        deep: also check every video: checksum, NaN and infinity, agreement with the index.

    Raises:
        CacheError: the folder is missing or has no ``*.h5`` file.
    """
    paths = visible(folder.glob("*.h5"))
    if not paths:
        # Without any shard, the error says whether the folder or its content is missing.
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
    # A deep check goes on after a wrong checksum, to name the damaged videos.
    if not checksum_matches(path):
        reason = "Its bytes are not those that were written: the user block with their SHA-256 differs."
        yield Fault(shard=path.name, video=None, reason=reason)
    if deep:
        yield from _check_videos(path, seconds=_BASE_SECONDS + path.stat().st_size / _BYTES_PER_SECOND)


def _check_videos(path: Path, *, seconds: float) -> Iterator[Fault]:
    """Parse a shard in a child process. If the child ends early, name the video that was being read."""
    command = [sys.executable, "-m", f"{__package__}.check", str(path), str(int(seconds))]
    try:
        result = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
        output, end = result.stdout, _describe_exit(result.returncode, result.stderr)
    except subprocess.TimeoutExpired as error:
        output, end = error.stdout or b"", f"took longer than {seconds:.0f} s"
    at = None
    for line in output.split(b"\n")[:-1]:  # a child that was ended may leave half a line
        at, reason = json.loads(line)
        if reason is not None:
            yield Fault(shard=path.name, video=at, reason=reason)
    if end is not None:
        yield Fault(shard=path.name, video=at, reason=f"Parsing it {end}.")


def _describe_exit(status: int, stderr: bytes) -> str | None:
    if status == 0:
        return None
    # subprocess reports a signal as a negative number.
    if status < 0:
        return f"ended with {signal.Signals(-status).name}"
    last = stderr.decode(errors="replace").strip().split("\n")[-1]
    return f"failed: {last}"
