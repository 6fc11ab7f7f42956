"""Description files of MMSLT become a cache; nothing in a file is run."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fla_llm.cache.reader import FeatureCache
from fla_llm.core.errors import ConfigError, DataError
from fla_llm.core.sample import TASKS, Sample
from fla_llm.corpora.manifest import Manifest
from fla_llm.interchange.import_config import ImportConfig
from fla_llm.interchange.import_features import ImportResult, import_features

IDS = ("a", "b", "c")


def manifest() -> Manifest:
    samples = [
        Sample(
            id=id, split="dev", video="v.mp4", text=f"Satz {id}", language="de", num_frames=9, fps=25.0,
            task=task,
        )
        for id, task in zip(IDS, TASKS, strict=True)
    ]  # fmt: skip
    return Manifest(corpus="phoenix14t", root=Path("/videos"), samples=tuple(samples))


def entry(number: int, **changes: Any) -> dict[str, Any]:
    vectors = torch.randn(2 + number, 4, generator=torch.Generator().manual_seed(number))
    return {"texts": ["a hand"] * len(vectors), "bert_feat": vectors} | changes


def imported(path: Path, **changes: Any) -> ImportResult:
    config = {"format": "mmslt", "encoder": "mmslt-bert", "split": "dev"} | changes
    return import_features(
        path, out=path.parent / "cache", config=ImportConfig(**config), sentences=manifest()
    )


@pytest.mark.parametrize("prefix", ["", "dev/"])
def test_vectors_become_the_features_of_their_clips(tmp_path: Path, prefix: str) -> None:
    content = {f"{prefix}{id}": entry(number) for number, id in enumerate(IDS)} | {"other": entry(7)}
    torch.save(content, tmp_path / "dev.pt")
    result = imported(tmp_path / "dev.pt")
    assert (result.clips, result.rejected, list(result.without_row)) == (3, [], ["other"])
    cache = FeatureCache(tmp_path / "cache", "dev")
    for number, row in enumerate(cache.rows):
        assert (row.id, row.text, row.task) == (IDS[number], f"Satz {IDS[number]}", TASKS[number])
        np.testing.assert_array_equal(cache[number], entry(number)["bert_feat"].numpy().astype(np.float16))


def test_clips_that_cannot_be_used_are_listed_with_the_reason(tmp_path: Path) -> None:
    content = {"a": entry(0), "b": entry(1, texts=["one"]), "x": entry(2)}
    torch.save(content, tmp_path / "dev.pt")
    found = {clip.id: clip.reason for clip in imported(tmp_path / "dev.pt").rejected}
    assert "must have a vector for each text, but has 3 for 1" in found["b"]
    assert "has no 'c'" in found["c"]
    torch.save({"a": entry(0), "b": [1], "c": entry(2, bert_feat="x")}, tmp_path / "two.pt")
    two = import_features(
        tmp_path / "two.pt", out=tmp_path / "second", sentences=manifest(),
        config=ImportConfig(format="mmslt", encoder="e", split="dev"),
    )  # fmt: skip
    assert {clip.id for clip in two.rejected} == {"b", "c"}


class Attack:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def test_no_code_in_a_file_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    torch.save({"a": entry(0, texts=Attack(f"touch {mark}"))}, tmp_path / "dev.pt")
    with pytest.raises(
        DataError, match="must hold tensors and plain values alone, but asks for posix.system"
    ):
        imported(tmp_path / "dev.pt")
    assert not mark.exists()


def test_other_files_and_options_are_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "dev.pt")
    with pytest.raises(DataError, match="must hold a dict of clips by name, but holds list"):
        imported(tmp_path / "dev.pt")
    for changes, fault in (
        ({"split": None}, "--split must be given"),
        ({"suffix": "x"}, "--suffix must not be"),
    ):
        with pytest.raises(ConfigError, match=fault):
            imported(tmp_path / "dev.pt", **changes)
