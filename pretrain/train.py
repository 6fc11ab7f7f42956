"""Stage one from beginning to end: a manifest in, a run directory out."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from ..core.device import resolve_device, resolve_dtype
from ..core.errors import DataError
from ..core.progress import say
from ..core.sample import Sample, Unreadable
from ..core.seeds import derive_seed
from ..corpora.manifest import Manifest
from ..encoder.model import VisualEncoder
from ..training.evaluation import EvaluationSet, Translations, mean_scores, predict, write_predictions
from ..training.interruption import report_interruption
from ..training.processes import gather_all, is_main_process, join_processes, wait_for_all
from ..training.tracking import check_tracker
from ..training.train_loop import TrainingResult, fit
from .config import PretrainConfig
from .data import TrainingClips, evaluation_set, training_batches
from .frames import FrameStore
from .model import StageOneModel
from .run import PretrainResult, begin_run, begun_without, check_run, finish_run
from .store import save_stage_one
from .tokenizer import make_tokenizer


@dataclass(frozen=True, kw_only=True)
class PretrainPlan:
    """What a run would be, as ``--dry-run`` shows it."""

    train_clips: int
    dev_clips: int
    tokens: int
    """Size of the vocabulary."""
    batches: int
    """Batches of an epoch."""
    encoder_parameters: int
    translator_parameters: int
    """Adapter and light translation model."""


@dataclass(frozen=True, kw_only=True)
class _Clips:
    store: FrameStore
    train: list[Sample]
    dev: list[Sample]
    unreadable: list[Unreadable]
    """Clips that could not be opened when the run was begun."""


def pretrain(
    manifest: Manifest,
    *,
    config: PretrainConfig,
    out: Path,
    resume: bool = False,
    allow_config_change: bool = False,
    device: str = "auto",
) -> PretrainResult:
    """Train the visual encoder, with a light translation model, on a manifest's train split.

    Args:
        manifest: the clips; its dev split chooses the best checkpoint.
        config: every setting.
        out: the run directory; it must be empty, or with ``resume`` hold a run.
        resume: go on from the last checkpoint.
        allow_config_change: resume also where settings differ from those the run was begun with.
        device: as :func:`resolve_device` takes it; under ``torchrun`` each process takes its own.

    Raises:
        RunError: ``out`` is in the way, or was begun with other settings or sentences.
        DataError: no training clip can be read, or no dev clip to choose the best checkpoint by.
        Interrupted: SIGTERM or SIGINT came; the last checkpoint is kept.
    """
    with report_interruption(out):
        check_tracker(config.training.report_to)
        _check_dev(manifest, config)
        torch_device = resolve_device(device)
        join_processes(torch_device)
        changed: dict[str, Any] = {}
        if is_main_process():
            changed = check_run(manifest, config, out, resume=resume, allow_config_change=allow_config_change)
        wait_for_all()
        clips = _open_clips(manifest, config, left_out=begun_without(out) if resume else None)
        model = build_model(clips.train, config)
        train = TrainingClips(clips.train, store=clips.store, tokenizer=model.tokenizer, config=config)
        batches = training_batches(train)
        dev = evaluation_set(clips.dev, store=clips.store, config=config) if clips.dev else None
        if is_main_process():
            begin_run(manifest, config, out, batches=batches, unreadable=clips.unreadable, changed=changed)
        fitted = fit(
            model, train=batches, dev=dev, config=config.training, decoding=config.decoding, run=out,
            resume=resume, seed=config.seed, device=torch_device,
        )  # fmt: skip  # leaves the selected weights in the model
        return _finish(model, manifest, dev, fitted, out=out, begun_without=clips.unreadable)


def _finish(
    model: StageOneModel,
    manifest: Manifest,
    dev: EvaluationSet | None,
    fitted: TrainingResult,
    *,
    out: Path,
    begun_without: list[Unreadable],
) -> PretrainResult:
    """Translate dev with the selected weights, all processes together; the first of them writes the run."""
    translations = _translate_dev(model, dev) if dev else None
    unreadable = _distinct(begun_without, fitted.unreadable, translations.unreadable if translations else ())
    lost = [clip.split for clip in unreadable]
    result = PretrainResult(
        run=out,
        epoch=fitted.epoch,
        dev=mean_scores(translations) if translations else None,
        train_clips=len(manifest.split("train")) - lost.count("train"),
        dev_clips=len(manifest.split("dev")) - lost.count("dev"),
        unreadable=unreadable,
        seconds=round(fitted.seconds, 1),
    )
    if is_main_process():
        if translations is not None:
            write_predictions(out / "predictions-dev.jsonl", translations)
        save_stage_one(model, out)
        finish_run(result)
    wait_for_all()
    return result


def plan(manifest: Manifest, *, config: PretrainConfig) -> PretrainPlan:
    """Build everything :func:`pretrain` would train, and read the first clip; nothing is written."""
    _check_dev(manifest, config)
    samples = _train_samples(manifest)
    model = build_model(samples, config)
    store = FrameStore(manifest, config.encoder)
    train = TrainingClips(samples, store=store, tokenizer=model.tokenizer, config=config)
    store.read(samples[0], phase=0)
    encoder = sum(parameter.numel() for parameter in model.encoder.parameters())
    return PretrainPlan(
        train_clips=len(samples),
        dev_clips=len(manifest.split("dev")),
        tokens=len(model.tokenizer),
        batches=len(training_batches(train)),
        encoder_parameters=encoder,
        translator_parameters=sum(parameter.numel() for parameter in model.parameters()) - encoder,
    )


def build_model(train: list[Sample], config: PretrainConfig) -> StageOneModel:
    """Return an untrained model for these sentences; its random weights are drawn from the config's seed."""
    tokenizer = make_tokenizer([sample.text for sample in train], config.tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(config.seed, "weights"))
        model = StageOneModel(VisualEncoder(config.encoder), tokenizer, config)
    model.encoder.backbone.to(memory_format=torch.channels_last)
    return model


