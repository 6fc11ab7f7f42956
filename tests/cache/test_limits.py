"""No size that a file declares is allocated before the file is known to hold as many bytes."""

import gzip
import io
import os
import pickle
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from fla_llm.cache import pickle_limits
from fla_llm.cache.foreign import open_npy, open_pt
from fla_llm.cache.reader import FeatureCache
from fla_llm.cache.seal import write_seal
from fla_llm.cache.shard import read_index
from fla_llm.cache.tensor_pickle import read_pickles
from fla_llm.cache.verify import verify
from fla_llm.core.errors import CacheError, DataError, FlaError

HUGE = 1 << 30
ROOM_BYTES = 1 << 28
"""Address space that a reader gets for a file of a few kilobytes."""
STATUS = Path("/proc/self/statm")
PICKLES = {
    "LONG_BINPUT": b"\x80\x04]r" + (HUGE >> 3).to_bytes(4, "little") + b".",
    "PUT": b"\x80\x04]p%d\n." % (HUGE >> 3),
    "BINBYTES": b"\x80\x04B" + HUGE.to_bytes(4, "little"),
    "BINBYTES8": b"\x80\x04\x8e" + HUGE.to_bytes(8, "little"),
    "BYTEARRAY8": b"\x80\x05\x96" + HUGE.to_bytes(8, "little"),
    "BINUNICODE": b"\x80\x04X" + HUGE.to_bytes(4, "little"),
    "BINUNICODE8": b"\x80\x04\x8d" + HUGE.to_bytes(8, "little"),
    "BINSTRING": b"\x80\x02T" + HUGE.to_bytes(4, "little"),
    "LONG4": b"\x80\x02\x8b" + HUGE.to_bytes(4, "little"),
    "FRAME": b"\x80\x04\x95" + HUGE.to_bytes(8, "little"),
}


class Call:
    """Unpickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.reduced = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def read_in_little_memory(read: Callable[[], Any]) -> str:
    """Return the error that ``read`` raises in a process with little address space, or ``no error``."""
    if not STATUS.exists():
        pytest.skip(f"no {STATUS}: this system does not tell how much address space is in use")
    receiver, sender = os.pipe()
    if (child := os.fork()) == 0:
        limit = int(STATUS.read_text().split()[0]) * resource.getpagesize() + ROOM_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        found = "no error"
        try:
            read()
        except FlaError as error:
            found = str(error)
        except BaseException as error:
            found = repr(error)
        finally:
            os.write(sender, found.encode())
            os._exit(0)
    os.close(sender)
    os.waitpid(child, 0)
    with os.fdopen(receiver, "rb") as file:
        return file.read().decode()


def check_refused(read: Callable[[], Any], *, error: type[FlaError] = DataError) -> str:
    """Check that ``read`` refuses a file for what the file says, and not because memory ran out."""
    with pytest.raises(error) as caught:
        read()
    assert read_in_little_memory(read) == str(caught.value)
    assert "emory" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("opcode", PICKLES)
@pytest.mark.parametrize("is_packed", [False, True])
def test_sizes_in_a_pickle(tmp_path: Path, opcode: str, is_packed: bool) -> None:
    content = PICKLES[opcode]
    (tmp_path / "small").write_bytes(gzip.compress(content) if is_packed else content)
    check_refused(lambda: read_pickles(tmp_path / "small"))


def test_calls_in_a_pickle_build_no_more_than_the_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "small"
    text = b"c_codecs\nencode\nq\x01X\x00\x00\x01\x00" + bytes(1 << 16) + b"q\x02X\x06\x00\x00\x00latin1q\x03"
    path.write_bytes(b"\x80\x02]q\x00(" + text + b"h\x01h\x02h\x03\x86R" * 5000 + b"e.")
    assert f"calls must build at most {path.stat().st_size} bytes" in check_refused(
        lambda: read_pickles(path)
    )


def test_a_pickle_of_too_many_opcodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_limits, "MAX_OPCODES", 1000)
    (tmp_path / "small").write_bytes(b"\x80\x04(" + b"}" * 1000 + b"l.")
    with pytest.raises(DataError, match="at most 1000 opcodes"):
        read_pickles(tmp_path / "small")


def legacy(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def huge_storage() -> bytes:
    """Return a tensor in torch's older format, whose storage declares 4 GiB."""
    whole = legacy(torch.zeros(4, 8))
    assert whole.count(b"cpuq\x04K Nt") == 1
    return whole.replace(b"cpuq\x04K Nt", b"cpuq\x04J" + (HUGE - 1).to_bytes(4, "little") + b"Nt")


