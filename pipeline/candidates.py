"""Several candidates for each clip of an evaluation, and the choice of the sentence that is scored."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from ..core.errors import ConfigError
from ..core.sample import DEFAULT_TASK
from ..scoring.candidates import CandidateScores, choose, score_candidates
from ..scoring.protocols import find_protocol
from ..training.config import DecodingConfig
from ..training.evaluation import EvaluationSet, Translations, translate_all
from .cache_models import CacheModel
from .evaluation import Request

Candidates = list[list[dict[str, Any]]]
"""Hypotheses of each clip, best first, as ``{"text", "score"}``."""


def translate_candidates(
    model: CacheModel,
    evaluation: EvaluationSet,
    *,
    request: Request,
    decoding: DecodingConfig,
    protocol: str,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Translations[str], Candidates | None]:
    """Return the chosen sentence of each clip, and its candidates if requested. No choice reads a reference.

    Args:
        model: the model.
        evaluation: clips with references, which only pass through.
        request: the choice, and the seed of drawn candidates.
        decoding: settings of the search.
        protocol: name of the convention whose tokenizer serves the choice.
        device: place of the model.
        dtype: number format of the computation.
    """
    search = partial(model.translate_n_best, decoding=decoding, count=request.n_best or 1)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(request.seed)
        found = translate_all(
            model, evaluation, translate=search, device=device, dtype=dtype,
            desc=f"translating {request.split}",
        )  # fmt: skip
    chosen = choose_sentences(found.hypotheses, found.languages, request=request, protocol=protocol)
    translations = Translations(
        ids=found.ids, references=found.references, languages=found.languages, tasks=found.tasks,
        hypotheses=chosen, unreadable=found.unreadable,
    )  # fmt: skip
    return translations, found.hypotheses if request.n_best else None


def choose_sentences(
    candidates: Candidates, languages: Sequence[str], *, request: Request, protocol: str
) -> list[str]:
    """Return the sentence of each clip that ``request.choose`` names."""
    chosen = []
    for clip, language in zip(candidates, languages, strict=True):
        texts = [hypothesis["text"] for hypothesis in clip]
        best = choose(texts, how=request.choose, language=language, protocol=find_protocol(protocol))
        chosen.append(texts[best])
    return chosen


def scores_of_candidates(
    candidates: Candidates | None, clips: Translations[str], *, language: str, protocol: str
) -> CandidateScores | None:
    """Return the diversity of the candidates of translations, or None without candidates or translations.

    Args:
        candidates: candidates of each clip. None: they were not requested.
        clips: clips of the candidates, in the same order.
        language: ISO 639 code of the translations.
        protocol: name of the convention with the tokenizer.
    """
    pairs = zip(candidates or (), clips.tasks, strict=candidates is not None)
    translated = [clip for clip, task in pairs if task == DEFAULT_TASK]
    if not translated:
        return None
    texts = [[hypothesis["text"] for hypothesis in clip] for clip in translated]
    references = clips.of_task(DEFAULT_TASK).references
    return score_candidates(texts, references, language=language, protocol=find_protocol(protocol))


def check_choice(request: Request) -> None:
    """Refuse a choice among less than two candidates.

    Raises:
        ConfigError: ``choose`` is not ``best``, and ``n_best`` is below 2.
    """
    if request.choose != "best" and (request.n_best or 1) < 2:
        raise ConfigError(
            f"--choose {request.choose} compares candidates, so there must be at least 2, but there is "
            f"{request.n_best or 1}.\nAdd --n-best 10."
        )
