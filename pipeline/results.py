"""Results of a run: one entry of ``scores.json`` and one predictions file for each evaluation, by name.

The name holds all that differs from a full evaluation with the run's own settings. So a trial has its own
name, and a result is replaced only by an evaluation of the same settings that covers as many clips.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.files import read_json, write_json
from ..training.config import DecodingConfig
from .evaluation import Coverage, Evaluation, Request

SCORES_FILE = "scores.json"
"""In a run: name of an evaluation -> its scores."""


def trial_settings(request: Request, decoding: DecodingConfig, *, own: DecodingConfig) -> list[str]:
    """Return every setting in which an evaluation differs from a full one with the run's own settings.

    The device is none of them, nor is the protocol: both leave what is asked of the model as it is.

    Args:
        request: what is asked.
        decoding: the search.
        own: the run's own search.
    """
    limit = [] if request.limit is None else [f"limit={request.limit}"]
    search = [f"{key}={value:g}" for key, value in vars(decoding).items() if value != getattr(own, key)]
    n_best = [] if request.n_best is None else [f"n_best={request.n_best}"]
    return [*limit, *search, *n_best]


def evaluation_name(
    request: Request, coverage: Coverage, *, trial: Sequence[str], scored: int, run: Path
) -> str:
    """Return the name of an evaluation, such as ``test``, ``test-shuffled`` or ``test-limit=2-missing=1``.

    Args:
        request: what is asked.
        coverage: the clips; those of other corpora than the run was trained on are named by their corpora.
        trial: what :func:`trial_settings` returned.
        scored: how many clips are scored.
        run: where a result of this name may be; with more clips it keeps the name.
    """
    is_elsewhere = coverage.trained_on and list(coverage.corpora) != list(coverage.trained_on)
    shuffled = f"shuffled-seed={request.seed}" if request.seed else "shuffled"
    parts = [
        request.split,
        shuffled if request.shuffle_features else "",
        f"phase{request.phase}" if request.phase else "",
        f"corpus={'+'.join(coverage.corpora)}" if is_elsewhere else "",
        *trial,
        f"missing={len(coverage.missing)}" if coverage.missing else "",
    ]
    name = re.sub(r"[^\w.=+-]", "_", "-".join(filter(None, parts)))
    # A cache or manifest made with --limit holds fewer clips than the split, and does not say so.
    return f"{name}-clips={scored}" if _clips_before(run, name) > scored else name


def predictions_path(run: Path, name: str) -> Path:
    """Return where the sentences of an evaluation are written."""
    return run / f"predictions-{name}.jsonl"


def read_scores(run: Path) -> dict[str, Any]:
    """Return the results of a run: name -> entry."""
    return read_json(run / SCORES_FILE) if (run / SCORES_FILE).is_file() else {}


def earlier_protocols(run: Path, name: str, *, asked: Sequence[str]) -> list[str]:
    """Return the protocols that a result has rows of, without those that are asked for now."""
    rows = read_scores(run).get(name, {}).get("protocols", {})
    return [protocol for protocol in rows if protocol not in asked]


def keep_scores(run: Path, result: Evaluation) -> None:
    """Put a result among those of other names, replacing an earlier one of its name."""
    write_json(run / SCORES_FILE, read_scores(run) | {result.name: result.to_record()})


def _clips_before(run: Path, name: str) -> int:
    """Return the clips that are scored, or translated, under a name already."""
    path = predictions_path(run, name)
    rows = path.read_bytes().count(b"\n") if path.is_file() else 0
    return max(rows, read_scores(run).get(name, {}).get("count", 0))
