"""Other people's features become a cache; what cannot be used is named, and nothing in a file is run."""

import gzip
import io
import json
import os
import pickle
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from fla_llm.cache.reader import FeatureCache
from fla_llm.cache.verify import verify
from fla_llm.cli import fla
from fla_llm.core.errors import ConfigError, DataError
from fla_llm.core.sample import Sample
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.interchange.array_files import open_npy
from fla_llm.interchange.import_config import ImportConfig
from fla_llm.interchange.import_features import ImportResult, import_features, write_import
from fla_llm.interchange.import_plan import imported_fingerprint, plan_import
from fla_llm.interchange.safe_unpickle import read_pickles
from fla_llm.interchange.signjoey import read_signjoey

D = 8


def features(number: int, *, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(number).normal(size=(1 + number % 4, D)).astype(dtype)


def sample(id_: str, split: Any = "train") -> Sample:
    return Sample(
        id=id_,
        split=split,
        video=f"{split}.mp4",
        text=f"Satz {id_!r}",
        language="de",
        num_frames=20,
        fps=25.0,
    )


def manifest(*ids: str, dev: tuple[str, ...] = ()) -> Manifest:
    samples = [*(sample(id_) for id_ in ids), *(sample(id_, "dev") for id_ in dev)]
    return Manifest(corpus="demo", root=Path("/videos"), samples=tuple(samples))


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def imported(tmp_path: Path, sentences: Manifest | None, **config: Any) -> ImportResult:
    values: dict[str, Any] = {"format": "npy", "encoder": "clip"}
    return import_features(
        tmp_path / "source",
        out=tmp_path / "imported",
        sentences=sentences,
        config=ImportConfig(**values | config),
    )


def reasons(result: ImportResult) -> dict[str, str]:
    return {clip.id: clip.reason for clip in result.rejected}


@pytest.mark.parametrize("place", ["train/{}.npy", "{}.npy", "train/{}_s2.npy", "{0:.5}/{0}.npy"])
def test_npy_files_are_found_where_peers_leave_them(tmp_path: Path, place: str) -> None:
    for number, id_ in enumerate(["clip-1", "clip-2"]):
        save(tmp_path / "source" / place.format(id_), features(number))
    suffix = "_s2" if "_s2" in place else ""
    result = imported(tmp_path, manifest("clip-1", "clip-2"), suffix=suffix)
    assert (result.clips, result.rejected, result.without_row) == (2, [], ())
    cache = FeatureCache(tmp_path / "imported", "train")
    assert [row.id for row in cache.rows] == ["clip-1", "clip-2"]
    for number in range(2):
        assert cache[number].tobytes() == features(number).astype(np.float16).tobytes()
    row = cache.rows[0]
    assert (row.text, row.language, row.num_frames, row.view) == ("Satz 'clip-1'", "de", 20, 0)
    assert verify(tmp_path / "imported", deep=place == "{}.npy") == []


def test_splits_imported_under_one_name_agree(tmp_path: Path) -> None:
    sentences = manifest("a", "b", dev=("c", "a"))
    for number, file in enumerate(["train/a", "train/b", "dev/a", "dev/c"]):
        save(tmp_path / "source" / f"{file}.npy", features(number))
    imported(tmp_path, sentences, split="dev")
    imported(tmp_path, sentences, split="train")
    cache = FeatureCache(tmp_path / "imported")
    assert [(row.id, len(cache[i])) for i, row in enumerate(cache.rows)] == [
        ("c", 4), ("a", 3), ("a", 1), ("b", 2),
    ]  # fmt: skip
    made_by = cache.provenance
    assert made_by.encoder_fingerprint == imported_fingerprint("clip") != imported_fingerprint("vit")
    assert made_by.encoder_config == {"imported_from": "npy", "name": "clip"}
    assert (made_by.level, made_by.compute_dtype, made_by.corpus) == ("frame", "float32", "demo")
    assert (made_by.step_seconds, made_by.device_kind, made_by.frame_batch) == (None, "unknown", 0)


def test_every_clip_that_cannot_be_used_is_named_with_its_reason(tmp_path: Path) -> None:
    source = tmp_path / "source" / "train"
    save(source / "good.npy", features(3))
    save(source / "also good.npy", features(2)[None])
    save(source / "flat.npy", np.zeros(D, np.float32))
    save(source / "two.npy", np.zeros((2, 3, D), np.float32))
    save(source / "empty.npy", np.zeros((0, D), np.float32))
    save(source / "whole.npy", np.zeros((2, D), np.int64))
    save(source / "nan.npy", np.full((2, D), np.nan, np.float32))
    save(source / "inf.npy", np.full((2, D), -np.inf, np.float32))
    save(source / "large.npy", np.full((2, D), -65520, np.float32))
    np.save(source / "objects.npy", np.array([{"features": 1}]), allow_pickle=True)
    (source / "cut.npy").write_bytes((source / "good.npy").read_bytes()[:-1])
    (source / "text.npy").write_text("features")
    (source / "none.npy").write_bytes(b"")
    with (source / "zip.npy").open("wb") as file:
        np.savez(file, features(1))
    names = [path.stem for path in sorted(source.iterdir())]
    result = imported(tmp_path, manifest(*names, "../../etc/passwd", "x" * 300, "absent"))
    expected = {
        "flat": r"must be \(T, D\), T and D at least 1, but are \(8,\)",
        "two": r"but are \(2, 3, 8\)",
        "empty": r"but are \(0, 8\)",
        "whole": "must be one of float16, .*, but are int64",
        "nan": "hold NaN or infinity",
        "inf": "hold NaN or infinity",
        "large": "must fit into float16, at most 65504 in size, but reach 65520",
        "objects": "objects.npy must be a whole .npy file without pickled objects",
        "cut": "cut.npy must be a whole .npy file",
        "text": "text.npy must be a whole .npy file",
        "none": "none.npy must be a whole .npy file",
        "zip": "is a .npz archive",
        "../../etc/passwd": "It is missing: .*has none of train/%2E",
        "x" * 300: "It is missing",
        "absent": "It is missing: .*source has none of train/absent.npy, absent.npy, train/absen/",
    }
    found = reasons(result)
    assert set(found) == set(expected)
    for id_, pattern in expected.items():
        with pytest.raises(DataError, match=pattern):
            raise DataError(found[id_])
    cache = FeatureCache(tmp_path / "imported")
    assert [row.id for row in cache.rows] == ["also good", "good"]
    assert cache[0].tobytes() == features(2).astype(np.float16).tobytes()
    assert verify(tmp_path / "imported") == []
    again = imported(tmp_path, manifest(*names, "../../etc/passwd", "x" * 300, "absent"))
    assert (again.skipped, again.clips, set(reasons(again))) == (again.shards, 2, set(expected))


def test_an_import_goes_on_where_it_was_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [f"clip {number}" for number in range(4)]
    for number, id_ in enumerate(ids):
        save(tmp_path / "source" / f"{id_}.npy", features(number))
    imported(tmp_path, manifest(*ids))
    whole = (tmp_path / "imported" / "train-0-of-1.h5").read_bytes()
    (tmp_path / "imported" / "train-0-of-1.h5").unlink()
    read = np.isfinite
    seen: list[int] = []

    def dies(array: Any) -> Any:
        seen.append(len(array))
        if len(seen) == 5:
            raise KeyboardInterrupt
        return read(array)

    monkeypatch.setattr(np, "isfinite", dies)
    with pytest.raises(KeyboardInterrupt):
        imported(tmp_path, manifest(*ids))
    assert len((tmp_path / "imported" / "train-0-of-1.partial" / "index.jsonl").read_text().splitlines()) == 3
    monkeypatch.undo()
    assert imported(tmp_path, manifest(*ids)).clips == 4
    assert (tmp_path / "imported" / "train-0-of-1.h5").read_bytes() == whole


def test_a_file_that_changes_while_the_import_runs_is_left_out(tmp_path: Path) -> None:
    source, config = tmp_path / "source", ImportConfig(format="npy", encoder="clip")
    save(source / "a.npy", features(1))
    save(source / "b.npy", features(2))
    plan = plan_import(source, out=tmp_path / "imported", config=config, sentences=manifest("a", "b"))
    save(source / "b.npy", np.zeros((2, D + 1), np.float32))
    assert reasons(write_import(plan)) == {
        "b": "Its features must be 8 wide, as in the first pass, but are 9 wide now."
    }


def test_features_of_two_kinds_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "source" / "a.npy", features(1))
    save(tmp_path / "source" / "b.npy", np.zeros((2, D + 1), np.float32))
    with pytest.raises(DataError, match="differ: train 'a': 8 float32, dev 'b': 9 float32"):
        imported(tmp_path, manifest("a", dev=("b",)))
    save(tmp_path / "source" / "b.npy", features(1, dtype=np.float64))
    with pytest.raises(DataError, match=r"'a': 8 float32, train 'b': 8 float64.\nImport each kind"):
        imported(tmp_path, manifest("a", "b"))
    assert not (tmp_path / "imported").exists()


