"""Table of ``pose_demo.py``: scores of each input under each damage, the tasks, the goals, and the steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hands_table import markdown

from fla_llm.core.files import read_json, write_json

CLEAN, SHUFFLED = "test", "test-shuffled"
DAMAGES = {"noise": "noise", "hands": "lost hands", "black": "black videos"}
"""Title of each damage."""
MOST_COST = {"noise": 5.0, "hands": 15.0}
"""BLEU-4 that a damage of the key points may cost."""
MOST_TIME = 0.5
"""Time of a stage on key points, as a share of its time on pictures."""
TASKS = (
    ("translate", "bleu4", True), ("recognise", "wer", False), ("isolated", "top1", True),
)  # fmt: skip
"""Task, figure, and whether more is better."""
Scores = dict[str, dict[str, float]]
Steps = Mapping[str, Mapping[str, Any]]


def write_table(
    out: Path, *, demo: Path, records: Steps, summary: Mapping[str, Any] | None, is_trial: bool
) -> Path:
    """Write table.json and table.md, and return the latter.

    Args:
        out: folder of the measurement.
        demo: folder of the runs on pictures.
        records: records of the steps.
        summary: ``summary.json`` of ``fla demo``. None: the steps on pictures are in the records.
        is_trial: whether the sizes are too small for any score.
    """
    scores = {
        "pictures, stage one": bleu(demo / "stage1"), "pictures, stage two": bleu(demo / "stage2"),
        "key points, stage one": bleu(out / "poses1"), "key points, stage two": bleu(out / "poses2"),
        "both, joined in time": bleu(out / "both-time", beside=True),
        "both, gated": bleu(out / "both-gate", beside=True),
    }  # fmt: skip
    tasks = task_scores(read_json(out / "tasks" / "scores.json"))
    times = time_shares(records, summary)
    content = {
        "is_trial": is_trial,
        "bleu4": scores,
        "tasks": tasks,
        "times": times,
        "goals": [*time_goals(times), *score_goals(scores), *fusion_goals(scores), *task_goals(tasks)],
        "demo": summary and {key: summary[key] for key in ("seconds", "load_average_at_start")},
        "steps": records,
    }
    write_json(out / "table.json", content)
    (out / "table.md").write_text(describe(content))
    return out / "table.md"


def bleu(run: Path, *, beside: bool = False) -> dict[str, float]:
    """Return BLEU-4 of a run by condition.

    Args:
        run: a run of either stage.
        beside: whether one of two streams was damaged. The evaluation then has the names of two corpora.
    """
    found = read_json(run / "scores.json")
    # fla demo names the seed of its control.
    shuffled = next((name for name in found if name.startswith(SHUFFLED)), SHUFFLED)
    names = {"clean": CLEAN, "shuffled": shuffled}
    names |= {key: f"test-corpus={'demo+' if beside else ''}demo-{key}" for key in DAMAGES}
    return {key: found[name]["bleu4"] for key, name in names.items() if name in found}


def task_scores(found: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the figure of each task, and of its shuffled control."""
    scores = {}
    for task, figure, _ in TASKS:
        own, control = (
            (found[name] if task == "translate" else found[name]["tasks"][task])[figure]
            for name in (CLEAN, SHUFFLED)
        )
        scores[task] = {figure: own, f"{figure}, shuffled": control}
    return scores


def time_shares(records: Steps, summary: Mapping[str, Any] | None) -> dict[str, dict[str, float]]:
    """Return the time of both stages on key points as a share of the time on pictures.

    A given demo has seconds of the clock alone, so that shares compare these. Without one, shares compare
    seconds of the processor.
    """
    stages = {"stage one": ("pretrain",), "extraction and stage two": ("extract", "tune")}
    unit = "cpu_seconds" if summary is None else "seconds"
    times = {}
    for stage, steps in stages.items():
        poses = sum(records[f"{step}_poses"][unit] for step in steps)
        rgb = (
            sum(records[f"{step}_rgb"][unit] for step in steps)
            if summary is None
            else sum(summary["seconds"][step] for step in steps)
        )
        times[stage] = {
            f"key points, {unit}": poses,
            f"pictures, {unit}": rgb,
            "share": poses / max(rgb, 1e-9),
        }
    return times


