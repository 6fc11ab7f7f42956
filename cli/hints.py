"""The next command after a command, with the paths of the run: one table for all commands."""

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Given = Mapping[str, Any]
"""Parameters of a command by name. ``result`` holds the JSON values that the command would print."""


def next_command(command: str, given: Given) -> str | None:
    """Return the next command of the pipeline, or None at its end or without a result.

    Args:
        command: name of the finished command, such as ``cache info``.
        given: parameters, with the result.
    """
    find = NEXT.get(command)
    words = None if find is None or given.get("dry_run") else find(given)
    # Quoted, so that a path with a space can be pasted too.
    return None if words is None else shlex.join(["fla", *(str(word) for word in words)])


def _prepare(given: Given) -> list[Any] | None:
    manifest = given["result"].get("manifest")
    # Without videos the encoder must read key points.
    kind = ["--set", "encoder.kind=poses"] if given["poses"] is not None else []
    return None if manifest is None else ["pretrain", "--manifest", manifest, *kind, "--out", "runs/stage1"]


def _shrink(given: Given) -> list[Any] | None:
    manifest = given["result"]["manifest"]
    return None if manifest is None else ["pretrain", "--manifest", manifest, "--out", "runs/stage1"]


def _poses(given: Given) -> list[Any]:
    if given["set_up"]:
        place, detector = given["environment"], given["detector"]
        own = [] if detector == "mediapipe" else ["--detector", detector, "--weights", "DIR"]
        where = ["--environment", place] if place else []
        return ["poses", "manifest.jsonl", "--out", "poses", *own, *where]
    return [
        "extract",
        "--encoder",
        "poses",
        "--manifest",
        given["result"]["manifest"],
        "--out",
        "caches/poses",
    ]


def _describe(given: Given) -> list[Any] | None:
    if given["show"] is not None:
        return None
    source = ["--descriptions", given["out"], "--manifest", given["manifest"]]
    return ["extract", "--encoder", "hf-text:MODEL", *source, "--out", "caches/descriptions"]


def _extract(given: Given) -> list[Any]:
    # The key points alone are an input for the graph network of this preset, and for no other projector.
    preset = ["--config", "uni-sign"] if given["encoder"] == "poses" else []
    return ["tune", *preset, "--features", given["out"], "--llm", "LLM", "--out", "runs/stage2"]


def _tune(given: Given) -> list[Any]:
    return ["evaluate", given["out"], *_features(given["features"])]


def _evaluate(given: Given) -> list[Any]:
    run, manifest = given["run"], given["manifest"]
    if manifest is not None:
        return ["extract", "--ckpt", run, "--manifest", manifest, "--out", "cache"]
    return ["report", run, "--out", "report.html"]


def _report(given: Given) -> list[Any] | None:
    from ..app.read_run import stage_of

    runs = [run for run in given["runs"] if stage_of(run) == 2]
    return ["export", runs[0], "--ckpt", "STAGE1", "--out", "model"] if runs else None


def _export(given: Given) -> list[Any] | None:
    # Without an encoder the folder translates features, and no videos.
    return None if not given["result"]["has_encoder"] else ["translate", "VIDEO", "--model", given["out"]]


def _demo(given: Given) -> list[Any]:
    out = Path(given["result"]["out"])
    return ["report", out / "stage1", out / "stage2", "--out", out / "report.html"]


def _features(folders: Any) -> list[Any]:
    return [word for folder in folders for word in ("--features", folder)]


NEXT: dict[str, Callable[[Given], list[Any] | None]] = {
    "prepare": _prepare,
    "shrink": _shrink,
    "poses": _poses,
    "pretrain": lambda given: [
        "extract", "--ckpt", given["out"], "--manifest", given["manifest"], "--out", "cache",
    ],
    "extract": _extract,
    "describe": _describe,
    "map": lambda given: [
        "tune", *_features((given["source"], given["out"])), "--llm", "LLM", "--out", "runs/stage2",
    ],
    "quantise": lambda given: [
        "tune", "--llm", given["out"], "--features", "cache", "--out", "runs/stage2",
    ],
    "tune": _tune,
    "convert": lambda given: ["evaluate", given["out"], "--features", "caches/poses"],
    "evaluate": _evaluate,
    "report": _report,
    "export": _export,
    "push": lambda given: ["translate", "VIDEO", "--model", given["repo"]],
    "cache import": lambda given: ["cache", "info", given["out"]],
    "cache verify": lambda given: None if given["result"]["faults"] else ["cache", "info", given["folder"]],
    "cache info": lambda given: [
        "tune", "--features", given["folder"], "--llm", "LLM", "--out", "runs/stage2",
    ],
    "doctor": lambda given: ["demo", "--tiny"] if given["result"]["ok"] else None,
    "demo": _demo,
}  # fmt: skip
"""Command -> words of the next command. Capitals such as ``LLM`` stand for a choice of the user."""
