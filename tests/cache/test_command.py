"""``fla cache`` from the command line, in this process."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from fla_llm.cli import fla
from fla_llm.core.errors import CacheError


def test_info_says_what_is_there_and_what_made_it(maker: Any) -> None:
    maker.write(maker.rows(5), bad="trä/3")
    maker.write(maker.rows(2), split="dev")
    with maker.writer(maker.rows(2), split="test"):
        pass
    summary = json.loads(CliRunner().invoke(fla, ["cache", "info", str(maker.folder), "--json"]).stdout)
    train = summary["splits"]["train"]
    assert (train["videos"], train["steps"], train["longest"], train["rejected"]) == (4, 7, 3, ["trä/3"])
    assert summary["provenance"]["encoder_fingerprint"] == "3f2a"
    assert summary["unfinished"] == ["test-0-of-1.partial"]
    text = CliRunner().invoke(fla, ["cache", "info", str(maker.folder)]).stdout
    assert "train: 4 videos in 1 shard(s), 7 steps" in text
    assert "could not be read, and is left out: trä/3" in text


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
