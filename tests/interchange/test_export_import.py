"""A cache that is exported and imported is the same cache: features, index and provenance, byte for byte."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from fla_llm.cache.format import CacheRow
from fla_llm.cache.reader import FeatureCache
from fla_llm.cache.shard import read_index
from fla_llm.cli import fla
from fla_llm.core.errors import ConfigError, DataError
from fla_llm.core.files import read_json, read_jsonl, write_json, write_jsonl
from fla_llm.interchange.export import export_cache
from fla_llm.interchange.import_config import ImportConfig
from fla_llm.interchange.import_features import ImportResult, import_features

IDS = ["a/b", "a", "../x", "..", "/abs", "x" * 400, "手" * 90, "a%2Fb", "x/../a", "bad", "a.npy/b", ""]
LAYOUTS = ["npy", "safetensors"]


def rows() -> list[CacheRow]:
    """Return rows with ids of all kinds, signers, frame offsets and augmented views."""
    plain = [
        CacheRow(id=id_, text=f"Satz {n}\u2028", language="de", signer=f"s{n}", num_frames=9 + n)
        for n, id_ in enumerate(IDS)
    ]
    plain[1] = replace(plain[1], references=("Sätze\u2028", "二"))
    return [*plain, *(replace(row, view=view, frame_offset=view) for row in plain[:3] for view in (1, 2))]


def write(maker: Any, rows: list[CacheRow], **place: Any) -> Path:
    """Write a shard in which the clean pass and the second view of some clips are rejected."""
    with maker.writer(rows, **place) as writer:
        for number, row in enumerate(writer.pending):
            if row.id == "bad" or (row.id, row.view) == ("a", 2):
                writer.reject(row, "no frames")
            else:
                writer.append(row, maker.features(number))
        return writer.finish()


@pytest.fixture
def exported(maker: Any, tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that exports a cache of two splits, and returns the folder of the export."""
    write(maker, rows())
    write(maker, rows()[:4], split="dev", step_seconds=None)

    def export(layout: Any) -> Path:
        out = tmp_path / "exported"
        export_cache(maker.folder, out=out, layout=layout, max_file_bytes=256)
        return out

    return export


def imported(source: Path, layout: Any, **config: Any) -> ImportResult:
    return import_features(
        source, out=source.parent / "imported", config=ImportConfig(**{"format": layout, **config})
    )