def _check_dev(manifest: Manifest, config: PretrainConfig) -> None:
    if config.training.select == "best" and not manifest.split("dev"):
        raise DataError(
            f"The manifest of {manifest.corpus} has no dev split to choose the best checkpoint by.\n"
            "Add --set training.select=last"
        )


def _train_samples(manifest: Manifest) -> list[Sample]:
    samples = manifest.split("train")
    if not samples:
        raise DataError(f"The manifest of {manifest.corpus} has no clips in split train.\nRun: fla prepare")
    return samples


def _open_clips(manifest: Manifest, config: PretrainConfig, *, left_out: list[Unreadable] | None) -> _Clips:
    """Open all clips; ``left_out`` are those that an interrupted run was begun without, None before any run.

    A resumed run keeps its batches: a clip that cannot be opened any more is left out when its batch comes.
    """
    store, gib = FrameStore(manifest, config.encoder, workers=config.training.workers), config.keep_frames_gib
    unreadable = left_out or []
    dev, train = _without(manifest.split("dev"), unreadable), _without(_train_samples(manifest), unreadable)
    found = store.keep(dev, phases=(0,), gib=gib)
    found += store.keep(train, phases=config.encoder.sampling.phases, gib=gib)
    if left_out is None:
        unreadable = list(_distinct(gather_all(found)))  # all processes form the same batches
        dev, train = _without(dev, unreadable), _without(train, unreadable)
    if not train:
        raise DataError(f"No training clip can be read; {unreadable[-1]}")
    if not dev and config.training.select == "best":
        raise DataError(f"No dev clip can be read; {unreadable[0]}\nAdd --set training.select=last")
    say(f"{len(train)} train and {len(dev)} dev clips, {store.filled_gib:.2f} GiB of frames kept in memory")
    return _Clips(store=store, train=train, dev=dev, unreadable=unreadable)


def _without(samples: list[Sample], clips: Iterable[Unreadable]) -> list[Sample]:
    gone = {(clip.split, clip.id) for clip in clips}
    return [sample for sample in samples if (sample.split, sample.id) not in gone]


def _distinct(*parts: Iterable[Unreadable]) -> tuple[Unreadable, ...]:
    """Return each clip once, with the first reason that was found."""
    found: dict[tuple[str, str], Unreadable] = {}
    for clip in chain(*parts):
        found.setdefault((clip.split, clip.id), clip)
    return tuple(found.values())


def _translate_dev(model: StageOneModel, dev: EvaluationSet) -> Translations[str]:
    """Translate dev with the kept weights."""
    config, device = model.config, next(model.parameters()).device
    return predict(
        model,
        dev,
        decoding=config.decoding,
        device=device,
        dtype=resolve_dtype(config.training.precision, device),
        desc="dev, kept weights",
        workers=config.training.workers,
    )
