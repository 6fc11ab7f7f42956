"""The demo's summary holds every figure that is promised, at a size that teaches nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fla_llm.cli import fla
from fla_llm.core.errors import ConfigError, RunError
from fla_llm.core.files import write_jsonl
from fla_llm.core.sample import Sample
from fla_llm.corpora.manifest import Manifest
from fla_llm.demo.config import load_demo_config
from fla_llm.demo.run import Summary, describe_plan, run_demo
from fla_llm.demo.summary import describe_figures, score_signers

NOTEBOOK = Path(__file__).parents[2] / "docs/notebooks/demo.ipynb"
ROLES = Path(__file__).parents[2] / "bench/roles_demo.yaml"
TINY = [
    "corpus={train_clips: 8, single_sign_clips: 2, dev_clips: 2, test_clips: 3, image_size: 32}",
    "pretrain.encoder={backbone: test_resnet, image_size: 32, resize_size: 32, output_stride: null}",
    "pretrain.translator={encoder_layers: 1, decoder_layers: 1, heads: 2, hidden_size: 16, ffn_size: 16}",
    "pretrain.training.epochs=1", "pretrain.decoding.max_new_tokens=4", "extract.workers=0",
    "llm={hidden_size: 64, layers: 1, steps: 1}", "text_sentences=20",
    "tune.training.epochs=1", "tune.decoding.max_new_tokens=4", "tune.projector.hidden_size=16",
]  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    """A folder with a run in ``runs/demo``, as the notebook has it, and the summary of the run."""
    folder = tmp_path_factory.mktemp("notebook")
    config = load_demo_config(None, TINY, is_tiny=True)
    return folder, run_demo(folder / "runs/demo", config=config, device="cpu", is_trial=True)


def test_the_summary_is_whole(demo: tuple[Path, Summary]) -> None:
    folder, summary = demo
    out = folder / "runs/demo"
    figures = json.loads((out / "summary.json").read_text())
    assert figures == json.loads(json.dumps(summary.figures))
    assert (figures["train_clips"], figures["test_clips"]) == (8, 3)
    for scores in (figures["stage_one"]["test"], figures["test"], figures["test_shuffled"]):
        assert 0 <= scores["bleu4"] <= 100
    assert figures["single_sign_clips"] == 2
    # The signs of this language tell little without their order.
    assert 0 <= figures["baselines"]["bag_of_signs"] < 100
    assert 0 <= figures["baselines"]["nearest_training_sentence"] < 100
    assert sum(signer["clips"] for signer in figures["signers"].values()) == 3
    assert figures["signers"].keys() == figures["stage_one"]["signers"].keys()
    assert "bag of signs" in summary.text
    assert "nearest training sentence" in summary.text
    steps = {"prepare", "pretrain", "extract", "llm", "tune", "evaluate", "translate"}
    assert figures["seconds"].keys() == steps
    assert str(out / "stage1" / "encoder") in summary.text
    assert figures["is_trial"] is True
    assert "A trial: every stage ran" in summary.text
    assert "BLEU-4 on 3 test clips, a trial" in summary.text
    assert "trial" not in describe_figures(out, {**figures, "is_trial": False})
    with pytest.raises(RunError, match="is not empty"):
        run_demo(out, config=load_demo_config(None, TINY), device="cpu")


def test_the_notebook_runs_from_the_first_cell_to_the_last(
    demo: tuple[Path, Summary],
    parse_fla: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(demo[0])
    names: dict[str, Any] = {}
    shell = []
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        assert (cell["outputs"], cell["execution_count"]) == ([], None)
        lines = "".join(cell["source"]).splitlines()
        shell += [line[1:] for line in lines if line.startswith("!")]
        exec("\n".join(line for line in lines if not line.startswith("!")), names)
    printed = capsys.readouterr().out
    assert demo[1].figures["example"]["reference"] in printed
    assert f"translated {demo[1].figures['example']['translation']}" in printed
    assert names["strip"].height == 64
    install, *commands = shell
    assert install.startswith("pip install")
    # The run of the fixture stands for that of the notebook, so the commands are parsed and not run.
    assert [line.split()[:2] for line in commands] == [["fla", word] for word in ("doctor", "demo", "report")]
    for line in commands:
        parse_fla(line)


def test_a_first_look_is_smaller_and_has_a_folder_of_its_own(tmp_path: Path) -> None:
    whole, tiny = load_demo_config(), load_demo_config(is_tiny=True)
    assert tiny.corpus.train_clips < whole.corpus.train_clips
    assert tiny.pretrain.training.epochs < whole.pretrain.training.epochs
    shown = [CliRunner().invoke(fla, ["demo", "--dry-run", *more]).stdout for more in ([], ["--tiny"])]
    assert shown[0].startswith("runs/demo/corpus   4200 + ")
    assert shown[1].startswith("runs/demo-tiny/corpus   900 + ")


def test_the_plan_says_what_would_be_done(tmp_path: Path) -> None:
    plan = describe_plan(load_demo_config(None, TINY), tmp_path)
    assert "8 + 2 + 3 clips" in plan
    assert "nf4 + LoRA" in plan


def test_one_seed_serves_every_stage() -> None:
    config = load_demo_config(None, ["seed=7"])
    assert (config.seed, config.pretrain.seed, config.tune.seed) == (7, 7, 7)


def test_the_language_with_fixed_roles_has_its_settings_in_a_file() -> None:
    roles, whole = load_demo_config(str(ROLES)), load_demo_config()
    assert (roles.corpus.language, whole.corpus.language) == ("roles", "order")
    # Its words stand in another order than its signs.
    assert (roles.llm.keep_order, whole.llm.keep_order) == (False, True)


def test_a_misspelt_setting_is_refused() -> None:
    expected = "unknown key 'pretrain.training.epoch'. Did you mean 'pretrain.training.epochs'"
    with pytest.raises(ConfigError, match=expected):
        load_demo_config(None, ["pretrain.training.epoch=3"])


def test_scores_of_signers_are_of_their_clips_alone(tmp_path: Path) -> None:
    samples = [
        Sample(
            id=id_, split="test", video="a.mp4", text="x", language="en", num_frames=1, fps=1.0, signer=signer
        )
        for id_, signer in (("a", "ada"), ("b", "ben"), ("c", "ben"))
    ]
    manifest = Manifest(corpus="demo", root=tmp_path, samples=tuple(samples))
    said = {"a": "the dog sees ben", "b": "the dog sees anna", "c": "nobody"}
    rows = [{"id": id_, "prediction": text, "reference": "the dog sees ben"} for id_, text in said.items()]
    write_jsonl(tmp_path / "predictions.jsonl", rows)
    found = score_signers(tmp_path / "predictions.jsonl", manifest)
    assert (found["ada"]["clips"], found["ben"]["clips"]) == (1, 2)
    assert found["ada"]["bleu4"] == pytest.approx(100)
    assert found["ben"]["bleu4"] < 50
