"""The record of the clips of training is found from a run, whatever its name, and from its encoder folder."""

from pathlib import Path

import pytest

from fla_llm.core.files import write_json
from fla_llm.corpora.trained_on import read_trained_on


@pytest.mark.parametrize("name", ["stage1", "encoder"])
@pytest.mark.parametrize("given", ["", "encoder"])
def test_the_record_is_found_from_a_run_and_from_its_encoder(tmp_path: Path, name: str, given: str) -> None:
    run = tmp_path / name
    (run / "encoder").mkdir(parents=True)
    write_json(run / "run.json", {"manifest": {"clips": 3}})
    # Another run around it must not answer for it.
    write_json(tmp_path / "run.json", {"manifest": {"clips": 4}})
    assert read_trained_on(run / given) == {"clips": 3}


def test_an_encoder_without_its_run_has_no_record(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"manifest": {"clips": 4}})
    (tmp_path / "model").mkdir()
    assert read_trained_on(tmp_path / "model") == {}
