"""The run directory of stage one: how it is begun, resumed and finished."""

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
from ..encoder.store import fingerprint
from ..training.batches import BatchDataset
from ..training.resuming import changed_settings, describe_batches, log_changes, refuse_other_batches
from .config import PretrainConfig

FORMAT = "fla-stage-one-run-1"
CONFIG, RUN = "config.yaml", "run.json"
WITHOUT = "begun_without"
"""In ``run.json``: the clips that could not be opened when the run was begun."""


@dataclass(frozen=True, kw_only=True)
class PretrainResult:
    """What a run of stage one gave."""

    run: Path
    epoch: int
    """The epoch whose weights were kept."""
    dev: dict[str, float] | None
    """Scores of those weights on dev (0-100); None without dev clips."""
    train_clips: int
    """Clips that could be read in every epoch."""
    dev_clips: int
    """Clips that could be read at every evaluation."""
    unreadable: tuple[Unreadable, ...]
    """Clips that were left out, of the whole run or of some epochs."""
    seconds: float
    """Wall time of training, evaluations included."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return asdict(self) | {"run": str(self.run)}


def check_run(
    manifest: Manifest,
    config: PretrainConfig,
    out: Path,
    *,
    resume: bool,
    allow_config_change: bool = False,
) -> dict[str, Any]:
    """Refuse what cannot be begun in ``out``, or resumed, before anything is read or written.

    Returns:
        The settings that differ from those the run was begun with, for :func:`begin_run`.

    Raises:
        RunError: ``out`` is in the way, or was begun with other settings or sentences.
    """
    check_run_folder(out, resume=resume)
    if not resume or not (out / RUN).is_file():
        return {}
    _refuse_other_clips(out, _trained_on(manifest))
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
) -> None:
    """Write down what is trained on and how.

    Args:
        manifest: the clips.
        config: every setting.
        out: the run directory, as :func:`check_run` found it.
        batches: of the training split.
        unreadable: the clips that stand in no batch, because they could not be opened.
        changed: what :func:`check_run` returned.

    Raises:
        RunError: the run was begun with other batches.
    """
    now = describe_batches(batches, config.training)
    begun = read_json(out / RUN) if (out / RUN).is_file() else {}
    refuse_other_batches(out, begun.get("batches", now), now)  # a run of an earlier version noted none
    out.mkdir(parents=True, exist_ok=True)
    log_changes(out, changed)
    write_config(config, out / CONFIG)
    without = {WITHOUT: [asdict(clip) for clip in unreadable]}
    begun |= {"format": FORMAT, "manifest": _trained_on(manifest), "batches": now}
    write_json(out / RUN, begun | without)


def begun_without(out: Path) -> list[Unreadable] | None:
    """Return the clips that a run was begun without; None where no run was begun."""
    begun = read_json(out / RUN) if (out / RUN).is_file() else {}
    return [Unreadable(**clip) for clip in begun[WITHOUT]] if WITHOUT in begun else None


def _trained_on(manifest: Manifest) -> dict[str, Any]:
    return {"corpus": manifest.corpus, "counts": manifest.counts, "sentences": _digest(manifest)}


def finish_run(result: PretrainResult) -> None:
    """Add to ``run.json`` what the run gave."""
    content = read_json(result.run / RUN)
    report = {name: value for name, value in result.to_dict().items() if name != "run"}
    write_json(
        result.run / RUN, content | report | {"encoder_fingerprint": fingerprint(result.run / "encoder")}
    )


def _refuse_other_clips(out: Path, trained_on: dict[str, Any]) -> None:
    if difference := first_difference(read_json(out / RUN).get("manifest", {}), trained_on):
        key, was, is_now = difference
        raise RunError(
            f"{out} must be resumed with the clips it was begun with, but run.json differs: "
            f"{key}: {was!r}, now {is_now!r}.\n"
            "Give the manifest as it was, or start another run with another --out."
        )


def _digest(manifest: Manifest) -> str:
    """Return a SHA-256 over what is learned: every sample's split, id and text."""
    rows = [[sample.split, sample.id, sample.text] for sample in manifest.samples]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()
