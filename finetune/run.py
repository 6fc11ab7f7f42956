"""Run directory of stage two: begin, resume and finish."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core.config import config_to_dict, differences, load_config, write_config
from ..core.device import resolve_dtype
from ..core.errors import RunError
from ..core.files import read_json, write_json
from ..core.run import check_run_folder
from ..llm.load import identify
from ..llm.vocabulary import keep_ids
from ..training.batches import BatchDataset
from ..training.checkpoints import last_checkpoint
from ..training.evaluation import EvaluationSet, predict, write_predictions
from ..training.processes import is_main_process, wait_for_all
from ..training.resuming import changed_settings, describe_batches, log_changes, refuse_other_batches
from .config import TuneConfig
from .data import FeatureItems
from .model import StageTwoModel
from .run_files import CONFIG
from .store import describe_run, save_stage_two

CLIPS = "clips.json"
"""File of a run with the training clips, compared on a resume."""
BEGUN_WITH = "begun.json"
"""File of a run with the language model and the batches, compared on a resume."""
DIGEST_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class TuneResult:
    """Result of ``fla tune``."""

    run: Path
    epoch: int
    """Epoch of the selected weights."""
    best_bleu4: float | None
    """On dev, 0-100; None without a dev split."""
    seconds: float
    train_clips: int
    dev_clips: int
    trained_parameters: int
    missing: dict[str, dict[str, str]]
    """Split -> id -> why the clip could not be used; a split that lacks none is not in it."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return asdict(self) | {"run": str(self.run)}


def check_run(
    out: Path,
    config: TuneConfig,
    *,
    llm: str,
    train: FeatureItems,
    dev: FeatureItems | None,
    resume: bool,
    allow_config_change: bool = False,
) -> dict[str, Any]:
    """Refuse what cannot be begun in ``out``, or resumed, before anything is loaded or written.

    Args:
        out: the run directory.
        config: the settings.
        llm: the language model, an id or a directory.
        train: what is trained on.
        dev: what chooses the checkpoint.
        resume: ``out`` holds a run that is to go on.
        allow_config_change: go on also where settings differ.

    Returns:
        The settings that differ, for :func:`begin_run`.

    Raises:
        RunError: ``out`` is in the way, or was begun with other settings, other clips or another model.
        ModelError: a run is to go on, and there is no such model.
    """
    check_run_folder(out, resume=resume)
    if not resume:
        return {}
    if not (out / BEGUN_WITH).is_file():
        _refuse_checkpoints(out)
        return {}
    _refuse_other_llm(out, llm)
    _refuse_other_clips(out, _clips(train, dev))
    begun = config_to_dict(load_config(TuneConfig, source=str(out / CONFIG)))
    return changed_settings(out, begun, config_to_dict(config), allow=allow_config_change)


def begin_run(
    out: Path,
    model: StageTwoModel,
    *,
    batches: BatchDataset,
    train: FeatureItems,
    dev: FeatureItems | None,
    changed: Mapping[str, Any],
) -> None:
    """Write down what a run is trained on, and with which settings.

    Args:
        out: the run directory, as :func:`check_run` found it.
        model: untrained.
        batches: of the training split.
        train: what is trained on.
        dev: what chooses the checkpoint.
        changed: what :func:`check_run` returned.

    Raises:
        RunError: the run was begun with other batches.
    """
    now = describe_batches(batches, model.config.training)
    if (out / BEGUN_WITH).is_file():
        refuse_other_batches(out, read_json(out / BEGUN_WITH)["batches"], now)
    out.mkdir(parents=True, exist_ok=True)
    base = model.language_model
    if base.kept_ids is not None:
        keep_ids(out, base.kept_ids)
    log_changes(out, changed)
    write_config(model.config, out / CONFIG)
    write_json(out / CLIPS, _clips(train, dev))
    write_json(out / BEGUN_WITH, {"llm": base.source, "llm_revision": base.revision, "batches": now})


def _clips(train: FeatureItems, dev: FeatureItems | None) -> dict[str, Any]:
    return {"train": describe_clips(train), "dev": None if dev is None else describe_clips(dev)}


def _refuse_checkpoints(out: Path) -> None:
    """Refuse to go on where it cannot be told with what; a run killed before its first step just begins."""
    if last_checkpoint(out / "checkpoints") is not None:
        raise RunError(
            f"{out} must hold {BEGUN_WITH} to be resumed, but has checkpoints without it: an earlier version "
            "began it.\nStart another run with another --out."
        )


def _refuse_other_llm(out: Path, llm: str) -> None:
    """Refuse a model of other content; the same one may lie in another folder by now."""
    begun, (source, revision) = read_json(out / BEGUN_WITH), identify(llm)
    if revision != begun["llm_revision"]:
        raise RunError(
            f"{out} must be resumed with the language model it was begun with, {begun['llm']} "
            f"({begun['llm_revision']}), but --llm is {source} ({revision}).\n"
            "Give the same --llm, or start another run with another --out."
        )


def describe_clips(items: FeatureItems) -> dict[str, Any]:
    """Return what must stay as it is while a run is interrupted: the encoders, and every clip.

    ``digest`` begins SHA-256 over each clip's id, feature steps, sentence and language, in order;
    ``features`` that over the checksums of its features, of every view and stream, as the caches keep them.
    """
    rows = list(zip(items.ids, items.lengths, items.texts, items.languages, strict=True))
    checksums = [stream.checksums(id) for stream in items.streams for id in items.ids]
    return {
        "encoders": [record.fingerprint for record in items.records],
        "corpora": list(items.corpora),
        "clips": len(items),
        "steps": sum(items.lengths),
        "digest": _digest(rows),
        "features": _digest(checksums),
    }


def _digest(rows: Sequence[Any]) -> str:
    text = json.dumps(rows, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_DIGITS]


def _refuse_other_clips(out: Path, clips: dict[str, Any]) -> None:
    if changed := differences(read_json(out / CLIPS), clips):
        lines = [f"  {key}: was {was!r}, is now {is_now!r}" for key, was, is_now in changed]
        raise RunError(
            f"{out} must be resumed with the clips it was begun with, but the cache has changed under it:\n"
            + "\n".join(lines)
            + "\nGive the same --features and --limit, or start another run with another --out."
        )


def finish_run(
    model: StageTwoModel,
    run: Path,
    *,
    languages: list[str],
    dev: EvaluationSet | None,
    missing: Mapping[str, Mapping[str, str]],
) -> None:
    """Translate dev with the kept weights, all processes together; the first of them writes the run.

    Args:
        model: trained.
        run: the run directory.
        languages: of the training clips.
        dev: what is translated.
        missing: split -> id -> why the clip is missing, for ``run.json``.
    """
    device, config = model.llm.device, model.config
    translations = None
    if dev is not None:
        dtype = resolve_dtype(config.training.precision, device)
        translations = predict(
            model, dev, decoding=config.decoding, device=device, dtype=dtype, desc="dev, kept weights"
        )
    if is_main_process():
        if translations is not None:
            write_predictions(run / "predictions-dev.jsonl", translations)
        description = describe_run(model, languages=languages) | {"missing": missing}
        save_stage_two(model, run, description=description)
    wait_for_all()