def time_goals(times: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    return [
        goal(f"{stage}: time of the time on pictures", own["share"], most=MOST_TIME)
        for stage, own in times.items()
    ]


def score_goals(scores: Scores) -> list[dict[str, Any]]:
    """Compare key points with pictures, and damaged key points with whole ones."""
    goals = []
    for stage in ("stage one", "stage two"):
        own = scores[f"key points, {stage}"]
        least = scores[f"pictures, {stage}"]["clean"]
        goals.append(goal(f"{stage}: BLEU-4 on key points, of pictures", own["clean"], least=least))
        for damage, most in MOST_COST.items():
            cost = own["clean"] - own[damage]
            goals.append(goal(f"{stage}: BLEU-4 that {DAMAGES[damage]} costs", cost, most=most))
    return goals


def fusion_goals(scores: Scores) -> list[dict[str, Any]]:
    """Compare both inputs with the better one alone, where the same stream is damaged."""
    goals = []
    for name in (name for name in scores if name.startswith("both")):
        for damage in ("hands", "black"):
            # Damage of the other stream leaves a run on one stream as it was.
            alone = [
                scores[f"{one}, stage two"].get(damage, scores[f"{one}, stage two"]["clean"])
                for one in ("pictures", "key points")
            ]
            title = f"{name}, {DAMAGES[damage]}: BLEU-4, of the better one alone"
            goals.append(goal(title, scores[name][damage], least=max(alone)))
    return goals


def task_goals(tasks: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    goals = []
    for task, figure, more_is_better in TASKS:
        own, control = tasks[task].values()
        bound = {"least" if more_is_better else "most": control}
        goals.append(goal(f"{task}: {figure}, of the shuffled control", own, **bound, strict=True))
    return goals


def goal(
    title: str, found: float, *, least: float | None = None, most: float | None = None, strict: bool = False
) -> dict[str, Any]:
    """Return a goal with its bound. ``strict``: a figure equal to the bound misses the goal."""
    bound = least if least is not None else most
    assert bound is not None
    above, below = found >= bound, found <= bound
    is_met = (above if least is not None else below) and not (strict and found == bound)
    return {
        "goal": title, "found": found, "bound": bound, "is_least": least is not None, "is_met": is_met
    }  # fmt: skip


def describe(content: Mapping[str, Any]) -> str:
    """Return the tables in Markdown."""
    columns = {"clean": "BLEU-4", "shuffled": "shuffled", **DAMAGES}
    rows = [
        [name, *(f"{own[key]:.1f}" if key in own else "" for key in columns)]
        for name, own in content["bleu4"].items()
    ]
    tasks = [
        [task, *(f"{name} {value:.1f}" for name, value in own.items())]
        for task, own in content["tasks"].items()
    ]
    goals = [
        [one["goal"], f"{one['found']:.2f}", f"{'at least' if one['is_least'] else 'at most'} "
         f"{one['bound']:.2f}", "met" if one["is_met"] else "missed"]
        for one in content["goals"]
    ]  # fmt: skip
    parts = [
        markdown(["input", *columns.values()], rows),
        markdown(["task", "test", "control"], tasks),
        markdown(["goal", "found", "bound", ""], goals),
        markdown(["step", "seconds", "CPU seconds", "load average", "measured"], step_rows(content)),
    ]
    if content["is_trial"]:
        parts.insert(0, ["A trial of the steps: its scores and goals say nothing."])
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def step_rows(content: Mapping[str, Any]) -> Sequence[Sequence[str]]:
    own = [
        [name, f"{step['seconds']:.0f}", f"{step['cpu_seconds']:.0f}",
         " to ".join(map(str, step["load_average"])), "the last part" if step["resumed"] else "whole"]
        for name, step in content["steps"].items()
    ]  # fmt: skip
    given = content["demo"] or {"seconds": {}}
    # fla demo writes no seconds of the processor.
    return [
        *([f"fla demo: {name}", f"{seconds:.0f}", "", f"{given['load_average_at_start'][0]:.1f} at the start",
           "whole"] for name, seconds in given["seconds"].items()),
        *own,
    ]  # fmt: skip
