"""Models that translate cached features: a tuned language model, or a diffusion run."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..core.config import load_config
from ..diffusion.batching import clip_evaluation_set
from ..diffusion.model import DiffusionModel
from ..diffusion.run_files import is_diffusion_run
from ..diffusion.store import load_diffusion
from ..finetune.batching import feature_evaluation_set
from ..finetune.data import FeatureItems
from ..finetune.model import StageTwoModel, check_n_best
from ..finetune.store import EvaluationBounds, load_stage_two
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