def test_a_split_without_any_features_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be a folder of .*npy files, but is not a folder"):
        imported(tmp_path, manifest("a"))
    save(tmp_path / "source" / "a.npy", features(1))
    with pytest.raises(DataError, match=r"none of 1 has. 'b': It is missing: .*\nCheck the folder, --suffix"):
        imported(tmp_path, manifest("a", dev=("b",)))
    with pytest.raises(DataError, match="none of 0 has. There is none"):
        imported(tmp_path, manifest("a"), split="test")


def test_what_is_not_said_or_said_twice_is_refused(tmp_path: Path) -> None:
    known: dict[str, Any] = {
        "format": "signjoey",
        "encoder": "x",
        "split": "dev",
        "language": "de",
        "corpus": "c",
    }
    for changes, pattern in [
        ({"format": "csv"}, "--format must be one of npy, pt, safetensors, signjoey, mmslt, but is 'csv'"),
        ({"encoder": " "}, "--encoder must be a name .*, but is ' '"),
        ({"encoder": None}, "--encoder must be given for a signjoey file"),
        ({"split": "val"}, "--split must be one of train, dev, test, but is 'val'"),
        ({"split": None}, "--split must be given for a signjoey file"),
        ({"language": ""}, "--language must be given for a signjoey file"),
        ({"corpus": None}, "--corpus must be given for a signjoey file"),
        ({"corpus": "D\udce4"}, "--corpus must be without U[+]DCE4"),
        ({"encoder": "\udce4"}, "--encoder must be without U[+]DCE4"),
        ({"suffix": "_s2"}, "--suffix is for folders of files, but is '_s2'"),
        ({"format": "npy"}, "--language is for signjoey files, but is 'de'"),
    ]:
        with pytest.raises(ConfigError, match=pattern):
            ImportConfig(**known | changes)
    with pytest.raises(ConfigError, match="--manifest must not be given for a signjoey file"):
        imported(tmp_path, manifest("a"), **known)
    with pytest.raises(ConfigError, match="--manifest must be given for pt files"):
        imported(tmp_path, None, format="pt")
    with pytest.raises(ConfigError, match="--encoder must be given for npy files"):
        imported(tmp_path, manifest("a"), encoder=None)
    with pytest.raises(
        ConfigError, match="must be a folder that fla cache export wrote, but holds no such ex"
    ):
        imported(tmp_path, manifest("a"), format="safetensors")


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.command = f"touch {folder / 'owned'}"

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def test_pt_files_hold_a_tensor_or_a_dict_with_one(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    tensor = torch.from_numpy(features(3))
    forms: dict[str, Any] = {
        "alone": tensor,
        "grad": tensor.clone().requires_grad_(),
        "dict": {"features": tensor, "name": "x", "length": torch.tensor(4), "ids": torch.arange(4)},
        "batch of one": tensor[None],
        "transposed": tensor.T.contiguous().T,
        "slice": torch.cat([tensor, tensor])[:4],
        "negative": torch._neg_view(-tensor),
    }
    for name, form in forms.items():
        torch.save(form, source / f"{name}.pt")
    torch.save(tensor, source / "old.pt", _use_new_zipfile_serialization=False)
    result = imported(tmp_path, manifest(*forms, "old"), format="pt")
    assert result.rejected == []
    cache = FeatureCache(tmp_path / "imported")
    assert all(cache[i].tobytes() == features(3).astype(np.float16).tobytes() for i in range(8))


def test_bfloat16_is_read_and_named(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    tensor = torch.from_numpy(features(3)).bfloat16()
    torch.save(tensor, tmp_path / "source" / "a.pt")
    imported(tmp_path, manifest("a"), format="pt")
    cache = FeatureCache(tmp_path / "imported")
    assert cache.provenance.compute_dtype == "bfloat16"
    assert cache[0].tobytes() == tensor.half().numpy().tobytes()


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
def test_pt_files_that_cannot_be_used_are_named_and_never_run(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    good = torch.from_numpy(features(3))
    forms: dict[str, Any] = {
        "good": good,
        "payload": {"features": good, "x": Payload(tmp_path)},
        "two": {"rgb": good, "pose": good},
        "none": {"length": 3},
        "list": [good],
        "repeated": torch.zeros(1, D).expand(10**9, D),
        "sparse": good.to_sparse(),
        "float8": good.to(torch.float8_e4m3fn),
    }
    for name, form in forms.items():
        torch.save(form, source / f"{name}.pt")
    torch.save(Payload(tmp_path), source / "old.pt", _use_new_zipfile_serialization=False)
    (source / "text.pt").write_text("hello")
    (source / "empty.pt").write_text("")
    (source / "cut.pt").write_bytes((source / "good.pt").read_bytes()[:-40])
    with zipfile.ZipFile(source / "good.pt") as old, zipfile.ZipFile(source / "packed.pt", "w", 8) as new:
        for entry in old.namelist():
            new.writestr(entry, old.read(entry), 8)
    result = imported(tmp_path, manifest(*forms, "old", "text", "empty", "cut", "packed"), format="pt")
    expected = {
        "payload": r"payload.pt must hold tensors and .*, but asks for (posix|os)\.system.\nSave",
        "two": r"one tensor of features, .*, but holds a dict of \{'rgb': Tensor \(4, 8\) torch.float32",
        "none": r"but holds a dict of \{'length': int\}",
        "list": "but holds list",
        "repeated": "repeats some",
        "sparse": "must hold a plain tensor, but holds a torch.sparse_coo",
        "float8": "must be one of float16, .*, but are float8_e4m3fn",
        "old": "asks for (posix|os).system",
        "text": "must be a whole file of torch.save",
        "empty": "must be a whole file of torch.save",
        "cut": "must be a whole file of torch.save",
        "packed": "parts of it are compressed",
    }
    found = reasons(result)
    assert set(found) == set(expected)
    for id_, pattern in expected.items():
        with pytest.raises(DataError, match=pattern):
            raise DataError(found[id_])
    assert len(FeatureCache(tmp_path / "imported")) == 1
    assert not (tmp_path / "owned").exists()


def entry(number: int, **changes: Any) -> dict[str, Any]:
    values = {
        "name": f"dev/clip {number}", "signer": "Signer01", "gloss": "REGEN", "text": f"regen {number} .",
        "sign": torch.from_numpy(features(number)),
    }  # fmt: skip
    return values | changes


def write_pickle(path: Path, *content: Any, protocol: int = 4) -> Path:
    with gzip.open(path, "wb") as file:
        for part in content:
            pickle.dump(part, file, protocol=protocol)
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_signjoey_files_bring_their_sentences(tmp_path: Path, protocol: int) -> None:
    source = tmp_path / "source"
    write_pickle(source, [entry(0), entry(1)], [entry(2, signer=None)], protocol=protocol)
    if protocol == 5:
        source.write_bytes(gzip.decompress(source.read_bytes()))
    result = imported(
        tmp_path, None, format="signjoey", encoder="cnn", split="dev", language="de", corpus="phoenix14t"
    )
    assert (result.clips, result.rejected) == (3, [])
    cache = FeatureCache(tmp_path / "imported", "dev")
    assert [(row.id, row.text, row.signer, row.num_frames) for row in cache.rows] == [
        ("clip 0", "regen 0 .", "Signer01", 1),
        ("clip 1", "regen 1 .", "Signer01", 2),
        ("clip 2", "regen 2 .", "", 3),
    ]
    assert all(cache[i].tobytes() == features(i).astype(np.float16).tobytes() for i in range(3))
    assert (cache.provenance.corpus, cache.provenance.compute_dtype) == ("phoenix14t", "float32")
    assert cache.rows[0].language == "de"


def test_names_keep_a_split_that_is_not_in_all_of_them(tmp_path: Path) -> None:
    path = write_pickle(tmp_path / "source", [entry(0), entry(1, name="other")])
    clips = read_signjoey(path, split="dev", language="de")
    assert [clip.row.id for clip in clips] == ["dev/clip 0", "other"]


def test_signjoey_clips_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    bad = [
        entry(1, text=" "),
        entry(2, sign=torch.zeros(3)),
        entry(3, sign=torch.full((2, D), torch.nan)),
        entry(4, sign=torch.zeros(1, D).expand(10**9, D)),
    ]
    write_pickle(tmp_path / "source", [entry(0), *bad])
    known = {"format": "signjoey", "split": "dev", "language": "de", "corpus": "c"}
    found = reasons(imported(tmp_path, None, **known))
    assert list(found) == ["clip 1", "clip 2", "clip 3", "clip 4"]
    assert "sentence is empty" in found["clip 1"]
    assert "but are (3,)" in found["clip 2"]
    assert "NaN" in found["clip 3"]
    assert "repeats some" in found["clip 4"]


@pytest.mark.parametrize("key", ["name", "text", "signer"])
def test_a_signjoey_text_that_no_cache_can_hold_is_named(tmp_path: Path, key: str) -> None:
    path = write_pickle(tmp_path / "source", [entry(0), entry(1, **{key: "a\ud83d"})])
    with pytest.raises(DataError, match=f"source, entry 1: '{key}' must be without U[+]D83D"):
        read_signjoey(path, split="dev", language="de")


class Storage:
    """Unpickles as a tensor's memory, of the bytes given."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.storage._load_from_bytes, (self.data,)


class Rebuilt:
    """Unpickles as a tensor, put together of the arguments given."""

    def __init__(self, *args: Any) -> None:
        self.args = args

    def __reduce__(self) -> tuple[Any, ...]:
        return torch._utils._rebuild_tensor_v2, self.args


def saved(content: Any, *, as_zip: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=as_zip)
    return buffer.getvalue()


def test_nothing_in_a_pickle_is_run(tmp_path: Path) -> None:
    attacks: list[tuple[Any, str]] = [
        ([Payload(tmp_path)], r"asks for (posix|os)\.system"),
        ([entry(0, sign=Payload(tmp_path))], r"asks for (posix|os)\.system"),
        ([entry(0, sign=Storage(saved(Payload(tmp_path), as_zip=False)))], r"asks for (posix|os)\.system"),
        ([entry(0, sign=Storage(saved(Payload(tmp_path), as_zip=True)))], "must not be a zip archive"),
        ([entry(0, sign=np.zeros((2, D)))], r"asks for numpy\._?core\.multiarray\._reconstruct"),
        ([entry(0, sign=torch.nn.Linear(1, 1))], r"asks for torch\.nn\.modules\.linear\.Linear"),
        ([eval], r"asks for builtins\.eval"),
        ([entry(0, sign=Rebuilt("x", 0, (1,), (1,)))], "must be a whole pickle, but: AttributeError"),
        ([entry(0, sign=Storage(b"PK"))], "must not be a zip archive"),
        ([entry(0, sign=Storage(b""))], "must be a whole pickle"),
    ]
    for number, (attack, pattern) in enumerate(attacks):
        path = write_pickle(tmp_path / f"{number}.gz", attack)
        with pytest.raises(DataError, match=pattern):
            read_signjoey(path, split="dev", language="de")
        assert not (tmp_path / "owned").exists()


def test_a_pickle_cannot_change_what_it_may_call(tmp_path: Path) -> None:
    name = b"ccollections\nOrderedDict\n"
    for state in (b"}", b"\x8c\x09_function\x8c\x01xs"):
        slots = b"N}" + state + b"\x86" if state != b"}" else b"}\x8c\x01aK\x01s"
        path = tmp_path / "changed"
        path.write_bytes(b"\x80\x04" + name + slots + b"b.")
        with pytest.raises(DataError, match="must be a whole pickle"):
            read_pickles(path)


def test_bytes_of_protocol_2_are_latin1(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R."
    )
    with pytest.raises(DataError, match="bytes must be encoded as latin1, but are as 'hex'"):
        read_pickles(tmp_path / "bytes")


def test_a_view_beyond_its_memory_is_refused(tmp_path: Path) -> None:
    tensor = entry(0)["sign"]
    content = pickle.dumps([entry(0, sign=tensor)], protocol=4)
    shape = b"K\x01K\x08\x86"
    assert content.count(shape) == 1
    (tmp_path / "beyond").write_bytes(content.replace(shape, b"K\x7fK\x08\x86"))
    with pytest.raises(DataError, match="must be a whole pickle, but: RuntimeError: .*out of bounds"):
        read_signjoey(tmp_path / "beyond", split="dev", language="de")


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = write_pickle(tmp_path / "bomb", [b"0" * 5_000_000])
    assert path.stat().st_size < 10_000
    with pytest.raises(
        DataError, match=r"must unpack to at most 100000 bytes, but is longer.\nIf you trust it"
    ):
        read_pickles(path, max_bytes=100_000)
    assert len(read_pickles(path, max_bytes=6_000_000)[0][0]) == 5_000_000
    for opcode in (b"\x8e", b"\x95"):  # BINBYTES8 and FRAME: sizes that are promised, and not there
        (tmp_path / "promise").write_bytes(b"\x80\x04" + opcode + (1 << 46).to_bytes(8, "little"))
        with pytest.raises(DataError, match="promise must be a whole pickle|at most"):
            read_pickles(tmp_path / "promise")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_any_damage_is_a_sentence(tmp_path: Path) -> None:
    path = write_pickle(tmp_path / "source", [entry(0), entry(1)])
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    faults = 0
    for data in (whole, gzip.decompress(whole)):
        for at in range(1, len(data), 41):
            damaged = bytearray(data)
            damaged[at] ^= 1 << int(generator.integers(8))
            path.write_bytes(data[:at])
            with pytest.raises(DataError, match=str(path)):
                read_signjoey(path, split="dev", language="de")
            path.write_bytes(damaged)
            with suppress(DataError):  # a flipped bit of a feature or a gloss goes unnoticed
                read_signjoey(path, split="dev", language="de")
                continue
            faults += 1
    assert faults > 10


def test_any_damaged_header_is_refused_or_read(tmp_path: Path) -> None:
    save(tmp_path / "a.npy", features(3))
    whole = (tmp_path / "a.npy").read_bytes()
    for at in range(128):
        for byte in b"(,'\0\xff":
            (tmp_path / "a.npy").write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
            with suppress(DataError):
                assert open_npy(tmp_path / "a.npy")[0].nbytes <= len(whole)


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        ((), "must hold at least one entry, but is empty"),
        (({"name": "a"},), "must hold a list of dicts, but holds dict"),
        (([1],), "entry 0 must be a dict of name, text and sign, but is int"),
        (([{"name": "a"}],), "entry 0: 'text' must be text, but is missing"),
        (([{"name": 3, "text": "x"}],), "entry 0: 'name' must be text, but is int 3"),
        (([{"name": 10**5000, "text": "x"}],), "entry 0: 'name' must be text, but is int that is too long"),
        (([{"name": "", "text": "x"}],), "entry 0: 'name' must not be empty, but is"),
        (([{"name": "a", "text": "x", "signer": 3}],), "entry 0: 'signer' must be text, but is int 3"),
        (([{"name": "a", "text": "x"}],), "entry 0: 'sign' must be a tensor, but is missing"),
        (
            ([{"name": "a", "text": "x", "sign": [1]}],),
            r"entry 0: 'sign' must be a tensor, but is list \[1\]",
        ),
        (([entry(0), entry(0)],), "every name once, but holds 'dev/clip 0' more than once"),
    ],
)
def test_entries_that_lack_something_are_named(tmp_path: Path, content: Any, pattern: str) -> None:
    path = write_pickle(tmp_path / "source", *content)
    with pytest.raises(DataError, match=pattern):
        read_signjoey(path, split="dev", language="de")


def test_the_command_lists_what_is_missing_and_what_is_too_much(tmp_path: Path) -> None:
    for name in ("train/a", "dev/b", "x", "y", "z", "w"):
        save(tmp_path / "source" / f"{name}.npy", features(3))
    write_manifest(tmp_path / "manifest.jsonl", manifest("a", "gone", dev=("b",)))
    source, out = str(tmp_path / "source"), str(tmp_path / "imported")
    args = ["cache", "import", source, "--out", out, "--format", "npy", "--encoder", "clip"]
    args += ["--manifest", str(tmp_path / "manifest.jsonl")]
    dry = CliRunner().invoke(fla, [*args, "--dry-run", "--json"], prog_name="fla")
    assert dry.exit_code == 1
    assert not (tmp_path / "imported").exists()
    result = CliRunner().invoke(fla, [*args, "--json"], prog_name="fla")
    assert (result.exit_code, json.loads(result.stdout)) == (1, json.loads(dry.stdout))
    content = json.loads(result.stdout)
    assert [(clip["split"], clip["id"]) for clip in content["rejected"]] == [("train", "gone")]
    assert content["without_row"] == {"count": 4, "first": ["w.npy", "x.npy", "y.npy"]}
    again = CliRunner().invoke(fla, [*args, "--split", "dev"], prog_name="fla")
    assert again.exit_code == 0
    assert again.stdout.splitlines()[0] == f"{tmp_path / 'imported' / 'dev-0-of-1.h5'} (finished earlier)"
    assert "4 files are in no row of the manifest: w.npy, x.npy, y.npy, ..." in again.stdout


def test_a_clip_has_the_task_of_its_sample(tmp_path: Path) -> None:
    save(tmp_path / "source/a.npy", features(1))
    sentences = manifest("a")
    clips = (replace(sentences.samples[0], task="recognise"),)
    imported(tmp_path, replace(sentences, samples=clips))
    assert [row.task for row in FeatureCache(tmp_path / "imported", "train").rows] == ["recognise"]
