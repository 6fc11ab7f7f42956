"""Training of a diffusion run: first the text autoencoder, then the denoiser, from caches alone."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..core.device import resolve_device
from ..core.errors import CacheError
from ..core.sample import DEFAULT_TASK
from ..finetune.data import FeatureItems
from ..finetune.opening import missing_by_split, open_clips, open_run
from ..finetune.run import finish_run
from ..finetune.store import evaluation_bounds
from ..training.batches import move_batch
from ..training.interruption import report_interruption
from ..training.processes import is_main_process, local_device
from ..training.tracking import check_tracker
from ..training.train_loop import fit
from .autoencoder_training import (
    FOLDER,
    check_sentences,
    checked_sentences,
    record_sentences,
    train_autoencoder,
)
from .batching import clip_batches, clip_evaluation_set, read_sentences, sentence_batches
from .config import DiffusionConfig
from .store import build_diffusion, describe_diffusion_run, save_diffusion


@dataclass(frozen=True, kw_only=True)
class DiffusionResult:
    """Result of ``fla tune --decoder diffusion``."""

    run: Path
    epoch: int
    """Epoch of the selected denoiser."""
    best_bleu4: float | None
    """BLEU-4 on dev of the first draw, 0-100. None without a dev split."""
    reconstruction_bleu4: float
    """BLEU-4 of the sentences that the autoencoder reconstructs."""
    seconds: float
    train_clips: int
    dev_clips: int
    trained_parameters: int
    """Trained values of denoiser and fusion."""
    missing: dict[str, dict[str, str]]
    """Split -> id -> reason for a missing clip."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {"run": str(self.run)}


@dataclass(frozen=True, kw_only=True)
class DiffusionPlan:
    """Result of a dry run: data, batches, and the losses of the first batches before training."""

    train_clips: int
    dev_clips: int
    sentences: int
    batches: int
    trained_parameters: int
    autoencoder_loss: float
    denoiser_loss: float
    missing: dict[str, dict[str, str]]


def tune_diffusion(
    features: Sequence[Path],
    *,
    llm: str,
    config: DiffusionConfig,
    out: Path,
    resume: bool = False,
    allow_config_change: bool = False,
    device: str = "auto",
    limit: int | None = None,
    in_memory: bool = False,
) -> DiffusionResult:
    """Train an autoencoder and a denoiser on cached features.

    The arguments are those of :func:`fla_llm.finetune.train.tune`.

    Raises:
        RunError: ``out`` is not empty, the run began with other settings, clips, sentences or language model,
            or the autoencoder reconstructs too little.
        CacheError: a folder is no cache, lacks the split, or does not fit the other caches.
        ModelError: the language model is missing, damaged, or has no encoder.
        ConfigError: the package ``diffusers`` is not installed.
        Interrupted: SIGTERM or SIGINT came. The last checkpoint is kept.
    """
    # A signal is reported with the checkpoints of the training that it ends.
    with report_interruption(out / FOLDER):
        opened = open_run(
            features, llm=llm, config=config, out=out, resume=resume, device=device, limit=limit,
            allow_config_change=allow_config_change, in_memory=in_memory,
        )  # fmt: skip
        train, dev = opened.train, opened.dev
        _check_tasks(train, dev)
        model = build_diffusion(llm, train.records, config=config, device=opened.device, texts=train.texts)
        data = clip_batches(model, train, **evaluation_bounds(config))
        sentences = read_sentences(train, config.autoencoder.text)
        if is_main_process():
            check_sentences(out, sentences)
            opened.begin(model, data)
            record_sentences(out, sentences)
        reconstruction = train_autoencoder(
            model.autoencoder, sentences, checked_sentences(sentences, dev), run=out, resume=resume
        )
    with report_interruption(out):
        dev_set = None if dev is None else clip_evaluation_set(model, dev, **evaluation_bounds(config))
        fitted = fit(
            model, train=data, dev=dev_set, config=config.training, decoding=config.decoding, run=out,
            resume=resume, seed=config.seed, device=opened.device,
        )  # fmt: skip
        languages = sorted(set(train.languages))
        description = describe_diffusion_run(model, languages=languages, reconstruction=reconstruction)
        description |= {"missing": opened.missing}
        finish_run(
            model, out, dev=dev_set, decoding=config.decoding, device=opened.device,
            save=partial(save_diffusion, model, out, description=description),
        )  # fmt: skip
    return DiffusionResult(
        run=out,
        epoch=fitted.epoch,
        best_bleu4=fitted.best_bleu4,
        reconstruction_bleu4=reconstruction["bleu4"],
        seconds=round(fitted.seconds, 1),
        train_clips=len(train),
        dev_clips=len(dev or ()),
        trained_parameters=model.num_trained,
        missing=opened.missing,
    )


def plan_diffusion(
    features: Sequence[Path],
    *,
    llm: str,
    config: DiffusionConfig,
    device: str = "auto",
    limit: int | None = None,
) -> DiffusionPlan:
    """Check the input of :func:`tune_diffusion`, up to the first losses, without writing a file."""
    check_tracker(config.training.report_to)
    train, dev = open_clips(features, config=config, limit=limit)
    _check_tasks(train, dev)
    torch_device = local_device(resolve_device(device))
    model = build_diffusion(llm, train.records, config=config, device=torch_device, texts=train.texts).eval()
    sentences = read_sentences(train, config.autoencoder.text)
    data, texts = (
        clip_batches(model, train, **evaluation_bounds(config)),
        sentence_batches(model.autoencoder, sentences),
    )
    # Untrained weights: the losses show that every part fits, not how good it is.
    with torch.no_grad():
        losses = [
            float(each(**move_batch(batches[0], torch_device))["loss"])
            for each, batches in ((model.autoencoder, texts), (model, data))
        ]
    return DiffusionPlan(
        train_clips=len(train),
        dev_clips=len(dev or ()),
        sentences=len(sentences),
        batches=len(data),
        trained_parameters=model.num_trained,
        autoencoder_loss=losses[0],
        denoiser_loss=losses[1],
        missing=missing_by_split(train, dev),
    )


def _check_tasks(train: FeatureItems, dev: FeatureItems | None) -> None:
    """Refuse clips whose text is no sentence.

    Raises:
        CacheError: a clip has another task than ``translate``.
    """
    # Without a prompt nothing would tell the model which kind of text a clip wants.
    others = sorted({*train.tasks, *(() if dev is None else dev.tasks)} - {DEFAULT_TASK})
    if others:
        raise CacheError(
            f"--decoder diffusion writes sentences, but clips of the caches have the task "
            f"{' and '.join(others)}.\nGive caches of translations alone, or tune without --decoder."
        )
