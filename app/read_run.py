"""Files of a run that a report shows, of either stage, finished or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..core.config import read_settings_file
from ..core.errors import DataError, RunError
from ..core.files import read_json
from ..core.sample import Split
from ..scoring.sentences import SentenceFile, read_sentence_file
from ..training.log import TrainingLog

RUN, SETTINGS, LOG, SCORES = "run.json", "config.yaml", "log.jsonl", "scores.json"
BEGUN, CLIPS = "begun.json", "clips.json"
"""Files of stage two alone. ``begun.json`` exists before the end of training, ``run.json`` after the end."""
SCORE_KEYS = ("split", "count", "protocols")
"""Entries of a score that a report cannot do without."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """Content of a run directory."""

    folder: Path
    name: str
    """Name on the page, different for each run."""
    stage: Literal[1, 2]
    is_finished: bool
    described: dict[str, Any]
    """Content of ``run.json``, or of ``begun.json`` for a stage-two run that has not ended."""
    settings: dict[str, Any]
    """Content of ``config.yaml``."""
    read_from: dict[str, Any]
    """Paths of the inputs at training: ``manifest`` and ``root`` of stage one, ``features`` of stage two."""
    clips: dict[str, Any]
    """Content of ``clips.json``. Empty for stage one."""
    log: list[dict[str, Any]]
    """Rows of ``log.jsonl``. Empty if the run has no log, as after ``fla export``."""
    scores: dict[str, dict[str, Any]]
    """Entries of ``scores.json`` by name."""
    predictions: SentenceFile | None
    """Sentences of the split of the report. None: the split has not been translated in full."""

    @property
    def missing(self) -> dict[str, dict[str, str]]:
        """Split -> id -> reason, for the clips that training could not use."""
        if self.stage == 2:
            return self.described.get("missing", {})
        found: dict[str, dict[str, str]] = {}
        for clip in self.described.get("unreadable", self.described.get("begun_without", [])):
            found.setdefault(clip["split"], {})[clip["id"]] = clip["reason"]
        return found


def stage_of(folder: Path) -> Literal[1, 2]:
    """Return the stage of a run.

    Raises:
        RunError: the folder is no run of ``fla pretrain`` or ``fla tune``.
        DataError: ``run.json`` is damaged.
    """
    described = _read_object(folder / RUN)
    if str(described.get("format", "")).startswith("fla-stage-one-run"):
        return 1
    if described.get("stage") == 2 or (not described and (folder / BEGUN).is_file()):
        return 2
    raise RunError(
        f"{folder} must be a run of fla pretrain or fla tune, but has no {RUN} of either.\n"
        "Give the folder that was --out of the training."
    )


def read_run(folder: Path, *, name: str, split: Split) -> RunRecord:
    """Read the files of a run.

    Args:
        folder: the run directory.
        name: name on the page.
        split: split of the sentences.

    Raises:
        RunError: the folder is no run.
        DataError: a file is damaged.
    """
    stage, is_written = stage_of(folder), (folder / RUN).is_file()
    # Stage one has no such file, and gets an empty object.
    begun = _read_object(folder / BEGUN)
    described = _read_object(folder / RUN) if is_written else begun
    sentences = folder / f"predictions-{split}.jsonl"
    return RunRecord(
        folder=folder,
        name=name,
        stage=stage,
        # Stage one writes run.json at the start and adds the result at the end.
        is_finished=is_written and (stage == 2 or "seconds" in described),
        described=described,
        settings=read_settings_file(folder / SETTINGS) if (folder / SETTINGS).is_file() else {},
        read_from=described.get("read_from", {}) if stage == 1 else {"features": begun.get("features", [])},
        clips=_read_object(folder / CLIPS),
        log=_read_log(folder / LOG),
        scores=_read_scores(folder / SCORES),
        predictions=read_sentence_file(sentences) if sentences.is_file() else None,
    )


def run_names(folders: Sequence[Path]) -> list[str]:
    """Return a name for each run: the folder's name, with as many parent folders as make names differ.

    >>> run_names([Path("runs/a/stage1"), Path("runs/b/stage1")])
    ['a/stage1', 'b/stage1']
    """
    paths = [folder.resolve() for folder in folders]
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    # The same folder was given twice.
    return [f"{path.name} ({number})" for number, path in enumerate(paths, 1)]


def _read_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, or an empty one if there is no file."""
    content = read_json(path) if path.is_file() else {}
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold a JSON object, but holds {type(content).__name__}.")
    return content


def _read_scores(path: Path) -> dict[str, dict[str, Any]]:
    scores = _read_object(path)
    for name, entry in scores.items():
        lacking = [key for key in SCORE_KEYS if key not in (entry if isinstance(entry, dict) else {})]
        if lacking:
            raise DataError(
                f"{path}: {name!r} must have {lacking[0]!r}, but has not.\n"
                f"Remove the file, and run: fla evaluate {path.parent}"
            )
    return scores


def _read_log(path: Path) -> list[dict[str, Any]]:
    rows = TrainingLog(path).rows()
    for row in rows:
        if not isinstance(row, dict) or "step" not in row:
            raise DataError(f"{path} must hold objects with 'step' alone, but holds {str(row)[:80]}.")
    return rows
