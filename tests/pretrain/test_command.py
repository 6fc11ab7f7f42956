"""``fla pretrain`` on the command line."""

import json
from pathlib import Path

from click.testing import CliRunner

from fla_llm.cli import fla
from fla_llm.corpora.manifest import Manifest


def test_a_dry_run_prints_one_object_and_writes_nothing(
    corpus: Manifest, tiny_yaml: Path, tmp_path: Path
) -> None:
    arguments = ["--manifest", str(corpus.root / "manifest.jsonl"), "--out", str(tmp_path / "run")]
    arguments += ["--config", str(tiny_yaml), "--limit", "5", "--dry-run", "--json"]
    result = CliRunner().invoke(fla, ["pretrain", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["train_clips"] == 5
    assert not (tmp_path / "run").exists()


def test_a_run_with_a_missing_clip_says_so_and_ends_with_one(
    corpus: Manifest, tiny_yaml: Path, tmp_path: Path
) -> None:
    lines = (
        (corpus.root / "manifest.jsonl").read_text().replace('"video": "train/0.mp4"', '"video": "gone.mp4"')
    )
    (tmp_path / "manifest.jsonl").write_text(lines)
    arguments = ["--manifest", str(tmp_path / "manifest.jsonl"), "--out", str(tmp_path / "run")]
    arguments += ["--config", str(tiny_yaml), "--set", "training.epochs=1", "--json", "--device", "cpu"]
    result = CliRunner().invoke(fla, ["pretrain", *arguments], catch_exceptions=False)
    assert result.exit_code == 1
    assert [clip["id"] for clip in json.loads(result.stdout)["unreadable"]] == ["train/0"]
    assert (tmp_path / "run/encoder/model.safetensors").is_file()
