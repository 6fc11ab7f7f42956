"""Stage two from start to end: from caches and a language model to a run directory, without video."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from transformers import set_seed

from ..core.device import resolve_device
from ..llm.load import load_llm
from ..llm.text_codec import draw_examples
from ..llm.trim import trim
from ..llm.vocabulary import needed_ids
from ..training.batches import move_batch
from ..training.evaluation import EvaluationSet
from ..training.interruption import report_interruption
from ..training.log import TrainingLog
from ..training.processes import is_main_process, local_device
from ..training.tracking import check_tracker
from ..training.train_loop import fit
from .batching import TrainBatches, feature_evaluation_set
from .build import base_dtype, warn_of_equal_prompts
from .collate import collate
from .config import TuneConfig
from .data import FeatureItems
from .initial_weights import load_projectors
from .model import StageTwoModel
from .opening import missing_by_split, open_clips, open_run
from .projector import embedding_rms, rms
from .run import TuneResult, finish_run
from .store import describe_run, evaluation_bounds, save_stage_two
from .streams import stream_names
from .untranslatable import check_sentences

logger = logging.getLogger(__name__)

RMS_SENTENCES = 256  # enough for two digits of the mean square
RMS_STEPS = 1024


@dataclass(frozen=True, kw_only=True)
class TunePlan:
    """Result of a dry run: data, batches, and the loss of the largest batch before training."""

    train_clips: int
    dev_clips: int
    batches: int
    padding_share: float
    """Share of padding in the computed positions of the language model."""
    trained_parameters: int
    loss: float
    missing: dict[str, dict[str, str]]
    """Split -> id -> reason for a missing clip. A split without missing clips has no entry."""


def tune(
    features: Sequence[Path],
    *,
    llm: str,
    config: TuneConfig,
    out: Path,
    init: Path | None = None,
    resume: bool = False,
    allow_config_change: bool = False,
    device: str = "auto",
    limit: int | None = None,
    in_memory: bool = False,
) -> TuneResult:
    """Tune a language model on cached features.

    Args:
        features: caches of one encoder with disjoint ids, or streams: caches of any encoders with the same
            ids, in this order. The splits are ``train``, and ``dev`` if a cache has this split.
        llm: a Hugging Face id, or the directory of a model.
        config: settings of the run.
        out: the run directory: empty, or with ``resume`` the directory of a begun run.
        init: an earlier run, whose projectors are loaded. Its language model is given as ``llm``.
        resume: continue from the last checkpoint.
        allow_config_change: resume even if settings have changed since the run began.
        device: a name for :func:`resolve_device`.
        limit: number of clips of each split and cache, for a trial.
        in_memory: keep all features in memory.

    Raises:
        RunError: ``out`` is not empty, or the run began with other settings, clips or language model.
        CacheError: a folder is no cache, lacks the split, or does not fit the other caches.
        DataError: a clip needs more positions than the model has.
        ModelError: the language model is missing, damaged or cannot read features.
        Interrupted: SIGTERM or SIGINT came. The last checkpoint is kept.
    """
    with report_interruption(out):
        opened = open_run(
            features, llm=llm, config=config, out=out, init=init, resume=resume, device=device, limit=limit,
            allow_config_change=allow_config_change, in_memory=in_memory,
        )  # fmt: skip
        train, dev = opened.train, opened.dev
        model = build_model(train, llm=llm, config=config, device=opened.device, init=init)
        data = TrainBatches(model, train)
        dev_set = None if dev is None else evaluation_set(model, dev)
        model.untranslatable = check_sentences(model, train, dev)
        if is_main_process():
            logger.info(data.describe())
            opened.begin(model, data)
            if not resume:
                _log_start(model, data, train, run=out)
        fitted = fit(
            model, train=data, dev=dev_set, config=config.training, decoding=config.decoding, run=out,
            resume=resume, seed=config.seed, device=opened.device,
        )  # fmt: skip  # leaves the selected weights in the model
        kinds = {"languages": sorted(set(train.languages)), "tasks": sorted(set(train.tasks))}
        description = describe_run(model, **kinds) | {"missing": opened.missing}
        finish_run(
            model, out, dev=dev_set, decoding=config.decoding, device=opened.device,
            save=partial(save_stage_two, model, out, description=description),
        )  # fmt: skip
    return TuneResult(
        run=out,
        epoch=fitted.epoch,
        best_bleu4=fitted.best_bleu4,
        best_scores=fitted.best_scores,
        seconds=round(fitted.seconds, 1),
        train_clips=len(train),
        dev_clips=len(dev or ()),
        trained_parameters=model.num_trained,
        missing=opened.missing,
    )


def plan(
    features: Sequence[Path],
    *,
    llm: str,
    config: TuneConfig,
    init: Path | None = None,
    device: str = "auto",
    limit: int | None = None,
) -> TunePlan:
    """Check the input of :func:`tune`, up to the loss of the largest batch, without writing a file."""
    check_tracker(config.training.report_to)
    train, dev = open_clips(features, config=config, limit=limit)
    torch_device = local_device(resolve_device(device))
    # Dropout would make the loss of a dry run random.
    model = build_model(train, llm=llm, config=config, device=torch_device, init=init).eval()
    data = TrainBatches(model, train)
    if dev is not None:
        evaluation_set(model, dev)
    check_sentences(model, train, dev)
    with torch.no_grad():
        loss = model(**move_batch(data.largest, torch_device))["loss"].item()
    return TunePlan(
        train_clips=len(train),
        dev_clips=len(dev or ()),
        batches=len(data),
        padding_share=data.padding_share,
        trained_parameters=model.num_trained,
        loss=loss,
        missing=missing_by_split(train, dev),
    )


def build_model(
    items: FeatureItems, *, llm: str, config: TuneConfig, device: torch.device, init: Path | None = None
) -> StageTwoModel:
    """Return an untrained model for these clips, with the projectors of the earlier run ``init``.

    The seed of the config draws the new weights.
    """
    language_model = load_llm(llm, quantise=config.quantise, device=device, dtype=base_dtype(config, device))
    examples = draw_examples(items.texts, items.examples_keys, count=config.examples, seed=config.seed)
    if config.trim_vocab:
        kept = needed_ids(
            language_model.tokenizer, language_model.model.config,
            prompts=config.prompts, texts=items.texts, languages=items.languages, tasks=items.tasks,
            examples=examples,
        )  # fmt: skip
        language_model = trim(language_model, kept)
    # Just before the new weights: loading a model may draw random numbers too.
    set_seed(config.seed)
    model = StageTwoModel(
        language_model,
        config=config,
        feature_size=items.feature_size,
        feature_fingerprint=items.fingerprint,
        streams=items.records,
    )
    model.codec.examples = examples
    warn_of_equal_prompts(config.prompts, items)
    magnitude = _text_rms(model, items)
    for projector in model.projectors:
        projector.calibrate(magnitude)
    if init is not None:
        load_projectors(model, init)
    return model


def _text_rms(model: StageTwoModel, items: FeatureItems) -> float:
    """Return the magnitude of the embeddings of the first sentences."""
    # The magnitude depends on how often tokens occur, so real sentences are measured.
    ids = [token for text in items.texts[:RMS_SENTENCES] for token in model.codec.target_ids(text)]
    return embedding_rms(model.conditioned_lm.embed, ids, device=model.llm.device)


def evaluation_set(model: StageTwoModel, items: FeatureItems) -> EvaluationSet:
    """Return the batches of ``items`` that an evaluation with the settings of ``model`` translates."""
    return feature_evaluation_set(items, model=model, **evaluation_bounds(model.config))


@torch.no_grad()
def _log_start(model: StageTwoModel, data: TrainBatches, items: FeatureItems, *, run: Path) -> None:
    """Log the padding, and the magnitudes of projected features and text embeddings."""
    # Both magnitudes should be about alike: the language model reads the features in place of words.
    batch = collate([items.get(0)], codec=model.codec)
    row: dict[str, float] = {"step": 0, "batches": len(data), "padding_share": round(data.padding_share, 4)}
    row |= {"embedding_rms": _text_rms(model, items)}
    was_training = model.training
    model.eval()  # BatchNorm of a projector must not count this batch
    streams = [
        batch[stream_names(number)[0]][:, :RMS_STEPS].to(model.llm.device)
        for number in range(len(model.streams))
    ]
    if model.config.fuse == "channels":
        streams = [torch.cat([stream.float() for stream in streams], dim=2)]
    for number, (projector, features) in enumerate(zip(model.projectors, streams, strict=True)):
        row[f"projector_rms_{number + 1}" if number else "projector_rms"] = rms(projector(features))
    model.train(was_training)
    TrainingLog(run / "log.jsonl").write(row)
    logger.info(
        "RMS of text embeddings {embedding_rms:.4g}, of projected features {projector_rms:.4g}".format(**row)
    )
