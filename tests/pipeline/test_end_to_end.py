"""The commands one after another, as a user types them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from fla_llm.core.errors import CacheError, ConfigError, DataError, RunError

Fla = Callable[..., Result]


@pytest.fixture(scope="module")
def without_videos(house: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a colleague gets who has the cache, the LLM and the run, but none of the videos."""
    folder = tmp_path_factory.mktemp("colleague")
    for part in ("cache", "stage2"):
        shutil.copytree(house / part, folder / part)
    return folder


def test_stage_two_is_scored_on_the_cache_alone(run_fla: Fla, without_videos: Path) -> None:
    run = without_videos / "stage2"
    result = run_fla("evaluate", run, "--features", without_videos / "cache", "--json", "--device", "cpu")
    scores = json.loads(result.stdout)
    assert scores["count"] == 4
    assert scores["signature"].startswith("protocol:sacrebleu|lang:en|hyp:raw|ref:raw BLEU|nrefs:1|")
    assert json.loads((run / "scores.json").read_text())["test"] == scores
    rows = [json.loads(line) for line in (run / "predictions-test.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    assert rows[0].keys() == {"id", "prediction", "reference", "language"}


def test_the_predictions_file_scores_the_same(run_fla: Fla, house: Path) -> None:
    evaluated = run_fla("evaluate", house / "stage2", "--features", house / "cache", "--json")
    scored = run_fla("score", house / "stage2" / "predictions-test.jsonl", "--json")
    ours, theirs = json.loads(evaluated.stdout), json.loads(scored.stdout)["sacrebleu"]
    figures = ("bleu4", "chrf", "rouge_l", "wer", "exact_match", "substitutions")
    assert {name: ours[name] for name in figures} == {name: theirs[name] for name in figures}


def test_stage_one_is_scored_on_videos(run_fla: Fla, house: Path) -> None:
    arguments = ("evaluate", house / "stage1", "--manifest", house / "manifest.jsonl", "--json")
    result = run_fla(*arguments, "--split", "dev", "--phase", "1", "--set", "num_beams=1")
    scores = json.loads(result.stdout)
    assert (scores["split"], scores["count"], scores["decoding"]["num_beams"]) == ("dev", 2, 1)
    assert Path(scores["predictions"]).name == "predictions-dev-phase1-num_beams=1.jsonl"
    assert json.loads((house / "stage1" / "scores.json").read_text())["dev-phase1-num_beams=1"] == scores


def test_expected_figures_stand_beside_the_measured_ones(run_fla: Fla, house: Path, tmp_path: Path) -> None:
    arguments = ("evaluate", house / "stage2", "--features", house / "cache", "--protocol", "all")
    scores = json.loads(run_fla(*arguments, "--json").stdout)
    expected = tmp_path / "expected.json"
    expected.write_text(json.dumps(scores["protocols"]))
    assert run_fla(*arguments, "--compare", expected).exit_code == 0
    expected.write_text(json.dumps({"gfslt": {"bleu4": scores["protocols"]["gfslt"]["bleu4"] + 1}}))
    result = run_fla(*arguments, "--compare", expected, exit_code=1)
    assert "gfslt bleu4" in result.stdout
    assert "-1.00" in result.stdout


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_shuffled_features_are_kept_apart(run_fla: Fla, house: Path, stage: str) -> None:
    source = (
        ("--manifest", house / "manifest.jsonl") if stage == "stage1" else ("--features", house / "cache")
    )
    result = run_fla("evaluate", house / stage, *source, "--shuffle-features", "--json")
    assert json.loads(result.stdout)["shuffled"] is True
    assert (house / stage / "predictions-test-shuffled.jsonl").is_file()


def test_a_video_becomes_the_sentence_that_its_cached_features_become(run_fla: Fla, house: Path) -> None:
    run_fla("evaluate", house / "stage2", "--features", house / "cache")
    rows = [
        json.loads(line) for line in (house / "stage2" / "predictions-test.jsonl").read_text().splitlines()
    ]
    videos = sorted((house / "corpus" / "videos" / "test").iterdir())
    result = run_fla("translate", *videos, "--run", house / "stage2", "--ckpt", house / "stage1")
    assert result.stdout.splitlines() == [
        row["prediction"] for row in sorted(rows, key=lambda row: row["id"])
    ]


def test_a_video_that_cannot_be_read_stops_no_other(run_fla: Fla, house: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    good = next((house / "corpus" / "videos" / "test").iterdir())
    arguments = ("--run", house / "stage2", "--ckpt", house / "stage1", "--json")
    result = run_fla("translate", tmp_path / "broken.mp4", good, *arguments, exit_code=1)
    done = json.loads(result.stdout)
    assert [row["video"] for row in done["translations"]] == [str(good)]
    assert "broken.mp4" in done["faults"][0]


def test_another_encoder_is_refused_by_both_fingerprints(run_fla: Fla, house: Path, tmp_path: Path) -> None:
    run_fla(
        "extract", "--encoder", "timm:test_resnet", "--manifest", house / "manifest.jsonl",
        "--out", tmp_path / "other", "--split", "test",
        "--set", "timm={pretrained: false, image_size: 32}", "--set", "workers=0",
    )  # fmt: skip
    with pytest.raises(CacheError, match="must come from encoder [0-9a-f]{64}"):
        run_fla("evaluate", house / "stage2", "--features", tmp_path / "other", exit_code=0)


def test_a_split_without_clips_is_refused(run_fla: Fla, house: Path, tmp_path: Path) -> None:
    lines = (house / "manifest.jsonl").read_text().splitlines()
    header = json.loads(lines[0])
    header["counts"] = {**header["counts"], "test": 0}
    kept = [line for line in lines[1:] if json.loads(line)["split"] != "test"]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("\n".join([json.dumps(header), *kept]) + "\n")
    with pytest.raises(DataError, match="has no clips in split 'test'"):
        run_fla("evaluate", house / "stage1", "--manifest", manifest)


def test_the_stages_are_not_mistaken_for_one_another(run_fla: Fla, house: Path) -> None:
    with pytest.raises(RunError, match="stage1 must hold a stage-two run"):
        run_fla("evaluate", house / "stage1", "--features", house / "cache")
    with pytest.raises(RunError, match="stage2 must be a finished stage-one run"):
        run_fla("evaluate", house / "stage2", "--manifest", house / "manifest.jsonl")


def test_evaluate_wants_one_source(run_fla: Fla, house: Path) -> None:
    assert "Give either --features" in run_fla("evaluate", house / "stage2", exit_code=2).output
    both = run_fla("evaluate", house / "stage2", "--features", house / "cache", "--phase", "1", exit_code=2)
    assert "--phase go with --manifest" in both.output


def test_a_language_is_needed_only_where_there_are_several(run_fla: Fla, house: Path, tmp_path: Path) -> None:
    run = shutil.copytree(house / "stage2", tmp_path / "run")
    described = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(described | {"languages": ["de", "en"]}))
    good = next((house / "corpus" / "videos" / "test").iterdir())
    with pytest.raises(ConfigError, match="was tuned on de, en"):
        run_fla("translate", good, "--run", run, "--ckpt", house / "stage1")
