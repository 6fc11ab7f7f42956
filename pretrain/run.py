"""Run directory of stage one: start, resume and end of a run."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from ..core.config import config_to_dict, first_difference, write_config
from ..core.errors import RunError
from ..core.files import read_json, read_text, write_json
from ..core.run import check_run_folder
from ..core.sample import Unreadable
from ..corpora.manifest import Manifest
from ..corpora.trained_on import RUN, TRAINED_ON
from ..encoder.store import fingerprint
from ..training.batches import BatchDataset
from ..training.resuming import changed_settings, describe_batches, log_changes, refuse_other_batches
from .config import PretrainConfig

FORMAT = "fla-stage-one-run-1"
CONFIG = "config.yaml"
WITHOUT = "begun_without"
"""Key in ``run.json`` of the unreadable clips at the start of the run."""


@dataclass(frozen=True, kw_only=True)
class PretrainResult:
    """Result of a run of stage one."""

    run: Path
    epoch: int
    """Epoch of the selected weights."""
    dev: dict[str, float] | None
    """Dev scores of the selected weights (0-100). None: no dev clips."""
    train_clips: int
    """Number of training clips without those in ``unreadable``."""
    dev_clips: int
    """Number of dev clips without those in ``unreadable``."""
    unreadable: tuple[Unreadable, ...]
    """Unreadable clips, in the whole run or in some epochs."""
    seconds: float
    """Wall time of training, evaluations included."""

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        return asdict(self) | {"run": str(self.run)}


def check_run(
    manifest: Manifest,
    config: PretrainConfig,
    out: Path,
    *,
    resume: bool,
    allow_config_change: bool = False,
) -> dict[str, Any]:
    """Check the run directory before anything is read or written.

    Returns:
        The settings that changed since the start of the run, for :func:`begin_run`.

    Raises:
        RunError: ``out`` is not empty, or holds a run with other settings or sentences.
    """
    check_run_folder(out, resume=resume)
    if not resume or not (out / RUN).is_file():
        return {}
    _refuse_other_clips(out, _trained_on(manifest, config))
    begun = yaml.safe_load(read_text(out / CONFIG))
    return changed_settings(out, begun, config_to_dict(config), allow=allow_config_change)


def begin_run(
    manifest: Manifest,
    config: PretrainConfig,
    out: Path,
    *,
    batches: BatchDataset,
    unreadable: Sequence[Unreadable],
    changed: Mapping[str, Any],
    initial_weights: Mapping[str, Any] | None = None,
) -> None:
    """Write settings, corpus and batches into the run directory.

    Args:
        manifest: the clips.
        config: every setting.
        out: run directory, after :func:`check_run`.
        batches: batches of the training split.
        unreadable: clips that could not be opened, which are in no batch.
        changed: result of :func:`check_run`.
        initial_weights: record of the initial weights of the backbone. None: the run continues from a
            checkpoint, and the record stays.

    Raises:
        RunError: the run started with other batches.
    """
    now = describe_batches(batches, config.training)
    begun = read_json(out / RUN) if (out / RUN).is_file() else {}
    refuse_other_batches(out, begun.get("batches", now), now)  # a run of an earlier version has none
    # All checks are over: only from here on is the run directory changed.
    out.mkdir(parents=True, exist_ok=True)
    log_changes(out, changed)
    write_config(config, out / CONFIG)
    without = {WITHOUT: [asdict(clip) for clip in unreadable]}
    begun |= {"format": FORMAT, TRAINED_ON: _trained_on(manifest, config), "batches": now}
    # For fla report, and not compared on a resume: a corpus may move.
    begun |= {"read_from": {"manifest": _path(manifest.source), "root": _path(manifest.root)}}
    if initial_weights is not None:
        begun |= {"initial_weights": dict(initial_weights)}
    write_json(out / RUN, begun | without)


def begun_without(out: Path) -> list[Unreadable] | None:
    """Return the unreadable clips at the start of a run. None: no run has started."""
    begun = read_json(out / RUN) if (out / RUN).is_file() else {}
    return [Unreadable(**clip) for clip in begun[WITHOUT]] if WITHOUT in begun else None


def _trained_on(manifest: Manifest, config: PretrainConfig) -> dict[str, Any]:
    made_of: dict[str, Any] = {} if manifest.copies is None else {"copies": asdict(manifest.copies)}
    if manifest.detector is not None and config.encoder.medium == "poses":
        made_of["detector"] = asdict(manifest.detector)
    return {
        "corpus": manifest.corpus,
        "counts": manifest.counts,
        "sentences": _digest(manifest),
        **made_of,
    }


def finish_run(result: PretrainResult) -> None:
    """Add the result of a run to ``run.json``."""
    content = read_json(result.run / RUN)
    report = {name: value for name, value in result.to_dict().items() if name != "run"}
    write_json(
        result.run / RUN, content | report | {"encoder_fingerprint": fingerprint(result.run / "encoder")}
    )


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def _refuse_other_clips(out: Path, trained_on: dict[str, Any]) -> None:
    if difference := first_difference(read_json(out / RUN).get(TRAINED_ON, {}), trained_on):
        key, was, is_now = difference
        raise RunError(
            f"{out} must be resumed with the clips it was begun with, but run.json differs: "
            f"{key}: {was!r}, now {is_now!r}.\n"
            "Give the manifest as it was, or start another run with another --out."
        )


def _digest(manifest: Manifest) -> str:
    """Return a SHA-256 over split, id and text of every sample."""
    # Not over paths or the root: a corpus may move while a run is interrupted.
    rows = [[sample.split, sample.id, sample.text] for sample in manifest.samples]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()
