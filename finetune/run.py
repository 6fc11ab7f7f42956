"""Run directory of stage two: begin, resume and finish."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ..core.config import config_to_dict, differences, load_config, write_config
from ..core.errors import RunError
from ..core.files import read_json, write_json
from ..core.run import check_run_folder
from ..core.sample import DEFAULT_TASK
from ..llm.load import identify
from ..llm.vocabulary import keep_ids
from ..training.batches import BatchDataset
from ..training.checkpoints import last_checkpoint
from ..training.config import DecodingConfig
from ..training.evaluation import EvaluationSet, predict, write_predictions
from ..training.model import TranslationModel
from ..training.processes import is_main_process, wait_for_all
from ..training.resuming import changed_settings, describe_batches, log_changes, refuse_other_batches
from .config import FeatureRunConfig
from .data import FeatureItems
from .initial_weights import describe_init
from .mapped_streams import copy_mappers
from .run_files import CONFIG
from .store import RunModel

CLIPS = "clips.json"
"""File of a run with the training clips, compared on a resume."""
BEGUN_WITH = "begun.json"
"""File of a run with the language model and the batches, compared on a resume."""
DIGEST_DIGITS = 16  # 64 bits tell changed data, and stay readable in an error


@dataclass(frozen=True, kw_only=True)
class TuneResult:
    """Result of ``fla tune``."""

    run: Path
    epoch: int
    """Epoch of the selected weights."""
    best_bleu4: float | None
    """BLEU-4 on dev, 0-100. None without translations on dev."""
    best_scores: dict[str, float]
    """Dev scores that selected the weights, by name. Empty without a dev split."""
    seconds: float
    train_clips: int
    dev_clips: int
    trained_parameters: int
    missing: dict[str, dict[str, str]]
    """Split -> id -> reason for a missing clip. A split without missing clips has no entry."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {"run": str(self.run)}


def check_run(
    out: Path,
    config: FeatureRunConfig,
    *,
    llm: str,
    init: Path | None = None,
    train: FeatureItems,
    dev: FeatureItems | None,
    resume: bool,
    allow_config_change: bool = False,
) -> dict[str, Any]:
    """Check before loading and writing whether a run can begin or resume in ``out``.

    Args:
        out: the run directory.
        config: settings of the run.
        llm: the language model, an id or a directory.
        init: earlier run of the initial weights.
        train: clips of the training.
        dev: clips for the choice of the checkpoint.
        resume: whether to resume the run in ``out``.
        allow_config_change: resume even if settings differ.

    Returns:
        Changed settings, for :func:`begin_run`.

    Raises:
        RunError: ``out`` is not empty, or the run began with other settings, other clips or another model.
        ModelError: the run is resumed, and the model does not exist.
    """
    check_run_folder(out, resume=resume)
    if not resume:
        return {}
    if not (out / BEGUN_WITH).is_file():
        _refuse_checkpoints(out)
        return {}
    # The settings come last: --allow-config-change does not excuse another model or other clips.
    _refuse_other_llm(out, llm)
    _refuse_other_init(out, init)
    _refuse_other_clips(out, _clips(train, dev))
    begun = config_to_dict(load_config(type(config), source=str(out / CONFIG)))
    return changed_settings(out, begun, config_to_dict(config), allow=allow_config_change)


def begin_run(
    out: Path,
    model: RunModel,
    *,
    batches: BatchDataset,
    train: FeatureItems,
    dev: FeatureItems | None,
    changed: Mapping[str, Any],
    init: Path | None = None,
) -> None:
    """Record settings, clips, language model and batches of a run.

    Args:
        out: the run directory, after :func:`check_run`.
        model: model before training.
        batches: batches of the training split.
        train: clips of the training.
        dev: clips for the choice of the checkpoint.
        changed: result of :func:`check_run`.
        init: earlier run of the initial weights.

    Raises:
        RunError: the run was begun with other batches.
    """
    now = describe_batches(batches, model.config.training)
    if (out / BEGUN_WITH).is_file():
        # A resumed epoch skips batches by number, so the batches must be the same.
        refuse_other_batches(out, read_json(out / BEGUN_WITH)["batches"], now)
    # The directory appears only now, so a refused run leaves nothing behind.
    out.mkdir(parents=True, exist_ok=True)
    base = model.language_model
    if base.kept_ids is not None:
        keep_ids(out, base.kept_ids)
    log_changes(out, changed)
    write_config(model.config, out / CONFIG)
    copy_mappers(out, train.streams)
    write_json(out / CLIPS, _clips(train, dev))
    # The folders are for fla report, and not compared on a resume: a cache may move.
    folders = dict.fromkeys(str(cache.folder.absolute()) for own in train.streams for cache in own.caches)
    begun = {"llm": base.source, "llm_revision": base.revision, "batches": now, "features": list(folders)}
    begun |= {"init": describe_init(init)}
    write_json(out / BEGUN_WITH, begun)


