"""``fla cache`` from the command line, in this process."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fla_llm.cli import fla
from fla_llm.core.errors import CacheError


def info(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(fla, ["cache", "info", str(folder), *options])


def test_info_says_what_is_there_and_what_made_it(maker: Any) -> None:
    path = maker.write(maker.rows(5), bad="trä/3")
    maker.write(maker.rows(2), split="dev", step_seconds=None)
    result = info(maker.folder, "--json")
    summary = json.loads(result.stdout)
    assert (result.exit_code, summary["is_complete"]) == (0, True)
    assert summary["splits"]["train"] == {
        "shards": 1, "videos": 4, "views": 0, "steps": 7, "shortest": 1, "longest": 3, "step_seconds": 0.16,
        "size_bytes": path.stat().st_size, "rejected": ["trä/3"],
        "tasks": {"translate": 4},
    }  # fmt: skip
    assert summary["provenance"]["encoder_fingerprint"] == "3f2a"
    assert summary["provenance"]["feature_size"] == maker.width
    text = info(maker.folder).stdout
    assert "train: 4 videos in 1 shard(s), 7 steps of 8, 1 to 3 a video, 0.16 s a step, 0.0 MB" in text
    assert "dev: 2 videos in 1 shard(s), 3 steps of 8, 1 to 2 a video, steps of different lengths" in text
    assert "could not be read, and is left out: trä/3" in text


def test_info_shows_what_is_there_and_lists_what_is_not(maker: Any) -> None:
    maker.write(maker.rows(2), index=1, count=3)
    rows = maker.rows(6)[2:]
    with maker.writer(rows, index=2, count=3) as writer:
        writer.append(rows[0], maker.features(2))
        writer.reject(rows[1], "no frames")
    result = info(maker.folder, "--json")
    summary = json.loads(result.stdout)
    assert (result.exit_code, summary["is_complete"]) == (1, False)
    assert summary["splits"]["train"]["videos"] == 2
    assert summary["missing"] == ["train-0-of-3.h5", "train-2-of-3.h5"]
    assert summary["unfinished"] == [{"shard": "train-2-of-3.h5", "videos": 2}]
    text = info(maker.folder).stdout
    assert "  missing: train-0-of-3.h5\n" in text
    assert "  unfinished: train-2-of-3.h5, 2 videos\n" in text


def test_info_shows_a_cache_that_has_only_begun(maker: Any) -> None:
    with maker.writer(maker.rows(2)):
        result = info(maker.folder)
    assert result.exit_code == 1
    assert result.stdout == f"{maker.folder}\n  unfinished: train-0-of-1.h5, 0 videos\n"


def test_a_journal_left_beside_its_shard_is_not_unfinished(maker: Any) -> None:
    (maker.write(maker.rows(2)).with_suffix(".partial")).mkdir()
    assert info(maker.folder).exit_code == 0


@pytest.mark.parametrize("options", [[], ["--deep"]])
def test_verify_ends_with_1_where_there_are_faults(maker: Any, options: list[str]) -> None:
    path = maker.write(maker.rows(2))
    args = ["verify", str(maker.folder), *options]
    result = CliRunner().invoke(fla, ["cache", *args])
    assert (result.exit_code, result.stdout) == (0, f"{maker.folder} is sound\n")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    result = CliRunner().invoke(fla, ["cache", *args, "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["faults"][0]["shard"] == "train-0-of-1.h5"


def test_a_folder_without_a_cache_is_refused(maker: Any) -> None:
    for subcommand in ("info", "verify"):
        error = CliRunner().invoke(fla, ["cache", subcommand, str(maker.folder)]).exception
        assert isinstance(error, CacheError)
