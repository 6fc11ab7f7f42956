"""One model of three tasks: trained, resumed, scored by the metric of each task, above the shuffle."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from stage_two_fixtures import FEATURE_SIZE, WORDS, write_clips

from fla_llm.cache.reader import FeatureCache
from fla_llm.cache.writer import ShardWriter
from fla_llm.core.config import write_config
from fla_llm.core.files import read_json, read_jsonl
from fla_llm.finetune.config import ProjectorConfig, TuneConfig
from fla_llm.pipeline.card import write_card
from fla_llm.training.checkpoints import finished_steps

Fla = Callable[..., Result]
PAIRS = [(n, (n + 3) % 8) for n in range(8)]


def clip(id: str, task: str, words: tuple[int, ...], text: str) -> dict[str, Any]:
    """Return a clip whose features say each word for two steps."""
    # The same words have the same features in every task.
    noise = np.random.default_rng(words).normal(0, 0.05, (2 * len(words), FEATURE_SIZE))
    features = (np.eye(FEATURE_SIZE)[np.repeat(words, 2)] + noise).astype(np.float16)
    return {"id": id, "task": task, "text": text, "language": "de", "features": features}


def three_tasks() -> list[dict[str, Any]]:
    """Return sentences, the same signs with glosses in another order, and single signs."""
    said = [f"{WORDS[first]} {WORDS[second]}" for first, second in PAIRS]
    glosses = [f"{WORDS[second]} {WORDS[first]}" for first, second in PAIRS]
    return [
        *(clip(f"s{n}", "translate", pair, said[n]) for n, pair in enumerate(PAIRS)),
        *(clip(f"g{n}", "recognise", pair, glosses[n]) for n, pair in enumerate(PAIRS)),
        *(clip(f"i{n}", "isolated", (n,), word) for n, word in enumerate(WORDS)),
    ]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("mixed"), three_tasks(), splits=("train", "dev"))


@pytest.fixture(scope="module")
def tuned(
    mixed: Path, config: TuneConfig, llm_folder: Callable[[str], Path], run_fla: Fla,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:  # fmt: skip
    """A run of all of a small mT5, interrupted after half of its epochs and resumed."""
    folder = tmp_path_factory.mktemp("run")
    own = replace(
        config, quantise="none", train="full", projector=ProjectorConfig(kind="linear", learning_rate=5e-3),
        training=replace(
            config.training, epochs=120, batch_clips=24, batch_tokens=512, learning_rate=1e-3,
            evaluate_every_epochs=60, save_every_epochs=60, passes_by_task={"isolated": 0.5},
        ),
        decoding=replace(config.decoding, num_beams=1),
    )  # fmt: skip
    write_config(own, folder / "settings.yaml")
    given = (
        "tune",
        "--features",
        mixed,
        "--llm",
        llm_folder("mt5"),
        "--out",
        folder / "run",
        "--device",
        "cpu",
    )
    given = (*given, "--config", folder / "settings.yaml")
    run_fla(*given, "--set", "training.epochs=60")
    done = run_fla(*given, "--resume", "--allow-config-change", "--json")
    assert json.loads(done.stdout)["best_scores"].keys() == {"bleu4", "chrf"}
    # 8 sentences, 8 rows of glosses and 4 of the 8 signs make one batch.
    assert finished_steps(folder / "run" / "checkpoints")[-1] == 120
    return folder / "run"


def test_each_task_is_far_above_its_shuffled_control(tuned: Path, mixed: Path, run_fla: Fla) -> None:
    given = ("evaluate", tuned, "--features", mixed, "--split", "dev", "--device", "cpu")
    found = json.loads(run_fla(*given, "--json").stdout)
    control = json.loads(run_fla(*given, "--shuffle-features", "--json").stdout)
    assert found["bleu1"] > 80 > 50 > control["bleu1"]
    # Sentences and glosses are the same words in another order: the prompt alone tells which.
    assert found["wer"] < 40
    gloss, sign = found["tasks"]["recognise"], found["tasks"]["isolated"]
    assert gloss["wer"] < 55 < 70 < control["tasks"]["recognise"]["wer"]
    assert gloss["reference_words"] == 16
    assert sign["top1"] > 60 > 15 > control["tasks"]["isolated"]["top1"]
    assert sign["top1_per_class"] == sign["top1"]
    assert (sign["classes"], sign["count"]) == (8, 8)
    assert (found["count"], found["clips"]) == (24, 24)
    assert found["protocols"]["sacrebleu"]["count"] == 8
    scores = read_json(tuned / "scores.json")
    assert set(scores) >= {"dev", "dev-shuffled"}
    assert scores["dev"]["tasks"] == found["tasks"]
    rows = read_jsonl(tuned / "predictions-dev.jsonl")
    assert [row["task"] for row in rows] == [clip["task"] for clip in three_tasks()]


def test_the_run_knows_its_tasks_and_logs_their_scores(tuned: Path) -> None:
    assert read_json(tuned / "run.json")["tasks"] == ["isolated", "recognise", "translate"]
    logged = [row["dev"] for row in read_jsonl(tuned / "log.jsonl") if "dev" in row]
    assert {"bleu4", "recognise/wer", "isolated/top1_per_class"} <= logged[-1].keys()


def test_missing_clips_are_counted_over_all_tasks(
    tuned: Path, mixed: Path, run_fla: Fla, tmp_path: Path
) -> None:
    cache = FeatureCache(mixed, "dev")
    with ShardWriter(
        tmp_path / "cache", split="dev", index=0, count=1, rows=cache.rows, provenance=cache.provenance
    ) as writer:
        for number, row in enumerate(cache.rows):
            if row.id == "i3":
                writer.reject(row, "it is damaged")
            else:
                writer.append(row, cache[number])
        writer.finish()
    given = ("evaluate", tuned, "--features", tmp_path / "cache", "--split", "dev", "--device", "cpu")
    done = run_fla(*given, exit_code=1)
    assert "dev-missing=1: 23 of 24 clips, 1 missing" in done.stdout
    heads = [
        line.split() for line in done.stdout.splitlines() if line.startswith(("recognise ", "isolated "))
    ]
    assert [head[-1] for head in heads] == ["missing", "missing"]
    found = read_json(tuned / "scores.json")["dev-missing=1"]
    assert found["clips"] == found["count"] + len(found["missing"]) == 24
    assert found["tasks"]["isolated"]["count"] == 7


def test_single_signs_alone_have_no_bleu(tuned: Path, run_fla: Fla, tmp_path: Path) -> None:
    signs = [clip for clip in three_tasks() if clip["task"] == "isolated"]
    cache = write_clips(tmp_path / "signs", signs, splits=("test",))
    given = ("evaluate", tuned, "--features", cache, "--device", "cpu")
    done = run_fla(*given)
    assert "top-1 per class" in done.stdout
    assert "BLEU" not in done.stdout
    found = read_json(tuned / "scores.json")["test"]
    assert (found["count"], found["clips"], found["protocols"]) == (8, 8, {})
    run_fla(*given, "--set", "num_beams=2", "--n-best", "2")
    assert "candidates" not in read_json(tuned / "scores.json")["test-num_beams=2-n_best=2"]
    card = write_card(tuned, run_scores={}).read_text()
    assert (
        f"| test | 8 clips | isolated, 8 clips | - | - | {found['tasks']['isolated']['top1']:.2f} |" in card
    )
    page = tmp_path / "report.html"
    run_fla("report", tuned, "--out", page, "--split", "test")
    assert "top1 per class" in page.read_text()


def test_a_run_is_warned_of_clips_of_other_tasks(
    house: Path, run: Path, run_fla: Fla, tmp_path: Path
) -> None:
    cache = FeatureCache(house / "cache", "test")
    rows = [replace(row, task="recognise") for row in cache.rows]
    with ShardWriter(
        tmp_path / "cache", split="test", index=0, count=1, rows=rows, provenance=cache.provenance
    ) as writer:
        for number, row in enumerate(rows):
            writer.append(row, cache[number])
        writer.finish()
    done = run_fla("evaluate", run, "--features", tmp_path / "cache", "--device", "cpu")
    assert "was tuned on translate alone, and is given clips of recognise" in done.stderr
