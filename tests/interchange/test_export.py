"""What is exported is what the cache holds, and nothing is ever written outside of the folder named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors import safe_open

from fla_llm.cache.format import CacheRow
from fla_llm.cache.reader import FeatureCache
from fla_llm.cli import fla
from fla_llm.core.errors import CacheError, DataError
from fla_llm.core.files import read_json, read_jsonl
from fla_llm.interchange.clip_names import clip_name
from fla_llm.interchange.export import export_cache

WILD_IDS = [
    "a/b", "a", "a.npy/b", "..", ".", "../../etc/x", "/abs", "", "a%2Fb", "a%view1", "x" * 5000, "x" * 4999,
    "手" * 90, "A\nb", "..\\up", ".hidden", "a%shaX",
]  # fmt: skip


def wild_rows() -> list[CacheRow]:
    """Rows of ids that a file system would trip over, the first in two views."""
    ids = [(id_, 0) for id_ in WILD_IDS] + [(WILD_IDS[0], 1)]
    return [
        CacheRow(id=id_, text=f"Satz {n}", language="de", signer="s", num_frames=9, view=view)
        for n, (id_, view) in enumerate(ids)
    ]


def write(maker: Any, rows: list[CacheRow], **place: Any) -> None:
    with maker.writer(rows, **place) as writer:
        for number, row in enumerate(writer.pending):
            writer.append(row, maker.features(number))
        writer.finish()


def test_npy_holds_every_clip_and_never_leaves_its_folder(maker: Any, tmp_path: Path) -> None:
    write(maker, wild_rows())
    before = {path for path in tmp_path.rglob("*")}
    out = tmp_path / "deep" / "out"
    exported = export_cache(maker.folder, out=out, layout="npy")
    assert (exported.clips, exported.files) == ({"train": 18}, {"train": 18})
    new = {path for path in tmp_path.rglob("*") if path not in before}
    assert all(path in (out, out.parent) or path.is_relative_to(out) for path in new)
    cache, listed = FeatureCache(maker.folder), read_jsonl(out / "train.jsonl")
    assert [(line["id"], line["view"]) for line in listed] == [(row.id, row.view) for row in cache.rows]
    for index, line in enumerate(listed):
        array = np.load(out / line["file"])
        assert array.dtype == np.float16
        assert array.tobytes() == cache[index].tobytes()
        assert (line["text"], line["num_steps"], line["num_frames"]) == (f"Satz {index}", len(array), 9)
        assert (line["language"], line["signer"]) == ("de", "s")
    assert len({line["file"].casefold() for line in listed}) == 18


def test_no_two_clips_share_a_name() -> None:
    names = {clip_name(id_, view=view) for id_ in WILD_IDS for view in range(3)}
    assert len(names) == 3 * len(WILD_IDS)
    assert all(len(name.encode()) < 220 and "/" not in name and name[:1] != "." for name in names)


def test_safetensors_hold_every_clip_under_its_id(maker: Any, tmp_path: Path) -> None:
    rows = [row for row in wild_rows() if row.id != "a%view1"]
    write(maker, rows)
    exported = export_cache(maker.folder, out=tmp_path / "out", layout="safetensors", max_file_bytes=64)
    listed = read_jsonl(tmp_path / "out" / "train.jsonl")
    assert exported.files["train"] == len({line["file"] for line in listed}) > 3
    assert [line["key"] for line in listed[:2] + listed[-1:]] == ["a/b", "a", "a/b%view1"]
    cache = FeatureCache(maker.folder)
    for index, line in enumerate(listed):
        with safe_open(tmp_path / "out" / line["file"], "numpy") as file:
            assert file.get_tensor(line["key"]).tobytes() == cache[index].tobytes()
            made_by = json.loads(file.metadata()["made_by"])
            assert (made_by["encoder_fingerprint"], made_by["split"]) == ("3f2a", "train")


def test_what_safetensors_cannot_name_is_refused(maker: Any, tmp_path: Path) -> None:
    write(maker, [CacheRow(id="__metadata__", text="x", language="de", signer="", num_frames=1)])
    with pytest.raises(CacheError, match="'__metadata__' is taken.\nExport with --format npy"):
        export_cache(maker.folder, out=tmp_path / "out", layout="safetensors")
    assert export_cache(maker.folder, out=tmp_path / "npy", layout="npy").clips == {"train": 1}
    write(maker, [CacheRow(id=id_, text="x", language="de", signer="", num_frames=1, view=view)
                  for id_, view in [("a", 0), ("a", 1), ("a%view1", 0)]], split="dev")  # fmt: skip
    with pytest.raises(CacheError, match="'a%view1' is taken"):
        export_cache(maker.folder, out=tmp_path / "dev", layout="safetensors", splits=["dev"])


@pytest.mark.parametrize("layout", ["npy", "safetensors"])
def test_a_rerun_writes_only_what_is_not_whole(maker: Any, tmp_path: Path, layout: Any) -> None:
    maker.write(maker.rows(4))
    out = tmp_path / "out"
    export_cache(maker.folder, out=out, layout=layout, max_file_bytes=32)
    whole = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    first, second, *_ = (path for path in sorted(whole) if path.suffix == f".{layout}")
    first.unlink()
    second.write_bytes(whole[second][:-1] if layout == "npy" else whole[second])
    (out / "train.jsonl").unlink()
    kept = {path: path.stat().st_mtime_ns for path in whole if path.exists() and path != second}
    export_cache(maker.folder, out=out, layout=layout, max_file_bytes=32)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == whole
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_folder_in_use_is_refused(maker: Any, tmp_path: Path) -> None:
    maker.write(maker.rows(2))
    maker.write(maker.rows(1), split="dev")
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("x")
    with pytest.raises(CacheError, match=r"must be empty, but holds 'thesis.tex'.\nExport to another"):
        export_cache(maker.folder, out=out, layout="npy")
    with pytest.raises(CacheError, match="must be a folder, but is a file"):
        export_cache(maker.folder, out=out / "thesis.tex", layout="npy")
    out = tmp_path / "second"
    export_cache(maker.folder, out=out, layout="npy", splits=["dev"])
    with pytest.raises(CacheError, match="layout is 'npy' there and would be 'safetensors' now"):
        export_cache(maker.folder, out=out, layout="safetensors", splits=["dev"])
    with pytest.raises(CacheError, match="train-0-of-1.h5 is None there"):
        export_cache(maker.folder, out=out, layout="npy")
    (out / "export.json").write_text("[]")
    with pytest.raises(CacheError, match="format is None there and would be 'fla-export-1' now"):
        export_cache(maker.folder, out=out, layout="npy")
    (out / "export.json").write_text("{")
    with pytest.raises(DataError, match=r"export.json must be JSON"):
        export_cache(maker.folder, out=out, layout="npy")


def test_what_is_not_there_is_refused_before_anything_is_written(maker: Any, tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="does not exist"):
        export_cache(maker.folder, out=tmp_path / "out", layout="npy")
    maker.write(maker.rows(2))
    with pytest.raises(CacheError, match="must hold shards .test-0-of-1.h5., but there are only train"):
        export_cache(maker.folder, out=tmp_path / "out", layout="npy", splits=["test"])
    assert not (tmp_path / "out").exists()


def test_the_command_exports_the_splits_named(maker: Any, tmp_path: Path) -> None:
    maker.write(maker.rows(3), index=0, count=2)
    maker.write(maker.rows(5)[3:], index=1, count=2)
    maker.write(maker.rows(2), split="dev")
    args = ["cache", "export", str(maker.folder), "--out", str(tmp_path / "out"), "--format", "safetensors"]
    result = CliRunner().invoke(fla, [*args, "--json"], prog_name="fla")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["clips"] == {"dev": 2, "train": 5}
    args[4:5] = [str(tmp_path / "other"), "--split", "dev"]
    text = CliRunner().invoke(fla, args, prog_name="fla").stdout
    assert text == f"{tmp_path / 'other' / 'dev.jsonl'}: 2 clips in 1 file(s)\n"
    assert list(read_json(tmp_path / "other" / "export.json")["made_by"]) == ["dev"]
    assert not (tmp_path / "other" / "train.jsonl").exists()
