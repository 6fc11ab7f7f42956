"""Every clip of a split is scored or named: count + missing = clips, and the exit code says so."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from click.testing import CliRunner, Result

from fla_llm.cli import fla
from fla_llm.core.errors import CacheError, DataError

Fla = Callable[..., Result]


@pytest.fixture
def test_ids(house: Path) -> list[str]:
    """The ids of the four test clips."""
    rows = [json.loads(line) for line in (house / "manifest.jsonl").read_text().splitlines()[1:]]
    return [row["id"] for row in rows if row["split"] == "test"]


def test_a_clip_that_extraction_rejected_is_named_and_counted(
    run_fla: Fla, house: Path, run: Path, reject: Callable[..., Path], test_ids: list[str]
) -> None:
    run_fla("evaluate", run, "--features", house / "cache")
    whole = json.loads((run / "scores.json").read_text())["test"]
    sentences = (run / "predictions-test.jsonl").read_bytes()
    lost = test_ids[1]
    cache = reject(lost)
    done = run_fla("evaluate", run, "--features", cache, exit_code=1)
    reason = f"it was rejected when {cache} was extracted"
    assert f"test clip {lost!r} is missing: {reason}" in done.stderr
    assert (
        f"test-missing=1: 3 of 4 clips, 1 missing\n\n1 clip is missing:\n  {lost!r}: {reason}" in done.stdout
    )
    header, row = (
        line.split() for line in done.stdout.splitlines() if "BLEU-1" in line or "sacrebleu " in line
    )
    assert dict(zip(header[-2:], row[-2:], strict=True)) == {"sentences": "3", "missing": "1"}
    scores = json.loads((run / "scores.json").read_text())
    assert scores["test"] == whole
    assert (run / "predictions-test.jsonl").read_bytes() == sentences
    found = scores["test-missing=1"]
    assert (found["clips"], found["count"], found["missing"]) == (4, 3, {lost: reason})
    assert len((run / "predictions-test-missing=1.jsonl").read_text().splitlines()) == 3


def test_a_run_that_lacks_nothing_says_so(house: Path) -> None:
    assert json.loads((house / "stage2" / "run.json").read_text())["missing"] == {}


def test_a_card_states_how_many_clips_a_score_covers(
    run_fla: Fla, run: Path, reject: Callable[..., Path], test_ids: list[str], tmp_path: Path
) -> None:
    cache, out = reject(test_ids[0]), tmp_path / "out"
    done = run_fla("export", run, "--out", out, "--features", cache, "--device", "cpu", exit_code=1)
    assert "3 of 4 clips, 1 missing" in done.stdout
    card = (out / "README.md").read_text()
    assert "| test-missing=1 | 3 of 4 clips, 1 missing | sacrebleu |" in card
    assert f"- test-missing=1: `{test_ids[0]}`" in card


def test_a_split_without_a_usable_clip_is_one_sentence(
    run_fla: Fla, run: Path, reject: Callable[..., Path], test_ids: list[str]
) -> None:
    with pytest.raises(
        CacheError, match="must hold clips of split test, but none can be used. Clip .* rejected"
    ):
        run_fla("evaluate", run, "--features", reject(*test_ids))


def test_a_limit_counts_the_whole_split(
    run_fla: Fla, run: Path, reject: Callable[..., Path], test_ids: list[str]
) -> None:
    cache = reject(test_ids[0])
    done = run_fla("evaluate", run, "--features", cache, "--limit", "2", "--json", exit_code=1)
    found = json.loads(done.stdout)
    assert (found["name"], found["count"], found["clips"]) == ("test-limit=2-missing=1", 2, 4)


def damage(path: Path) -> None:
    """Overwrite the pictures after the third one: the clip still opens, and is counted as before."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for start, size in places[3:]:
        content[start + 5 : start + size] = bytes([255]) * (size - 5)
    path.write_bytes(content)


def test_stage_one_scores_the_clips_that_are_whole(
    run_fla: Fla, house: Path, tmp_path: Path, test_ids: list[str]
) -> None:
    run, root = shutil.copytree(house / "stage1", tmp_path / "run"), tmp_path / "corpus"
    shutil.copytree(house / "corpus", root)
    rows = [json.loads(line) for line in (house / "manifest.jsonl").read_text().splitlines()[1:]]
    lost = test_ids[2]
    damage(root / next(row["video"] for row in rows if row["id"] == lost))
    asked = ["evaluate", run, "--manifest", house / "manifest.jsonl", "--root", root, "--json"]
    done = run_fla(*asked, exit_code=1)
    found = json.loads(done.stdout)
    assert (found["name"], found["clips"], found["count"]) == ("test-missing=1", 4, 3)
    assert list(found["missing"]) == [lost]
    assert f"test clip {lost!r} is left out" in done.stderr
    kept = [json.loads(line)["id"] for line in Path(found["predictions"]).read_text().splitlines()]
    assert kept == [id for id in test_ids if id != lost]
    shuffled = json.loads(CliRunner().invoke(fla, [*map(str, asked), "--shuffle-features"]).stdout)
    assert shuffled["count"] + len(shuffled["missing"]) == 4
    with pytest.raises(DataError, match="videos of the manifest must lie in .*nowhere"):
        run_fla("evaluate", run, "--manifest", house / "manifest.jsonl", "--root", tmp_path / "nowhere")
