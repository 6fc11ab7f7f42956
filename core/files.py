"""Atomic writing, JSON and text files with line numbers in errors, and paths inside a folder."""

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import DataError

BLOCK_BYTES = 1 << 20


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path. When the block ends without an error, the temporary file replaces ``path``.

    The file and the folder are synced to the disk, and the umask decides the file's mode. After an error the
    temporary file is removed, and ``path`` stays unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Part of the name: with the whole of a long name, the temporary name would be longer than names may be.
    temporary = path.with_name(f".{path.name[:40]}.{os.getpid()}.tmp")
    try:
        yield temporary
        respect_umask([temporary])
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def respect_umask(files: Iterable[Path]) -> None:
    """Give the files of a folder the mode of new files under the umask.

    safetensors leaves files that only the owner may read.
    """
    mode = None
    for file in files:
        if mode is None:
            # A probe file: reading the umask with os.umask would change the umask for all threads meanwhile.
            probe = file.with_name(f".{file.name}.{os.getpid()}.mode")
            probe.touch()
            mode = stat.S_IMODE(probe.stat().st_mode)
            probe.unlink()
        file.chmod(mode)


def sync_folder(folder: Path) -> None:
    """Sync a folder to the disk, so that renames in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(_dump(content, indent=2))


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        DataError: the file cannot be read or is not JSON.
    """
    return _parse(read_text(path), place=str(path))


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a JSON object per line, atomically."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        file.writelines(_dump(row) for row in rows)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON Lines file. Empty lines are skipped.

    Raises:
        DataError: the file cannot be read, or a line is not a JSON object. The error names the line.
    """
    lines = read_text(path).split("\n")  # not splitlines: a sentence may hold U+2028
    return [_parse_object(line, f"{path}, line {n}") for n, line in enumerate(lines, 1) if line.strip()]


def read_text(path: Path) -> str:
    """Return the content of a UTF-8 text file.

    Raises:
        DataError: the file cannot be read, or a byte is not UTF-8. The error names the byte and the line.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        return raw.decode("utf-8-sig")  # spreadsheets write a byte order mark
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} must be UTF-8, but byte {error.start} (line {line}) is not: {error.reason}.\n"
            "Fetch the file again if it is cut off, or convert it, e.g. with iconv."
        ) from error


def resolve_inside(root: Path, relative: str) -> Path:
    """Return the path ``root/relative``, which must lie inside ``root``.

    Symbolic links inside ``root`` may lead to other folders, as in many copies of corpora.

    Raises:
        DataError: the path is absolute or climbs out of ``root``.
    """
    # normpath works on the text alone. resolve() would follow links, and refuse links to other disks.
    path = Path(os.path.normpath(root / relative))
    if not path.is_relative_to(os.path.normpath(root)):
        raise DataError(f"A path must stay inside {root}, but is {relative!r}.")
    return path


def visible(paths: Iterable[Path]) -> list[Path]:
    """Return the paths sorted by name, without hidden files (names with a dot in front)."""
    # macOS writes ``._clip.npy`` beside ``clip.npy`` on file systems of other systems.
    return sorted(path for path in paths if not path.name.startswith("."))


def sha256_file(path: Path, *, offset: int = 0) -> str:
    """Return the SHA-256 digest of a file from byte ``offset`` on, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(offset)
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _dump(content: Any, *, indent: int | None = None) -> bytes:
    """Return ``content`` as JSON and a newline."""
    text = json.dumps(content, ensure_ascii=False, indent=indent)
    # UTF-8 lacks lone surrogates, which stand in JSON strings alone. There Python's escape is JSON's too.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _parse(text: str, *, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of 5000 digits, or brackets 1000 deep
        raise DataError(f"{place} must be JSON, but is not: {error}") from error


def _parse_object(text: str, place: str) -> dict[str, Any]:
    value = _parse(text, place=place)
    if not isinstance(value, dict):
        raise DataError(f"{place} must be a JSON object, but is {type(value).__name__}.")
    return value
