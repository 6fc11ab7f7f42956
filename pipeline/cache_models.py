"""Models that translate cached features: a tuned language model, or a diffusion run."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.config import load_config
from ..core.sample import Task
from ..diffusion.batching import clip_evaluation_set, collate_clips
from ..diffusion.model import DiffusionModel
from ..diffusion.run_files import is_diffusion_run
from ..diffusion.store import load_diffusion
from ..finetune.batching import feature_evaluation_set
from ..finetune.collate import collate
from ..finetune.data import FeatureItems
from ..finetune.model import StageTwoModel, check_n_best
from ..finetune.positions import SOURCE, check_positions, source_positions
from ..finetune.store import EvaluationBounds, load_stage_two
from ..training.batches import move_batch
from ..training.config import DecodingConfig
from ..training.evaluation import EvaluationSet
from .evaluation import Request

CacheModel = StageTwoModel | DiffusionModel


def load_cache_model(run: Path, *, device: torch.device, llm: str | None) -> CacheModel:
    """Load a run of ``fla tune``, with either decoder, in eval mode.

    Raises:
        RunError, ModelError: the run is not whole, or a file is damaged.
    """
    load = load_diffusion if is_diffusion_run(run) else load_stage_two
    return load(run, device=device, llm=llm)


def evaluation_set_of(
    model: CacheModel, items: FeatureItems, *, bounds: EvaluationBounds, order: Sequence[int] | None
) -> EvaluationSet:
    """Return the clips to translate.

    Args:
        model: the model.
        items: the clips.
        bounds: limits of the batches.
        order: clip i gets the features of clip ``order[i]``. None keeps the features of each clip.

    Raises:
        DataError: a clip does not fit into the positions of a language model.
    """
    if isinstance(model, DiffusionModel):
        return clip_evaluation_set(model, items, **bounds, order=order)
    return feature_evaluation_set(items, model=model, **bounds, order=order)


def batch_of(
    model: CacheModel,
    clips: Sequence[tuple[np.ndarray, ...]],
    *,
    language: str,
    task: Task,
    names: Sequence[str],
    texts: Sequence[str] = (),
) -> dict[str, Tensor]:
    """Return a batch of clips on the device of the model.

    Args:
        model: the model.
        clips: features (T, F) of every stream, for each clip.
        language: language of the sentences.
        task: what to write of each clip.
        names: name of each clip, for errors.
        texts: sentences as labels. Empty: the clips have no sentences.

    Raises:
        DataError: a clip has more steps than the language model has positions.
    """
    # Without ids: the noise of a diffusion run must not depend on the name of a file.
    given = {"id": "", "language": language, "task": task}
    items = [
        given | {"features": each, "text": text}
        for each, text in zip(clips, texts or [""] * len(clips), strict=True)
    ]
    if isinstance(model, DiffusionModel):
        return move_batch(collate_clips(items, codec=model.codec), model.llm.device)
    tasks: list[Task] = [task] * len(clips)
    lengths = [[len(stream) for stream in streams] for streams in zip(*clips, strict=True)]
    # Too many positions end in an unclear error of the model, or in noise.
    needed = source_positions(model, lengths, languages=[language] * len(clips), tasks=tasks)
    check_positions(model, needed, ids=list(names), steps=lengths[0], what=SOURCE)
    return move_batch(collate(items, codec=model.codec), model.llm.device)


def decoding_of(model: CacheModel, request: Request) -> DecodingConfig:
    """Return the search of a run with the requested changes.

    Raises:
        ConfigError: a setting is unknown or out of range, or the search keeps fewer hypotheses than
            ``n_best``.
    """
    own: Any = model.config.decoding
    source, overrides = request.decoding
    # A diffusion run has further settings, those of its sampler.
    decoding = load_config(type(own), base=own, source=source, overrides=overrides)
    if isinstance(model, DiffusionModel):
        return replace(decoding, seed=request.seed or decoding.seed)
    # In diverse beam search each beam gives one hypothesis.
    if request.n_best is not None and decoding.diversity > 0:
        decoding = replace(decoding, num_beams=max(decoding.num_beams, request.n_best))
    if request.n_best is not None:
        check_n_best(request.n_best, decoding)
    return decoding
