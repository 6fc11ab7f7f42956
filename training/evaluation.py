"""Evaluation by generation: translate a set of clips and score the sentences."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader

from ..core.files import write_jsonl
from ..core.progress import progress
from ..scoring import score
from .batches import BatchDataset
from .config import DecodingConfig
from .model import TranslationModel

T = TypeVar("T")
METRICS = ("bleu1", "bleu2", "bleu3", "bleu4", "chrf", "rouge_l")


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """Clips to translate, and what they mean. Item i of ``batches`` belongs to row i of the rest."""

    batches: BatchDataset
    """Every clip exactly once."""
    ids: list[str]
    """A clip's id."""
    references: list[str]
    """What a clip means, raw."""
    languages: list[str]
    """The language of each reference."""


def predict(
    model: TranslationModel,
    evaluation: EvaluationSet,
    *,
    decoding: DecodingConfig,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    desc: str | None = "translating",
    workers: int = 0,
) -> list[str]:
    """Return a sentence for every clip, in the order of ``ids``.

    Under ``torchrun`` each process translates its share and all get everything. The model's mode is put back.

    Args:
        model: what translates; it lies on ``device``.
        evaluation: the clips.
        decoding: the search.
        device: where the batches go.
        dtype: what to compute in.
        desc: what the progress bar says; None for no bar.
        workers: processes that prepare batches.
    """
    return translate_all(
        model,
        evaluation,
        translate=lambda batch: model.translate(batch, decoding),
        device=device,
        dtype=dtype,
        desc=desc,
        workers=workers,
    )


def translate_all(
    model: TranslationModel,
    evaluation: EvaluationSet,
    *,
    translate: Callable[[dict[str, Any]], list[T]],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    desc: str | None = "translating",
    workers: int = 0,
) -> list[T]:
    """Return what ``translate`` makes of every clip, in the order of ``ids``; else :func:`predict`.

    Args:
        model: put into eval mode meanwhile.
        evaluation: the clips.
        translate: gives one result for each clip of a batch that lies on ``device``.
        device: where the batches go.
        dtype: what to compute in.
        desc: what the progress bar says; None for no bar.
        workers: processes that prepare batches.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    mine = list(range(rank, len(evaluation.batches), world))
    batches = _loader(evaluation.batches, mine, workers)
    if desc is not None and rank == 0:
        batches = progress(batches, desc=desc, total=len(mine), unit="batch")
    was_training = model.training
    model.eval()
    mixed = torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)
    found: dict[int, T] = {}
    with torch.no_grad(), mixed:
        for number, batch in zip(mine, batches, strict=True):
            moved = {name: _to(value, device) for name, value in batch.items()}
            texts = translate(moved)
            found.update(zip(evaluation.batches.batches[number], texts, strict=True))
    model.train(was_training)
    return [text for _, text in sorted(_gathered(found, world).items())]


def mean_scores(evaluation: EvaluationSet, hypotheses: list[str]) -> dict[str, float]:
    """Return BLEU-1..4, chrF and ROUGE-L (0-100); of several languages the mean, weighted by their clips."""
    means = dict.fromkeys(METRICS, 0.0)
    for language, count in Counter(evaluation.languages).items():
        rows = [row for row, own in enumerate(evaluation.languages) if own == language]
        scores = score(
            [hypotheses[row] for row in rows], [evaluation.references[row] for row in rows], language=language
        ).to_dict()
        for metric in METRICS:
            means[metric] += scores[metric] * count / len(evaluation.ids)
    return {metric: round(mean, 2) for metric, mean in means.items()}


def write_predictions(
    path: Path,
    evaluation: EvaluationSet,
    hypotheses: list[str],
    *,
    n_best: Sequence[list[dict[str, Any]]] | None = None,
) -> None:
    """Write one object a clip: id, prediction, reference, language, and ``n_best`` where it is given."""
    columns = zip(evaluation.ids, hypotheses, evaluation.references, evaluation.languages, strict=True)
    keys = ("id", "prediction", "reference", "language")
    rows = [dict[str, Any](zip(keys, row, strict=True)) for row in columns]
    if n_best is not None:
        rows = [row | {"n_best": found} for row, found in zip(rows, n_best, strict=True)]
    write_jsonl(path, rows)


def _loader(batches: BatchDataset, numbers: list[int], workers: int) -> Iterable[dict[str, Any]]:
    # A generator of its own: else the loader draws its seed from the stream that dropout uses.
    generator = torch.Generator()
    return DataLoader(batches, batch_size=None, sampler=numbers, num_workers=workers, generator=generator)


def _to(value: object, device: torch.device) -> object:
    return value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value


def _gathered(found: dict[int, T], world: int) -> dict[int, T]:
    if world == 1:
        return found
    parts: list[dict[int, T] | None] = [None] * world
    dist.all_gather_object(parts, found)
    return {row: text for part in parts if part for row, text in part.items()}
