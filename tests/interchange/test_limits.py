"""No size that a file declares is allocated before the file is known to hold as many bytes."""

import gzip
import io
import pickle
import runpy
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fla_llm.core import limited_pickle
from fla_llm.core.errors import DataError
from fla_llm.interchange.array_files import open_npy, open_pt
from fla_llm.interchange.safe_unpickle import read_pickles

refused: Any = runpy.run_path(str(Path(__file__).parents[1] / "little_memory.py"))["check_refused"]
HUGE = 1 << 30
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


@pytest.mark.parametrize("opcode", PICKLES)
@pytest.mark.parametrize("is_packed", [False, True])
def test_sizes_in_a_pickle(tmp_path: Path, opcode: str, is_packed: bool) -> None:
    content = PICKLES[opcode]
    (tmp_path / "small").write_bytes(gzip.compress(content) if is_packed else content)
    refused(lambda: read_pickles(tmp_path / "small"))


def test_calls_in_a_pickle_build_no_more_than_the_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "small"
    text = b"c_codecs\nencode\nq\x01X\x00\x00\x01\x00" + bytes(1 << 16) + b"q\x02X\x06\x00\x00\x00latin1q\x03"
    path.write_bytes(b"\x80\x02]q\x00(" + text + b"h\x01h\x02h\x03\x86R" * 5000 + b"e.")
    assert f"calls must build at most {path.stat().st_size} bytes" in refused(lambda: read_pickles(path))


def test_a_pickle_of_too_many_opcodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited_pickle, "MAX_OPCODES", 1000)
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
    assert pattern in refused(lambda: open_pt(tmp_path / "a.pt"))


def test_sizes_in_pt_files(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(huge_storage())
    assert f"declares {4 * (HUGE - 1)} bytes, but the file has" in refused(lambda: open_pt(path))
    declaring_archive(path)
    assert "parts declare more than" in refused(lambda: open_pt(path))
    for content in PICKLES.values():
        path.write_bytes(content)
        refused(lambda: open_pt(path))
    path.write_bytes(
        legacy(torch.zeros(1)).replace(b"Nt", b"\x8a\x01\xfft", 1).replace(b"ctorch\nFlo", b"X\x01", 1)
    )
    refused(lambda: open_pt(path))


# Named, because the bytes hold addresses: another process would collect tests with other names.
@pytest.mark.parametrize("storage", [huge_storage(), legacy(Call(bytearray, HUGE))], ids=["storage", "call"])
def test_sizes_in_a_tensor_of_a_pickle(tmp_path: Path, storage: bytes) -> None:
    entry = Call(torch.storage._load_from_bytes, storage)
    (tmp_path / "a").write_bytes(pickle.dumps([entry], protocol=4))
    refused(lambda: read_pickles(tmp_path / "a"))


def test_bytes_grow_by_no_codec(tmp_path: Path) -> None:
    """Each call of ``hex`` doubles a text: thirty of them fit into a file of 800 bytes."""
    grown: Any = "a"
    for _ in range(30):
        grown = Call(__import__("_codecs").encode, grown, "hex")
    torch.save({"features": torch.zeros(4, 8), "x": grown}, tmp_path / "a.pt")
    assert "latin1, but are as 'hex'" in refused(lambda: open_pt(tmp_path / "a.pt"))


def test_sizes_in_npy_files(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x02\x00" + HUGE.to_bytes(4, "little") + b"{")
    assert "header is longer than the file" in refused(lambda: open_npy(path))
    np.save(path, np.zeros((4, 8), np.float32))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"(4, 8), }" + b" " * 8, b"(%d, 8), }" % HUGE, 1)[: len(whole)])
    refused(lambda: open_npy(path))
