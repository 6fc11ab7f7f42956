"""bench/pose_demo.py: damage of key points and videos, the corpus of three tasks, commands, and goals."""

import importlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from fla_llm.core.files import read_json, write_json
from fla_llm.corpora.manifest import Manifest, read_manifest
from fla_llm.demo.corpus import DemoConfig, plan_clips
from fla_llm.poses.layouts import SLICES
from fla_llm.poses.reading import read_poses
from fla_llm.video.frames import count_frames, read_frames
from fla_llm.video.sampling import FrameSampling

Fla = Callable[..., Result]
BENCH = Path(__file__).parents[2] / "bench"
SIZES = DemoConfig(train_clips=194, single_sign_clips=192, dev_clips=1, test_clips=4, image_size=16)
TINY = (
    "corpus.train_clips=2", "corpus.single_sign_clips=1", "corpus.dev_clips=1", "corpus.test_clips=4",
    "corpus.image_size=16",
)  # fmt: skip


@pytest.fixture(scope="module")
def bench() -> Iterator[Callable[[str], Any]]:
    """Import a module of bench/, whose files import each other by their bare names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        yield importlib.import_module


@pytest.fixture(scope="module")
def corpus(ran: Path) -> Manifest:
    """The demo corpus of the measurement, with key points."""
    return read_manifest(ran / "demo" / "manifest.jsonl")


def pairs(whole: Manifest, file: Path) -> list[tuple[Any, Any]]:
    """Return the key points of each test clip before and after damage."""
    damaged = read_manifest(file)
    return [
        (read_poses(whole.file(before, "poses")), read_poses(damaged.file(after, "poses")))
        for before, after in zip(whole.split("test"), damaged.samples, strict=True)
    ]


def test_lost_hands_are_lost_in_their_share_of_the_frames(
    bench: Callable[[str], Any], corpus: Manifest, tmp_path: Path
) -> None:
    damage = bench("pose_damage")
    file = damage.write_damaged_poses(
        corpus, tmp_path / "hands", damage=damage.without_hands(0.3), size=(16, 16), seed=1
    )
    lost = []
    for before, after in pairs(corpus, file):
        places = np.asarray(before.layout.chosen)
        for hand in ("left", "right"):
            own = after.scores[:, places[SLICES[hand]]]
            is_lost = (own == 0).all(1)
            lost += list(is_lost)
            # A hand is lost as a whole, and every other point stays.
            assert (own[~is_lost] > 0).all()
            assert not after.points[:, places[SLICES[hand]]][is_lost].any()
        for part in ("body", "face"):
            assert np.allclose(before.points[:, places[SLICES[part]]], after.points[:, places[SLICES[part]]])
    assert 0.15 < np.mean(lost) < 0.45


def test_noise_is_measured_in_half_the_box_of_the_body(
    bench: Callable[[str], Any], corpus: Manifest, tmp_path: Path
) -> None:
    damage = bench("pose_damage")
    file = damage.write_damaged_poses(
        corpus, tmp_path / "noise", damage=damage.with_noise(0.05), size=(16, 16), seed=1
    )
    assert read_manifest(file).corpus == "demo-noise"
    for before, after in pairs(corpus, file):
        assert (before.scores == after.scores).all()
        seen = before.scores > 0
        assert not after.points[~seen].any()
        body = before.points[:, list(before.layout.chosen)][:, SLICES["body"]].reshape(-1, 2)
        unit = np.ptp(body, axis=0).max() / 2
        assert np.std((after.points - before.points)[seen]) == pytest.approx(0.05 * unit, rel=0.05)


def test_black_videos_keep_the_frames_of_a_share_of_the_clips(
    bench: Callable[[str], Any], corpus: Manifest, tmp_path: Path
) -> None:
    file = bench("pose_damage").write_black_videos(corpus, tmp_path / "black", share=0.25, size=16, seed=1)
    damaged = read_manifest(file)
    brightest = []
    for sample in damaged.samples:
        clip = damaged.clip(sample)
        assert count_frames(clip) == sample.num_frames
        brightest.append(read_frames(clip, sampling=FrameSampling(stride=4), size=16).max())
    assert brightest.count(0) == 1


def test_three_tasks_have_their_texts_and_all_splits(
    bench: Callable[[str], Any], corpus: Manifest, tmp_path: Path
) -> None:
    plans = plan_clips(SIZES, seed=0)
    clips = corpus.samples[0].to_dict()
    samples = tuple(
        type(corpus.samples[0])(**clips | {"id": plan.id, "split": plan.split, "text": plan.text})
        for plan in plans
    )
    whole = Manifest(corpus="demo", root=corpus.root, samples=samples)
    mixed = read_manifest(bench("pose_damage").write_three_tasks(whole, plans, tmp_path / "tasks.jsonl"))
    counts = Counter((sample.split, sample.task) for sample in mixed.samples)
    assert counts == {
        ("train", "isolated"): 64, ("dev", "isolated"): 64, ("test", "isolated"): 64,
        **{(split, task): n for split, n in (("train", 2), ("dev", 1), ("test", 4))
           for task in ("translate", "recognise")},
    }  # fmt: skip
    signs = {plan.id: " ".join(plan.signs) for plan in plans}
    for sample in mixed.samples:
        if sample.task != "translate":
            assert sample.text == signs[sample.id.removesuffix("-glosses")]


def fake_scores(run: Path, name: str, bleu4: float) -> None:
    file = run / "scores.json"
    known = read_json(file) if file.is_file() else {}
    tasks = {"recognise": {"wer": 100 - bleu4}, "isolated": {"top1": bleu4}}
    run.mkdir(parents=True, exist_ok=True)
    write_json(file, known | {name: {"bleu4": bleu4, "tasks": tasks}})


@pytest.fixture(scope="module")
def ran(
    bench: Callable[[str], Any], run_fla: Fla, parse_fla: Callable[[str], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:  # fmt: skip
    """A measurement whose commands are parsed, with scores that are made up."""
    out, pose_demo = tmp_path_factory.mktemp("bench"), bench("pose_demo")

    def parse(*words: str | Path) -> None:
        parse_fla(" ".join(["fla", *map(str, words)]))
        if words[0] == "prepare":
            run_fla(*words)
        if words[0] == "evaluate":
            score(Path(words[1]), [str(word) for word in words])

    def score(run: Path, words: list[str]) -> None:
        damage = next((key for key in ("noise", "hands", "black") if f"/{key}/" in " ".join(words)), None)
        shuffled = "--shuffle-features" in words
        corpora = "demo+" if run.name.startswith("both") else ""
        name = f"test-corpus={corpora}demo-{damage}" if damage else "test-shuffled" if shuffled else "test"
        fake_scores(run, name, 3.0 if shuffled else 90.0 if damage else 95.0)

    arguments = pose_demo.parse_args([str(out), "--quick"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pose_demo, "make_llm", lambda bench: None)
        patch.setattr(pose_demo, "QUICK", (*pose_demo.QUICK, *TINY))
        pose_demo.run(pose_demo.make_bench(arguments, fla=parse))
    return out


def test_every_goal_is_judged_by_its_figures(ran: Path) -> None:
    goals = {one["goal"]: one for one in read_json(ran / "table.json")["goals"]}
    assert goals["stage two: BLEU-4 on key points, of pictures"]["is_met"]
    assert goals["stage two: BLEU-4 that noise costs"]["found"] == 5
    assert goals["stage two: BLEU-4 that noise costs"]["is_met"]
    # Pictures alone keep 95 where hands are lost, and key points alone where videos are black.
    missed = [title for title, one in goals.items() if title.startswith("both") and not one["is_met"]]
    assert len(missed) == 4
    assert all(goals[title]["bound"] == 95 for title in missed)
    for task in ("translate: bleu4", "recognise: wer", "isolated: top1"):
        assert goals[f"{task}, of the shuffled control"]["is_met"]


def test_the_table_has_every_step(ran: Path) -> None:
    table, text = read_json(ran / "table.json"), (ran / "table.md").read_text()
    assert table["is_trial"]
    assert text.startswith("A trial")
    assert {"prepare", "pretrain_rgb", "tune_poses", "tune_both_gate", "tune_tasks"} <= set(table["steps"])
    assert all(f"| {name} |" in text for name in table["steps"])


def test_a_control_that_scores_as_much_misses_the_goal(bench: Callable[[str], Any]) -> None:
    table = bench("pose_table")
    found = {name: {"bleu4": 0.0, "tasks": {"recognise": {"wer": 100.0}, "isolated": {"top1": 0.0}}}
             for name in ("test", "test-shuffled")}  # fmt: skip
    assert not any(one["is_met"] for one in table.task_goals(table.task_scores(found)))


def test_times_of_a_given_demo_are_compared_by_the_clock(bench: Callable[[str], Any]) -> None:
    steps = ("pretrain_poses", "extract_poses", "tune_poses")
    records = {step: {"seconds": 10.0, "cpu_seconds": 30.0} for step in steps}
    summary = {"seconds": {"pretrain": 40.0, "extract": 10.0, "tune": 15.0}}
    shares = [own["share"] for own in bench("pose_table").time_shares(records, summary).values()]
    assert shares == [0.25, 0.8]
    records |= {step.replace("poses", "rgb"): {"seconds": 1.0, "cpu_seconds": 60.0} for step in steps}
    shares = [own["share"] for own in bench("pose_table").time_shares(records, None).values()]
    assert shares == [0.5, 0.5]
