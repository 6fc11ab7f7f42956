"""The page of ``fla report``: figures as in the files, everything escaped, nothing loaded, nothing lost."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from fla_llm.core.errors import DataError, FlaError, RunError
from fla_llm.scoring.scorecard import COLUMNS

Fla = Callable[..., Result]
HOSTILE = "<script>alert(1)</script>"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--dump-dom",
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(run_fla: Fla, scored: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page about both runs, with the videos and features that they were trained on."""
    out = tmp_path_factory.mktemp("page") / "report.html"
    run_fla("report", scored / "stage1", scored / "stage2", "--out", out, "--device", "cpu")
    return out


@pytest.fixture
def copied(scored: Path, house: Path, tmp_path: Path) -> Path:
    """A folder with copies of both runs and of the manifest, to be changed."""
    for name in ("stage1", "stage2"):
        shutil.copytree(scored / name, tmp_path / name)
    shutil.copy(house / "manifest.jsonl", tmp_path)
    return tmp_path


def check_figures(page: Any, scored: Path) -> None:
    """Compare every figure of the table with ``scores.json``, in full and as shown."""
    expected = {
        (run, evaluation, protocol, column): found[key]
        for run in ("stage1", "stage2")
        for evaluation, entry in json.loads((scored / run / "scores.json").read_text()).items()
        for protocol, found in entry["protocols"].items()
        for column, key in COLUMNS.items()
    }
    shown = {(cell.run, cell.evaluation, cell.protocol, cell.column): cell for cell in page.cells}
    # The sentences of training have no entry in scores.json.
    assert {key for key in shown if key[1] != "dev"} == expected.keys()
    assert {(run, evaluation) for run, evaluation, _, _ in expected} == {
        (run, evaluation) for run in ("stage1", "stage2") for evaluation in ("test", "test-shuffled")
    }
    for key, value in expected.items():
        assert float(shown[key].value) == value, key
        assert shown[key].text == f"{value:.2f}", key


def check_loads_nothing(page: Any) -> None:
    assert page.links
    assert [link for link in page.links if not link.startswith(("#", "data:image/"))] == []
    assert "script" not in page.tags
    assert page.handlers == []


def test_figures_are_those_of_the_files_and_nothing_is_loaded(
    whole: Path, scored: Path, read_page: Callable[[str], Any]
) -> None:
    page = read_page(whole.read_text(encoding="utf-8"))
    check_figures(page, scored)
    check_loads_nothing(page)
    assert page.without_alt == 0


def test_a_browser_shows_the_figures_of_the_files(
    whole: Path, scored: Path, read_page: Callable[[str], Any], tmp_path: Path
) -> None:
    browser = shutil.which("chromium")
    if browser is None and os.environ.get("FAIL_WITHOUT_CHROMIUM") != "1":
        pytest.skip("chromium is not installed")
    assert browser is not None, "chromium must be installed where FAIL_WITHOUT_CHROMIUM=1"
    shown = subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", whole.as_uri()],
        check=True, capture_output=True, text=True, timeout=300,
    ).stdout  # fmt: skip
    page = read_page(shown)
    check_figures(page, scored)
    check_loads_nothing(page)
    # The browser understood the page as it was written: the same elements, in the same order.
    written = read_page(whole.read_text(encoding="utf-8"))
    assert [tag for tag in page.tags if tag not in ("tbody", "colgroup")] == [
        tag for tag in written.tags if tag not in ("tbody", "colgroup")
    ]