def declaring_archive(path: Path) -> None:
    """Write a zip whose list of contents declares 1 GiB for a part of a few bytes."""
    torch.save(torch.zeros(4, 8), path)
    with zipfile.ZipFile(path) as archive:
        size = next(e for e in archive.infolist() if e.filename.endswith("data.pkl")).file_size
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")  # the list stands behind all parts
    sizes = size.to_bytes(4, "little") * 2
    assert content[start:].count(sizes) == 1
    path.write_bytes(content[:start] + content[start:].replace(sizes, HUGE.to_bytes(4, "little") * 2))


META = Call(torch._utils._rebuild_meta_tensor_no_storage, torch.float32, (2, 8), (8, 1), False)


@pytest.mark.parametrize(
    ("call", "pattern"),
    [
        (Call(bytearray, HUGE), "bytearray"),
        (Call(torch.FloatTensor, HUGE), "FloatTensor"),
        (META, "rebuild_meta_tensor_no_storage"),
    ],
)
@pytest.mark.parametrize("as_zip", [False, True])
def test_calls_in_pt_files(tmp_path: Path, call: Call, pattern: str, as_zip: bool) -> None:
    content = {"features": torch.zeros(4, 8), "x": call}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=as_zip)
    assert pattern in check_refused(lambda: open_pt(tmp_path / "a.pt"))


def test_sizes_in_pt_files(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(huge_storage())
    assert f"declares {4 * (HUGE - 1)} bytes, but the file has" in check_refused(lambda: open_pt(path))
    declaring_archive(path)
    assert "parts declare more than" in check_refused(lambda: open_pt(path))
    for content in PICKLES.values():
        path.write_bytes(content)
        check_refused(lambda: open_pt(path))
    path.write_bytes(
        legacy(torch.zeros(1)).replace(b"Nt", b"\x8a\x01\xfft", 1).replace(b"ctorch\nFlo", b"X\x01", 1)
    )
    check_refused(lambda: open_pt(path))


@pytest.mark.parametrize("storage", [huge_storage(), legacy(Call(bytearray, HUGE))])
def test_sizes_in_a_tensor_of_a_pickle(tmp_path: Path, storage: bytes) -> None:
    entry = Call(torch.storage._load_from_bytes, storage)
    (tmp_path / "a").write_bytes(pickle.dumps([entry], protocol=4))
    check_refused(lambda: read_pickles(tmp_path / "a"))


def test_bytes_grow_by_no_codec(tmp_path: Path) -> None:
    """Each call of ``hex`` doubles a text: thirty of them fit into a file of 800 bytes."""
    grown: Any = "a"
    for _ in range(30):
        grown = Call(__import__("_codecs").encode, grown, "hex")
    torch.save({"features": torch.zeros(4, 8), "x": grown}, tmp_path / "a.pt")
    assert "latin1, but are as 'hex'" in check_refused(lambda: open_pt(tmp_path / "a.pt"))


def test_sizes_in_npy_files(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x02\x00" + HUGE.to_bytes(4, "little") + b"{")
    assert "header is longer than the file" in check_refused(lambda: open_npy(path))
    np.save(path, np.zeros((4, 8), np.float32))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"(4, 8), }" + b" " * 8, b"(%d, 8), }" % HUGE, 1)[: len(whole)])
    check_refused(lambda: open_npy(path))


@pytest.mark.parametrize("column", ["index/id", "index/num_steps", "rejected/id", "rejected/view"])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_shapes_in_the_index_of_a_shard(maker: Any, column: str, is_chunked: bool) -> None:
    path = maker.write(maker.rows(2))
    redeclare(path, column, shape=(HUGE,), is_chunked=is_chunked)
    assert f"/{column} declares" in check_refused(lambda: read_index(path), error=CacheError)


def test_shapes_of_features(maker: Any) -> None:
    """The index may declare the same: then only the file's size tells."""
    path = maker.write(maker.rows(1))
    redeclare(path, "features/0", shape=(HUGE, maker.width))
    with h5py.File(path, "r+") as file:
        file["index/num_steps"][0] = HUGE
    write_seal(path)
    assert "/features/0 declares" in check_refused(lambda: FeatureCache(path.parent)[0], error=CacheError)
    (fault,) = verify(path.parent, deep=True)
    assert fault.video == "trä/0"
    assert "/features/0 declares" in fault.reason


def redeclare(path: Path, name: str, *, shape: tuple[int, ...], is_chunked: bool = False) -> None:
    """Replace a dataset by one of a huge shape that stores no number, and write the checksum anew."""
    with h5py.File(path, "r+") as file:
        dtype: Any = h5py.string_dtype() if name.endswith("/id") else file[name].dtype
        del file[name]
        file.create_dataset(name, shape=shape, dtype=dtype, chunks=is_chunked or None)
    write_seal(path)
