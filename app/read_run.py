"""Files of a run that a report shows, of either stage, finished or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from ..core.errors import RunError
from ..core.files import read_json, read_text
from ..core.sample import Split
from ..scoring.sentences import SentenceFile, read_sentence_file
from ..training.log import TrainingLog

RUN, SETTINGS, LOG, SCORES = "run.json", "config.yaml", "log.jsonl", "scores.json"
BEGUN, CLIPS = "begun.json", "clips.json"
"""Files of stage two alone. ``begun.json`` exists before the end of training, ``run.json`` after the end."""


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
    """
    described = read_json(folder / RUN) if (folder / RUN).is_file() else {}
    if isinstance(described, dict):
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
    described = read_json(folder / RUN if is_written else folder / BEGUN)
    sentences = folder / f"predictions-{split}.jsonl"
    return RunRecord(
        folder=folder,
        name=name,
        stage=stage,
        # Stage one writes run.json at the start and adds the result at the end.
        is_finished=is_written and (stage == 2 or "seconds" in described),
        described=described,
        settings=yaml.safe_load(read_text(folder / SETTINGS)) if (folder / SETTINGS).is_file() else {},
        clips=read_json(folder / CLIPS) if (folder / CLIPS).is_file() else {},
        log=TrainingLog(folder / LOG).rows(),
        scores=read_json(folder / SCORES) if (folder / SCORES).is_file() else {},
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