def _clips(train: FeatureItems, dev: FeatureItems | None) -> dict[str, Any]:
    return {"train": describe_clips(train), "dev": None if dev is None else describe_clips(dev)}


def _refuse_checkpoints(out: Path) -> None:
    """Refuse a resume from checkpoints without a record. Without checkpoints the run simply begins."""
    if last_checkpoint(out / "checkpoints") is not None:
        raise RunError(
            f"{out} must hold {BEGUN_WITH} to be resumed, but has checkpoints without it: an earlier version "
            "began it.\nStart another run with another --out."
        )


def _refuse_other_llm(out: Path, llm: str) -> None:
    """Refuse a language model with other content. The same content may lie in another folder."""
    begun, (source, revision) = read_json(out / BEGUN_WITH), identify(llm)
    if revision != begun["llm_revision"]:
        raise RunError(
            f"{out} must be resumed with the language model it was begun with, {begun['llm']} "
            f"({begun['llm_revision']}), but --llm is {source} ({revision}).\n"
            "Give the same --llm, or start another run with another --out."
        )


def _refuse_other_init(out: Path, init: Path | None) -> None:
    """Refuse other initial weights: a run without a checkpoint would begin from them."""
    begun, found = read_json(out / BEGUN_WITH).get("init"), describe_init(init)
    if begun != found:
        raise RunError(
            f"{out} must be resumed with the --init it was begun with ({begun or 'none'}), but is given "
            f"{found or 'none'}.\nGive the same --init, or start another run with another --out."
        )


def describe_clips(items: FeatureItems) -> dict[str, Any]:
    """Return a description of encoders and clips, which must not change between start and resume.

    ``digest`` is the start of SHA-256 over id, feature steps, sentence and language of each clip, in order.
    If a clip has another task than ``translate``, the tasks belong to the digest.
    ``features`` is the start of SHA-256 over the checksums of every view and stream of each clip.
    """
    rows = list(zip(items.ids, items.lengths, items.texts, items.languages, strict=True))
    # Runs from before there were tasks can be resumed.
    tasks = [] if set(items.tasks) == {DEFAULT_TASK} else [items.tasks]
    checksums = [stream.checksums(id) for stream in items.streams for id in items.ids]
    return {
        "encoders": [record.fingerprint for record in items.records],
        "corpora": list(items.corpora),
        "clips": len(items),
        "steps": sum(items.lengths),
        "digest": _digest([*rows, *tasks]),
        "features": _digest(checksums),
    }


def _digest(rows: Sequence[Any]) -> str:
    # JSON text is the same on every machine, unlike the hash of Python objects.
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
    model: TranslationModel,
    run: Path,
    *,
    dev: EvaluationSet | None,
    decoding: DecodingConfig,
    device: torch.device,
    save: Callable[[], None],
) -> None:
    """Translate dev with the kept weights in all processes, and write the run in the main process.

    Args:
        model: the trained model.
        run: the run directory.
        dev: clips to translate.
        decoding: settings of the search.
        device: device of the model.
        save: function that writes the weights and ``run.json``.
    """
    translations = None
    if dev is not None:
        # The model opens its own autocast.
        translations = predict(model, dev, decoding=decoding, device=device, desc="dev, kept weights")
    if is_main_process():
        if translations is not None:
            write_predictions(run / "predictions-dev.jsonl", translations)
        save()
    # Other processes must not exit while the main process still writes the run.
    wait_for_all()
