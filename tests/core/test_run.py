"""Run directories are never overwritten; devices and progress say what they do."""

from pathlib import Path

import pytest
import torch

from fla_llm.core.device import resolve_device, resolve_dtype
from fla_llm.core.errors import ConfigError, RunError
from fla_llm.core.progress import progress
from fla_llm.core.run import check_run_folder, new_folder


def test_a_used_directory_needs_resume(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("")
    with pytest.raises(RunError, match="is not empty"):
        check_run_folder(tmp_path, resume=False)
    check_run_folder(tmp_path, resume=True)


def test_what_cannot_be_resumed_says_so(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("")
    with pytest.raises(RunError, match="Remove it, or give another --out"):
        new_folder(tmp_path)
    assert new_folder(tmp_path / "new").is_dir()


def test_resume_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run to resume"):
        check_run_folder(tmp_path / "none", resume=True)
    assert not (tmp_path / "none").exists()


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="must be a folder"):
        check_run_folder(tmp_path / "file", resume=False)


@pytest.mark.parametrize("name", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        resolve_device(name)


def test_precision_is_what_was_asked() -> None:
    cpu = torch.device("cpu")
    assert resolve_dtype("bf16", cpu) == torch.bfloat16
    assert resolve_dtype("auto", cpu) in (torch.bfloat16, torch.float32)


@pytest.mark.parametrize("total", [100, 13, 1])
def test_progress_in_a_log_is_a_line_per_tenth(total: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(range(total), desc="decode", unit="clips")) == list(range(total))
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert min(total, 7) <= len(lines) <= 12
    assert len(set(lines)) == len(lines)
    assert lines[-1].startswith(f"decode: {total}/{total} clips")
