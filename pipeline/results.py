"""Results of a run: an entry of ``scores.json`` and a predictions file for each evaluation, by name.

The name states every difference from a full evaluation with the settings of the run. A trial has a separate
name, and only an evaluation with equal settings and at least as many clips replaces a result.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.files import read_json, write_json
from ..training.config import DecodingConfig
from .evaluation import Coverage, Evaluation, Request

SCORES_FILE = "scores.json"
"""File in a run: name of an evaluation -> scores."""


def trial_settings(request: Request, decoding: DecodingConfig, *, own: DecodingConfig) -> list[str]:
    """Return every setting that differs from a full evaluation with the settings of the run.

    Args:
        request: request of the evaluation.
        decoding: search of the evaluation.
        own: search of the run.
    """
    # Device and protocol do not count: neither changes the task of the model.
    limit = [] if request.limit is None else [f"limit={request.limit}"]
    changed = {key: value for key, value in vars(decoding).items() if value != getattr(own, key)}
    search = [f"{key}={value if isinstance(value, str) else f'{value:g}'}" for key, value in changed.items()]
    n_best = [] if request.n_best is None else [f"n_best={request.n_best}"]
    choice = [] if request.choose == "best" else [f"choose={request.choose}"]
    # Draws of two seeds are two results.
    seed = [f"draw={request.seed}"] if decoding.temperature and request.seed else []
    return [*limit, *search, *n_best, *choice, *seed]


def evaluation_name(
    request: Request, coverage: Coverage, *, trial: Sequence[str], scored: int, run: Path
) -> str:
    """Return the name of an evaluation, such as ``test``, ``test-shuffled`` or ``test-limit=2-missing=1``.

    Args:
        request: request of the evaluation.
        coverage: the clips. The name states corpora other than the training corpora.
        trial: result of :func:`trial_settings`.
        scored: number of scored clips.
        run: run directory. An earlier result with more clips keeps the name.
    """
    # Scores on another corpus must not replace the scores on the corpus of the run.
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
    # The name becomes part of a file name.
    name = re.sub(r"[^\w.=+-]", "_", "-".join(filter(None, parts)))
    # A cache or manifest made with --limit holds fewer clips than the split, without a record of the limit.
    return f"{name}-clips={scored}" if _clips_before(run, name) > scored else name


def predictions_path(run: Path, name: str) -> Path:
    """Return the path of the predictions of an evaluation."""
    return run / f"predictions-{name}.jsonl"


def read_scores(run: Path) -> dict[str, Any]:
    """Return the results of a run: name -> entry."""
    return read_json(run / SCORES_FILE) if (run / SCORES_FILE).is_file() else {}


def earlier_protocols(run: Path, name: str, *, asked: Sequence[str]) -> list[str]:
    """Return the protocols in the rows of an earlier result, without the requested protocols."""
    rows = read_scores(run).get(name, {}).get("protocols", {})
    return [protocol for protocol in rows if protocol not in asked]


def keep_scores(run: Path, result: Evaluation) -> None:
    """Write a result into ``scores.json``, in place of an earlier result with the same name."""
    # Results of other evaluations stay.
    write_json(run / SCORES_FILE, read_scores(run) | {result.name: result.to_record()})


def _clips_before(run: Path, name: str) -> int:
    """Return the number of clips of an earlier result with this name."""
    # The predictions count too: an evaluation that stopped before the scores must not lose sentences.
    path = predictions_path(run, name)
    rows = path.read_bytes().count(b"\n") if path.is_file() else 0
    return max(rows, read_scores(run).get(name, {}).get("count", 0))