def reasons(result: ImportResult) -> dict[str, str]:
    return {clip.id: clip.reason for clip in result.rejected if clip.split == "train"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_imported_cache_is_the_exported_one_byte_for_byte(
    maker: Any, exported: Any, tmp_path: Path, layout: str
) -> None:
    result = imported(exported(layout), layout)
    assert [(clip.split, clip.id) for clip in result.rejected] == [("train", "bad"), ("train", "a")]
    assert result.rejected[0].reason == "It could not be encoded when the exported cache was made."
    assert result.without_row == ()
    names = ["dev-0-of-1.h5", "train-0-of-1.h5"]
    assert sorted(path.name for path in (tmp_path / "imported").iterdir()) == names
    for name in names:
        assert (tmp_path / "imported" / name).read_bytes() == (maker.folder / name).read_bytes()
    again = imported(tmp_path / "exported", layout)
    assert (again.skipped, len(again.rejected)) == (again.shards, 2)


def test_a_cache_of_many_shards_is_the_same_in_one(maker: Any, tmp_path: Path) -> None:
    write(maker, rows()[:9], index=0, count=2)
    write(maker, rows()[9:], index=1, count=2)
    export_cache(maker.folder, out=tmp_path / "exported", layout="npy")
    imported(tmp_path / "exported", "npy")
    old, new = FeatureCache(maker.folder), FeatureCache(tmp_path / "imported")
    assert (new.rows, new.provenance) == (old.rows, old.provenance)
    assert all(new[i].tobytes() == old[i].tobytes() for i in range(len(old)))
    assert read_index(tmp_path / "imported" / "train-0-of-1.h5").rejected == (("bad", 0), ("a", 2))


def test_another_number_format_changes_nothing_where_the_numbers_are_the_same(
    maker: Any, exported: Any, tmp_path: Path
) -> None:
    for path in exported("npy").rglob("*.npy"):
        np.save(path, np.load(path).astype(np.float32))
    imported(tmp_path / "exported", "npy")
    name = "train-0-of-1.h5"
    assert (tmp_path / "imported" / name).read_bytes() == (maker.folder / name).read_bytes()


def test_changed_features_are_not_taken_for_those_of_the_encoder(exported: Any, tmp_path: Path) -> None:
    source = exported("npy")
    first, second = (source / line["file"] for line in read_jsonl(source / "train.jsonl")[:2])
    np.save(first, np.load(first) * np.float16(2))
    second.unlink()
    (source / "train" / "new.npy").write_bytes(first.read_bytes())
    result = imported(source, "npy")
    assert (
        "another checksum.\nTo import features that you changed, delete export.json" in reasons(result)["a/b"]
    )
    assert "No such file" in str([clip.reason for clip in result.rejected if clip.id == "a"])
    assert result.without_row == ("train/new.npy",)


def test_the_command_needs_no_name_and_no_sentences(exported: Any, tmp_path: Path) -> None:
    source, out = str(exported("npy")), str(tmp_path / "imported")
    command = ["cache", "import", source, "--out", out, "--format", "npy", "--split", "dev"]
    result = CliRunner().invoke(fla, [*command, "--json"], prog_name="fla")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["clips"] == 4
    named = CliRunner().invoke(fla, [*command, "--encoder", "mine", "--dry-run"], prog_name="fla")
    assert named.exit_code == 0
    assert "--encoder and --manifest are not used" in named.stderr
    assert FeatureCache(out).fingerprint == "3f2a"


def test_options_that_an_export_rules_out(exported: Any, tmp_path: Path) -> None:
    source = exported("npy")
    with pytest.raises(ConfigError, match="--format must be 'npy' for .*exported, .* but is 'safetensors'"):
        imported(source, "safetensors")
    with pytest.raises(ConfigError, match="--suffix must be '' for .*exported, .* but is '_s2'"):
        imported(source, "npy", suffix="_s2")
    with pytest.raises(DataError, match="must hold the split test, but holds dev, train"):
        imported(source, "npy", split="test")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_of_an_export_never_lead_outside_of_its_folder(exported: Any, layout: str) -> None:
    source = exported(layout)
    lines = read_jsonl(source / "train.jsonl")
    (source.parent / "secret.npy").write_bytes((source / lines[0]["file"]).read_bytes())
    lines[0]["file"] = "../secret.npy"
    write_jsonl(source / "train.jsonl", lines)
    assert "must stay inside" in reasons(imported(source, layout))["a/b"]


@pytest.mark.parametrize(
    ("key", "value", "pattern"),
    [
        (
            "frame_offset",
            None,
            "train.jsonl, line 1: 'frame_offset' must be int, but is None.\nExport the cache again",
        ),
        ("crc32", "7", "'crc32' must be int, but is '7'"),
        ("view", True, "'view' must be int, but is True"),
        ("id", 3, "'id' must be str, but is 3"),
        ("file", None, "'file' must be str, but is None"),
    ],
)
def test_a_damaged_list_is_named(exported: Any, key: str, value: Any, pattern: str) -> None:
    source = exported("npy")
    lines = read_jsonl(source / "train.jsonl")
    lines[0][key] = value
    write_jsonl(source / "train.jsonl", lines)
    with pytest.raises(DataError, match=pattern):
        imported(source, "npy")


@pytest.mark.parametrize(
    ("keys", "value", "pattern"),
    [
        (["made_by", "train"], 3, r"made_by.train must say what made the features, but"),
        (["made_by", "train", "level"], None, "must have the attribute 'level'"),
        (["made_by", "train", "feature_size"], "x", "must say what made the features, but: invalid literal"),
        (["made_by", "train", "encoder_config"], "x", "must say what made the features, but"),
        (["made_by", "train", "split"], "dev", "'split' must be 'train', but is 'dev'"),
        (["made_by", "train", "feature_size"], 9, "Features of train must be 9 wide by .*, but are 8 wide"),
        (["rejected", "train"], [["a"]], r"rejected.train must be a list of \[id, view\]"),
        (["made_by"], [], "'made_by' must describe a split, but describes none"),
    ],
)
def test_a_damaged_description_is_named(exported: Any, keys: list[str], value: Any, pattern: str) -> None:
    source = exported("npy")
    description = read_json(source / "export.json")
    inner = description
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    write_json(source / "export.json", description)
    with pytest.raises(DataError, match=pattern):
        imported(source, "npy", split="train")


def test_a_safetensors_file_that_lacks_a_clip_is_named(exported: Any) -> None:
    source = exported("safetensors")
    lines = read_jsonl(source / "train.jsonl")
    lines[0]["key"] = "gone"
    (source / lines[-1]["file"]).write_bytes(b"not safetensors")
    write_jsonl(source / "train.jsonl", lines)
    result = imported(source, "safetensors")
    assert "with the key 'gone', but: " in reasons(result)["a/b"]
    assert any("must be a safetensors file" in clip.reason for clip in result.rejected[2:])


def test_features_of_other_code_beside_a_file_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "exported").mkdir()
    write_json(tmp_path / "exported" / "export.json", {"format": "another"})
    with pytest.raises(ConfigError, match="--manifest must be given for npy files"):
        imported(tmp_path / "exported", "npy")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tasks_are_exported_and_imported(maker: Any, tmp_path: Path, layout: Any) -> None:
    mixed = [
        replace(row, task=task) for row, task in zip(maker.rows(2), ("isolated", "translate"), strict=True)
    ]
    write(maker, mixed)
    export_cache(maker.folder, out=tmp_path / "exported", layout=layout)
    lines = read_jsonl(tmp_path / "exported/train.jsonl")
    assert [line.get("task") for line in lines] == ["isolated", None]
    imported(tmp_path / "exported", layout)
    assert FeatureCache(tmp_path / "imported", "train").rows == mixed
    write_jsonl(tmp_path / "exported/train.jsonl", [line | {"task": 3} for line in lines])
    with pytest.raises(
        DataError, match="line 1: 'task' must be one of translate, recognise, isolated, but is 3"
    ):
        imported(tmp_path / "exported", layout)
