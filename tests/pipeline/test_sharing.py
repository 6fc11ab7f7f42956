"""A model folder goes to the hub and comes back by its name. The hub is a stand-in: nothing is fetched."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import yaml
from click.testing import Result
from huggingface_hub import ModelCard
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.utils import filter_repo_objects

from fla_llm.core.errors import ModelError, RunError
from fla_llm.pipeline import sharing
from fla_llm.pipeline.translator import Translator

Fla = Callable[..., Result]
REPO = "someone/signs"


class Hub:
    """Repositories as folders. File patterns are matched by huggingface_hub's own function."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.disk, self.private = folder / "hub", folder / "disk", dict[str, bool]()

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> str:
        assert exist_ok
        self.private.setdefault(repo_id, private)
        return f"https://hub/{repo_id}"

    def upload_folder(
        self, *, repo_id: str, folder_path: Path, allow_patterns: list[str], commit_message: str
    ) -> None:
        if repo_id.startswith("nobody"):
            raise RuntimeError("401 Client Error.\nmore")
        assert commit_message
        self._copy(folder_path, self.folder / repo_id, allow_patterns)

    def snapshot_download(
        self, repo_id: str, *, revision: str | None, allow_patterns: list[str], local_files_only: bool = False
    ) -> str:
        name = repo_id + (f"@{revision}" if revision else "")
        if local_files_only and not (self.disk / name).is_dir():
            raise LocalEntryNotFoundError(name)
        if not local_files_only and not (self.folder / repo_id).is_dir():
            raise RuntimeError("404 Client Error.")
        if not local_files_only:
            self._copy(self.folder / repo_id, self.disk / name, allow_patterns)
        return str(self.disk / name)

    @staticmethod
    def _copy(source: Path, target: Path, patterns: list[str]) -> None:
        names = [path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()]
        for name in filter_repo_objects(names, allow_patterns=patterns):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub(tmp_path)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    monkeypatch.setattr(sharing, "check_reachable", lambda *_, **__: None)
    monkeypatch.setattr(sharing, "refuse_offline", lambda *_, **__: None)
    return hub


@pytest.fixture(scope="module")
def model(run_fla: Fla, house: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharing") / "model"
    run_fla("evaluate", house / "stage2", "--features", house / "cache", "--device", "cpu")
    run_fla("export", house / "stage2", "--out", folder, "--ckpt", house / "stage1", "--with-llm")
    return folder


def test_a_pushed_model_translates_by_its_name(
    run_fla: Fla, house: Path, model: Path, hub: Hub, tmp_path: Path
) -> None:
    folder = shutil.copytree(model, tmp_path / "model")
    for name in ("evil.py", "pickled.bin", ".token.json", "predictions-test.jsonl"):
        (folder / name).write_text("x")
    done = json.loads(run_fla("push", folder, REPO, "--json").stdout)
    assert hub.private == {REPO: True}
    assert {*done["left_out"]} >= {"evil.py", "pickled.bin", ".token.json", "predictions-test.jsonl"}
    sent = {path.relative_to(hub.folder / REPO).as_posix() for path in (hub.folder / REPO).rglob("*.*")}
    assert sent == set(done["files"])
    assert {Path(name).suffix for name in sent} == {".json", ".yaml", ".md", ".safetensors"}
    video = min((house / "corpus" / "videos" / "test").iterdir())
    # What another program puts into the repository is not fetched.
    (hub.folder / REPO / "evil.py").write_text("x")
    said = run_fla("translate", video, "--model", REPO, "--device", "cpu").stdout
    assert said == run_fla("translate", video, "--model", model, "--device", "cpu").stdout
    assert not list(hub.disk.rglob("evil.py"))
    shutil.rmtree(hub.folder)  # the copy on this disk suffices
    assert Translator.from_pretrained(REPO, device="cpu")(video) == said.strip()
    with pytest.raises(ModelError, match="cannot be fetched"):
        Translator.from_pretrained(f"{REPO}@v2", device="cpu")


def test_what_cannot_be_pushed_is_refused(model: Path, hub: Hub, tmp_path: Path) -> None:
    for wrong in ("signs", "a/b/c", "someone/signs@v1", "../x"):
        with pytest.raises(ModelError, match="must be named user/name"):
            sharing.push(model, wrong)
    with pytest.raises(ModelError, match=r"cannot be sent to nobody/x: 401 Client Error\.\nLog in by"):
        sharing.push(model, "nobody/x")
    with pytest.raises(RunError, match="must hold a stage-two run"):
        sharing.push(tmp_path, REPO)
    folder = shutil.copytree(model, tmp_path / "model")
    (folder / "notes.md").symlink_to("/etc/hostname")
    with pytest.raises(ModelError, match=r"notes\.md must be a file of the model, but is a link"):
        sharing.push(folder, REPO)
    assert not hub.folder.exists() or not list(hub.folder.iterdir())


@pytest.mark.parametrize("name", ["nowhere", "./a/b", "/etc/nowhere", "a/b/c", "runs/x.yaml"])
def test_a_name_that_is_no_id_is_never_asked_of_the_hub(name: str, hub: Hub) -> None:
    with pytest.raises(ModelError, match="there is no such folder"):
        sharing.find_model(name)
    assert not hub.disk.exists()


def test_the_card_lists_the_results_as_the_hub_reads_them(model: Path) -> None:
    scores = json.loads((model / "scores.json").read_text())["test"]["protocols"]["sacrebleu"]
    card = ModelCard.load(model / "README.md")
    results: Any = card.data.eval_results
    found = {(row.dataset_split, row.metric_type): row.metric_value for row in results}
    assert found["test", "bleu"] == round(scores["bleu4"], 2)
    assert found["test", "chrf"] == round(scores["chrf"], 2)
    assert {row.dataset_name for row in results} == {"demo"}
    front = yaml.safe_load((model / "README.md").read_text().split("---")[1])
    assert "base_model" not in front  # it is part of the folder