def test_both_stages_show_frames_and_attention_for_each_word(
    whole: Path, scored: Path, read_page: Callable[[str], Any]
) -> None:
    html = whole.read_text(encoding="utf-8")
    rows = [
        json.loads(line)
        for run in ("stage1", "stage2")
        for line in (scored / run / "predictions-dev.jsonl").read_text().splitlines()
    ]
    words = sum(len(row["prediction"].split()) for row in rows)
    assert html.count('class="weights"') == words
    assert "What the encoder sees" in html
    # The training clip of stage one: as evaluated, and in three epochs.
    assert html.count('<figure class="strip">') == 4
    assert "Not shown on this page" not in html


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_every_text_of_a_corpus_is_escaped(
    run_fla: Fla, copied: Path, house: Path, read_page: Callable[[str], Any], stage: str
) -> None:
    predictions = copied / stage / "predictions-dev.jsonl"
    row = json.loads(predictions.read_text().splitlines()[0])
    hostile = {
        "id": HOSTILE, "prediction": f'"><img src=x onerror=alert(2)>{HOSTILE}',
        "reference": "</td>\x1b[2J\u202e<style>*{}</style>", "language": row["language"],
    }  # fmt: skip
    predictions.write_text(json.dumps(hostile) + "\n" + predictions.read_text())
    described = json.loads((copied / stage / "run.json").read_text())
    described |= {"missing": {"dev": {HOSTILE: HOSTILE}}, "feature_fingerprint": HOSTILE}
    described |= {"unreadable": [{"split": "dev", "id": HOSTILE, "reason": HOSTILE}]}
    (copied / stage / "run.json").write_text(json.dumps(described))
    # No manifest and no cache hold such a clip: its faults stand on the page too.
    run_fla("report", copied / stage, "--out", copied / "page.html", exit_code=1)
    html = (copied / "page.html").read_text(encoding="utf-8")
    page = read_page(html)
    check_loads_nothing(page)
    assert page.tags.count("style") == 1
    assert HOSTILE in page.text
    assert "\x1b" not in html
    assert "\u202e" not in html


def test_missing_clips_are_counted_and_named(
    run_fla: Fla, copied: Path, read_page: Callable[[str], Any]
) -> None:
    """A clip that training lost, and a clip of the manifest that has no sentence."""
    run = json.loads((copied / "stage1" / "run.json").read_text())
    run["unreadable"] = [{"split": "train", "id": "lost-clip", "reason": "it is damaged"}]
    (copied / "stage1" / "run.json").write_text(json.dumps(run))
    predictions = copied / "stage1" / "predictions-dev.jsonl"
    first, *rest = predictions.read_text().splitlines(keepends=True)
    predictions.write_text("".join(rest))
    run_fla(
        "report", copied / "stage1", "--out", copied / "page.html", "--manifest", copied / "manifest.jsonl"
    )
    page = read_page((copied / "page.html").read_text(encoding="utf-8"))
    assert page.missing["stage1", "train"].split()[-1] == "1"
    assert "lost-clip it is damaged" in " ".join(page.missing["stage1", "train"].split())
    assert page.missing["stage1", "dev"].split()[-1] == "1"
    assert json.loads(first)["id"] in page.missing["stage1", "dev"]


def test_what_cannot_be_shown_is_named_and_counts_as_a_fault(run_fla: Fla, copied: Path, house: Path) -> None:
    (copied / "empty").mkdir()
    result = run_fla(
        "report", copied / "stage1", "--out", copied / "page.html", "--manifest", copied / "manifest.jsonl",
        "--root", copied / "empty", "--json", exit_code=1,
    )  # fmt: skip
    faults = json.loads(result.stdout)["faults"]
    # Two clips of dev, each without frames and attention, and the training clip.
    assert len(faults) == 5
    html = (copied / "page.html").read_text(encoding="utf-8")
    assert "Not shown on this page" in html
    assert html.count("cannot be read") + html.count("does not exist") > 0


def test_features_of_another_encoder_are_a_fault(run_fla: Fla, copied: Path, cached: Path) -> None:
    result = run_fla(
        "report", copied / "stage2", "--out", copied / "page.html", "--split", "test", "--features", cached,
        "--json", exit_code=1,
    )  # fmt: skip
    faults = json.loads(result.stdout)["faults"]
    assert any(fault.startswith("Attention of stage2: The features must come from") for fault in faults)


