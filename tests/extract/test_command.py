"""``fla extract`` from the command line, in this process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fla_llm.cache import FeatureCache
from fla_llm.cli import fla
from fla_llm.core.errors import DataError, ModelError
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.encoder.model import VisualEncoder
from fla_llm.encoder.store import fingerprint, save_encoder

Invoke = Callable[..., Result]


@pytest.fixture
def invoke(tmp_path: Path, manifest: Manifest, encoder: VisualEncoder) -> Invoke:
    write_manifest(tmp_path / "manifest.jsonl", manifest)
    save_encoder(encoder, tmp_path / "stage1" / "encoder")

    def invoke(*args: str, ckpt: str | None = "stage1") -> Result:
        given = ["--manifest", str(tmp_path / "manifest.jsonl"), "--out", str(tmp_path / "cache"), "--json"]
        given += ["--ckpt", str(tmp_path / ckpt)] if ckpt else []
        return CliRunner().invoke(fla, ["extract", *given, "--set", "workers=0", "--device", "cpu", *args])

    return invoke


def test_extraction_reports_as_json(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("--limit", "2")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert (report["clips"], report["frames"], report["rejected"]) == (4, 12, [])
    assert [Path(path).name for path in report["shards"]] == ["train-0-of-1.h5", "dev-0-of-1.h5"]


def test_videos_that_cannot_be_read_give_exit_code_1(
    invoke: Invoke, tmp_path: Path, manifest: Manifest, videos: Path
) -> None:
    root = tmp_path / "videos"
    root.mkdir()
    for folder in videos.iterdir():
        if folder.name != "dev1":
            (root / folder.name).symlink_to(folder)
    result = invoke("--root", str(root))
    assert result.exit_code == 1
    assert [video["id"] for video in json.loads(result.stdout)["rejected"]] == ["dev/1"]


def test_a_dry_run_writes_nothing(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("--dry-run", "--split", "dev", "--shard", "1/2")
    (shard,) = json.loads(result.stdout)["shards"]
    assert Path(shard.pop("path")).name == "dev-1-of-2.h5"
    assert (shard["clips"], shard["steps"], shard["is_finished"]) == (1, 2, False)
    assert not (tmp_path / "cache").exists()


def test_a_timm_backbone_is_taken_as_it_is(invoke: Invoke) -> None:
    options = ["--set", "timm.pretrained=false", "--set", "timm.image_size=32", "--split", "dev"]
    assert invoke("--encoder", "timm:test_resnet", *options, ckpt=None).exit_code == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--shard", "2/2"], "must be i/n with i from 0 to n - 1, but is '2/2'"),
        (["--shard", "first"], "must be i/n"),
        (["--encoder", "timm:resnet18"], "either --ckpt DIR or --encoder"),
        (["--shard", "0/2", "--shards", "2"], "--shard names one shard, --shards is about all"),
        (["--shard", "0/2", "--engine", "ray"], "--shard names one shard, --engine ray is about all"),
        (["--devices", "cpu,cpu"], "--devices takes the place of --device and --engine"),
        (["--engine", "ray"], "--engine ray needs --shards N"),
    ],
)
def test_a_wrong_command_line_gives_exit_code_2(invoke: Invoke, args: list[str], message: str) -> None:
    result = invoke(*args)
    assert result.exit_code == 2
    assert message in result.stderr


def test_faults_of_files_are_errors_of_ours(invoke: Invoke, tmp_path: Path) -> None:
    missing: Any = invoke(ckpt="stage2").exception
    assert isinstance(missing, ModelError)
    (tmp_path / "manifest.jsonl").write_text("")
    assert isinstance(invoke().exception, DataError)


def test_the_fingerprint_is_the_directorys(invoke: Invoke, tmp_path: Path) -> None:

    invoke("--split", "dev")
    assert FeatureCache(tmp_path / "cache").fingerprint == fingerprint(tmp_path / "stage1")


def test_all_shards_are_written_by_one_command(invoke: Invoke) -> None:
    report = json.loads(invoke("--shards", "2").stdout)
    names = [Path(path).name for path in report["shards"]]
    assert names == ["train-0-of-2.h5", "dev-0-of-2.h5", "train-1-of-2.h5", "dev-1-of-2.h5"]
    assert report["clips"] == 8


def test_a_task_of_an_array_takes_its_own_shard(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ID": 2, "MIN": 1, "MAX": 3, "COUNT": 3}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    result = invoke("--split", "dev")
    assert [Path(path).name for path in json.loads(result.stdout)["shards"]] == ["dev-1-of-3.h5"]
    assert "shard 1/3, as Slurm array 1-3, task 2\n" in result.stderr
    given = invoke("--split", "train", "--shard", "0/1")
    assert [Path(path).name for path in json.loads(given.stdout)["shards"]] == ["train-0-of-1.h5"]
    assert "Slurm" not in given.stderr


def test_what_views_cost_is_said_before_they_are_made(invoke: Invoke) -> None:
    dry = invoke("--set", "views=2", "--dry-run")
    assert json.loads(dry.stdout)["views_bytes"] > 0
    real = invoke("--set", "views=2")
    cost, start = (real.stderr.find(text) for text in ("2 views of each training video add", "extract train"))
    assert 0 <= cost < start


def test_options_that_name_settings_reach_them(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("--fps", "5", "--views", "1", "--keep-partial", "--split", "train").exit_code == 0
    provenance = FeatureCache(tmp_path / "cache", "train").provenance
    assert provenance.preprocessing["sampling"]["fps"] == 5
    assert provenance.preprocessing["views"]["count"] == 1
    assert provenance.preprocessing["keep_partial"] is True
