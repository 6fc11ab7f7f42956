"""Stage one: training from a manifest to a run directory."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, cast

import torch
from timm.layers.norm_act import convert_sync_batchnorm

from ..core.device import resolve_device, resolve_dtype
from ..core.errors import ConfigError, DataError
from ..core.sample import Sample, Unreadable
from ..core.seeds import derive_seed
from ..corpora.copies import warn_of_enlarging
from ..corpora.manifest import Manifest
from ..encoder.store import TrainableEncoder, make_encoder
from ..training.checkpoints import last_checkpoint
from ..training.evaluation import EvaluationSet, Translations, mean_scores, predict, write_predictions
from ..training.interruption import report_interruption
from ..training.processes import (
    count_processes,
    gather_all,
    is_main_process,
    join_processes,
    wait_for_all,
)
from ..training.tracking import check_tracker
from ..training.train_loop import TrainingResult, fit
from .config import PretrainConfig
from .data import TrainingClips, evaluation_set, training_batches
from .frames import FrameStore
from .initial_weights import check_initial_weights
from .model import StageOneModel
from .poses import open_store
from .run import PretrainResult, begin_run, begun_without, check_run, finish_run
from .store import save_stage_one
from .tokenizer import make_tokenizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PretrainPlan:
    """Size of a run, for ``--dry-run``."""

    train_clips: int
    dev_clips: int
    tokens: int
    """Size of the vocabulary."""
    batches: int
    """Batches of an epoch."""
    encoder_parameters: int
    translator_parameters: int
    """Parameters of adapter and light translation model."""


@dataclass(frozen=True, kw_only=True)
class _Clips:
    store: FrameStore
    train: list[Sample]
    dev: list[Sample]
    unreadable: list[Unreadable]
    """Unreadable clips at the start of the run."""


def pretrain(
    manifest: Manifest,
    *,
    config: PretrainConfig,
    out: Path,
    resume: bool = False,
    allow_config_change: bool = False,
    device: str = "auto",
) -> PretrainResult:
    """Train the visual encoder with a light translation model on the train split of a manifest.

    Args:
        manifest: the clips. The dev split selects the best checkpoint.
        config: all settings.
        out: run directory, which must be empty. With ``resume`` it must hold a run.
        resume: continue from the last checkpoint.
        allow_config_change: resume even if settings changed since the start of the run.
        device: a name for :func:`resolve_device`. Under ``torchrun`` each process has its own device.

    Raises:
        RunError: ``out`` is not empty, or holds a run with other settings or sentences.
        DataError: no training clip is readable, or no dev clip although ``select`` is ``best``.
        Interrupted: SIGTERM or SIGINT arrived. The last checkpoint is kept.
    """
    with report_interruption(out):
        # A missing tracker is refused before clips are decoded.
        check_tracker(config.training.report_to)
        # Refused before any clip is decoded, which takes minutes.
        _check_dev(manifest, config)
        torch_device = resolve_device(device)
        config = _for_processes(config, torch_device)
        join_processes(torch_device)
        changed: dict[str, Any] = {}
        # One process checks and writes: several would find each other's files.
        if is_main_process():
            changed = check_run(manifest, config, out, resume=resume, allow_config_change=allow_config_change)
        # The first process has accepted the run directory: only then do all start to decode.
        wait_for_all()
        # A checkpoint replaces all weights: a resumed run does not need the initial weights any more.
        is_fresh = not (resume and last_checkpoint(out / "checkpoints"))
        weights = check_initial_weights(config.encoder) if is_fresh else None
        clips = _open_clips(manifest, config, left_out=begun_without(out) if resume else None)
        model = build_model(clips.train, config, initial_weights=is_fresh)
        train = TrainingClips(clips.train, store=clips.store, tokenizer=model.tokenizer, config=config)
        batches = training_batches(train)
        dev = evaluation_set(clips.dev, store=clips.store, config=config) if clips.dev else None
        if is_main_process():
            begin_run(
                manifest, config, out, batches=batches, unreadable=clips.unreadable, changed=changed,
                initial_weights=weights,
            )  # fmt: skip
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
    """Translate dev with the selected weights in all processes. The first process writes the run."""
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
    # A process that ended now could end the others before the first has written.
    wait_for_all()
    return result


def plan(manifest: Manifest, *, config: PretrainConfig) -> PretrainPlan:
    """Build the model and the batches of :func:`pretrain`, and read the first clip. Nothing is written."""
    _check_dev(manifest, config)
    config = replace(config, training=config.training.for_processes(count_processes()))
    check_initial_weights(config.encoder)
    samples = _train_samples(manifest)
    model = build_model(samples, config)
    store = open_store(manifest, config.encoder)
    train = TrainingClips(samples, store=store, tokenizer=model.tokenizer, config=config)
    store.read(samples[0], phase=0)  # a wrong root shows here, not hours later
    encoder = sum(parameter.numel() for parameter in model.encoder.parameters())
    return PretrainPlan(
        train_clips=len(samples),
        dev_clips=len(manifest.split("dev")),
        tokens=len(model.tokenizer),
        batches=len(training_batches(train)),
        encoder_parameters=encoder,
        translator_parameters=sum(parameter.numel() for parameter in model.parameters()) - encoder,
    )


def build_model(
    train: list[Sample], config: PretrainConfig, *, initial_weights: bool = True
) -> StageOneModel:
    """Return an untrained model for these sentences.

    Args:
        train: the training clips.
        config: all settings. The seed decides random weights.
        initial_weights: load the initial weights of the backbone that ``config`` names.
    """
    tokenizer = make_tokenizer([sample.text for sample in train], config.tokenizer)
    # The caller's random numbers stay as they are.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(config.seed, "weights"))
        encoder = config.encoder if initial_weights else config.encoder.without_weights
        model = StageOneModel(make_encoder(encoder), tokenizer, config)
    if config.training.sync_batchnorm:
        # torch's own conversion drops timm's activations.
        model.encoder = cast("TrainableEncoder", convert_sync_batchnorm(model.encoder))
    # cuDNN's convolutions in bf16 are faster in this layout.
    model.encoder.backbone.to(memory_format=torch.channels_last)
    return model


def _for_processes(config: PretrainConfig, device: torch.device) -> PretrainConfig:
    """Return the settings for the processes that ``torchrun`` started.

    Raises:
        ConfigError: ``total_clips`` does not fit the processes, or BatchNorm cannot be synchronised.
    """
    if config.training.sync_batchnorm and count_processes() > 1 and device.type != "cuda":
        raise ConfigError(
            f"training.sync_batchnorm needs a GPU in each process, but the device is {device.type}.\n"
            "Set training.sync_batchnorm=false."
        )
    return replace(config, training=config.training.for_processes(count_processes()))


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
    if len(tasks := sorted({sample.task for sample in samples})) > 1:
        logger.warning(f"Stage one has no prompt, so that it cannot tell {' and '.join(tasks)} apart.")
    return samples


def _open_clips(manifest: Manifest, config: PretrainConfig, *, left_out: list[Unreadable] | None) -> _Clips:
    """Open all clips but ``left_out``, which an interrupted run could not open. None: a new run."""
    if config.encoder.medium == "video":
        warn_of_enlarging(manifest.copies, config.encoder.resize_size)
    # A resumed run keeps its batches. A clip that has become unreadable is skipped at its batch.
    store, gib = open_store(manifest, config.encoder, workers=config.training.workers), config.keep_frames_gib
    unreadable = left_out or []
    dev, train = _without(manifest.split("dev"), unreadable), _without(_train_samples(manifest), unreadable)
    found = store.keep(dev, phases=(0,), gib=gib)
    found += store.keep(train, phases=config.encoder.sampling.phases, gib=gib)
    if left_out is None:
        unreadable = list(_distinct(gather_all(found)))  # all processes must form the same batches
        dev, train = _without(dev, unreadable), _without(train, unreadable)
    if not train:
        raise DataError(f"No training clip can be read. The last: {unreadable[-1]}")
    if not dev and config.training.select == "best":
        raise DataError(
            f"No dev clip can be read. The first: {unreadable[0]}\nAdd --set training.select=last"
        )
    logger.info(
        f"{len(train)} train and {len(dev)} dev clips, {store.filled_gib:.2f} GiB of frames kept in memory"
    )
    return _Clips(store=store, train=train, dev=dev, unreadable=unreadable)


def _without(samples: list[Sample], clips: Iterable[Unreadable]) -> list[Sample]:
    gone = {(clip.split, clip.id) for clip in clips}
    return [sample for sample in samples if (sample.split, sample.id) not in gone]


def _distinct(*parts: Iterable[Unreadable]) -> tuple[Unreadable, ...]:
    """Return each clip once, with the first reason."""
    found: dict[tuple[str, str], Unreadable] = {}
    for clip in chain(*parts):
        found.setdefault((clip.split, clip.id), clip)
    return tuple(found.values())


def _translate_dev(model: StageOneModel, dev: EvaluationSet) -> Translations[str]:
    """Translate dev with the selected weights."""
    config, device = model.config, next(model.parameters()).device
    return predict(
        model,
        dev,
        decoding=config.decoding,
        device=device,
        dtype=resolve_dtype(config.training.precision, device),
        desc="dev, selected weights",
        workers=config.training.workers,
    )