def test_without_videos_and_features_the_page_says_what_is_needed(
    run_fla: Fla, copied: Path, read_page: Callable[[str], Any]
) -> None:
    for file, key in (("stage1/run.json", "read_from"), ("stage2/begun.json", "features")):
        content = json.loads((copied / file).read_text())
        gone = str(copied / "gone")
        content[key] = [gone] if key == "features" else {"manifest": gone, "root": gone}
        (copied / file).write_text(json.dumps(content))
    run_fla("report", copied / "stage1", copied / "stage2", "--out", copied / "page.html")
    text = read_page((copied / "page.html").read_text(encoding="utf-8")).text
    was = f"The run was trained on {copied / 'gone'}, which is not there."
    assert f"Frames, signers and attention of stage1 need the videos: add --manifest. {was}" in text
    assert "Frames of stage2 need the videos: add --manifest." in text
    assert f"Attention of stage2 needs the features: add --features. {was}" in text
    assert "<img" not in (copied / "page.html").read_text(encoding="utf-8")


def test_inputs_that_are_given_take_the_place_of_those_of_training(
    run_fla: Fla, whole: Path, scored: Path, house: Path, tmp_path: Path
) -> None:
    run_fla(
        "report", scored / "stage1", scored / "stage2", "--out", tmp_path / "page.html", "--device", "cpu",
        "--manifest", house / "manifest.jsonl", "--features", house / "cache",
    )  # fmt: skip
    assert (tmp_path / "page.html").read_text() == whole.read_text()


def test_no_attention_loads_no_model(run_fla: Fla, copied: Path) -> None:
    (copied / "stage1" / "translator" / "model.safetensors").write_bytes(b"no weights")
    run_fla("report", copied / "stage1", "--out", copied / "page.html", "--no-attention")
    html = (copied / "page.html").read_text(encoding="utf-8")
    assert "was left out by --no-attention" in html
    assert '<figure class="strip">' in html
    assert 'class="weights"' not in html


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("run.json", "[1]", "run.json must hold a JSON object, but holds list"),
        ("scores.json", '{"test": {"split": "test"}}', "'test' must have 'count', but has not"),
        ("log.jsonl", '{"loss": 1}\n', "log.jsonl must hold objects with 'step' alone"),
        ("config.yaml", "- a", "config.yaml must hold settings"),
    ],
)
def test_a_damaged_file_of_a_run_is_refused(
    run_fla: Fla, copied: Path, file: str, content: str, message: str
) -> None:
    (copied / "stage1" / file).write_text(content)
    with pytest.raises(FlaError, match=message):
        run_fla("report", copied / "stage1", "--out", copied / "page.html")


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_an_unfinished_run_shows_its_curves(run_fla: Fla, copied: Path, house: Path, stage: str) -> None:
    """Stage one writes run.json at the start, stage two at the end."""
    run = copied / stage
    for name in ("scores.json", "predictions-dev.jsonl", *["run.json"] * (stage == "stage2")):
        (run / name).unlink()
    if stage == "stage1":
        described = json.loads((run / "run.json").read_text())
        begun = {name: described[name] for name in ("format", "manifest", "batches", "begun_without")}
        (run / "run.json").write_text(json.dumps(begun))
    run_fla("report", run, "--out", copied / "page.html", "--manifest", copied / "manifest.jsonl")
    html = (copied / "page.html").read_text(encoding="utf-8")
    assert "not finished" in html
    assert "<polyline" in html
    assert "No sentences have been scored yet" in html


def test_a_folder_that_is_no_run_is_refused(run_fla: Fla, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"{tmp_path} must be a run of fla pretrain or fla tune"):
        run_fla("report", tmp_path, "--out", tmp_path / "page.html")


def test_sentences_without_a_language_are_refused(run_fla: Fla, copied: Path) -> None:
    path = copied / "stage1" / "predictions-dev.jsonl"
    path.write_text('{"id": "a", "prediction": "b", "reference": "c"}\n')
    with pytest.raises(DataError, match="predictions-dev.jsonl must have the column 'language'"):
        run_fla("report", copied / "stage1", "--out", copied / "page.html")


def test_the_same_run_twice_is_shown_twice(
    run_fla: Fla, copied: Path, read_page: Callable[[str], Any]
) -> None:
    run_fla("report", copied / "stage1", copied / "stage1", "--out", copied / "page.html", "--no-attention")
    page = read_page((copied / "page.html").read_text(encoding="utf-8"))
    assert {cell.run for cell in page.cells} == {"stage1 (1)", "stage1 (2)"}
