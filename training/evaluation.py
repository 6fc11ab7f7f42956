"""Evaluation by generation: translate a set of clips and score the sentences."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset

from ..core.errors import DataError
from ..core.files import write_jsonl
from ..core.progress import progress
from ..core.sample import Unreadable
from ..scoring import score
from .batches import BatchDataset
from .config import DecodingConfig
from .model import TranslationModel
from .processes import begin_worker, gather_all
from .workers import prepare_item

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


@dataclass(frozen=True, kw_only=True)
class Translations(Generic[T]):
    """Results for the clips that could be read, in the order of their set. Row i of each list is one clip.

    A set's clips are those of ``ids`` and those of ``unreadable``, each exactly once.
    """

    ids: list[str]
    references: list[str]
    languages: list[str]
    hypotheses: list[T]
    unreadable: tuple[Unreadable, ...] = ()
    """Clips without a result."""


def predict(
    model: TranslationModel,
    evaluation: EvaluationSet,
    *,
    decoding: DecodingConfig,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    desc: str | None = "translating",
    workers: int = 0,
) -> Translations[str]:
    """Return a sentence for every clip that can be read.

    Under ``torchrun`` each process translates its share and all get everything. The model's mode is put back.

    Args:
        model: what translates; it lies on ``device``.
        evaluation: the clips.
        decoding: the search.
        device: where the batches go.
        dtype: what to compute in.
        desc: what the progress bar says; None for no bar.
        workers: processes that prepare batches.

    Raises:
        DataError: no clip can be read.
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
) -> Translations[T]:
    """Return what ``translate`` makes of every clip that can be read; else :func:`predict`.

    Args:
        model: put into eval mode meanwhile.
        evaluation: the clips.
        translate: gives one result for each clip of a batch that lies on ``device``.
        device: where the batches go.
        dtype: what to compute in.
        desc: what the progress bar says; None for no bar.
        workers: processes that prepare batches.

    Raises:
        DataError: no clip can be read.
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
    missing: dict[int, Unreadable] = {}
    with torch.no_grad(), mixed:
        for number, (batch, unreadable) in zip(mine, batches, strict=True):
            missing |= unreadable
            if batch is not None:
                moved = {name: _to(value, device) for name, value in batch.items()}
                rows = [row for row in evaluation.batches.batches[number] if row not in unreadable]
                found.update(zip(rows, translate(moved), strict=True))
    model.train(was_training)
    return _in_order(evaluation, dict(gather_all([*found.items()])), dict(gather_all([*missing.items()])))


def mean_scores(translations: Translations[str]) -> dict[str, float]:
    """Return BLEU-1..4, chrF and ROUGE-L (0-100), unrounded; of several languages the mean by their clips."""
    means: dict[str, float] = dict.fromkeys(METRICS, 0.0)
    for language, count in Counter(translations.languages).items():
        rows = [row for row, own in enumerate(translations.languages) if own == language]
        scores = score(
            [translations.hypotheses[row] for row in rows],
            [translations.references[row] for row in rows],
            language=language,
        ).to_dict()
        for metric in METRICS:
            means[metric] += scores[metric] * count / len(translations.ids)
    return means


def write_predictions(
    path: Path, translations: Translations[str], *, n_best: Sequence[list[dict[str, Any]]] | None = None
) -> None:
    """Write one object a clip: id, prediction, reference, language, and ``n_best`` where it is given."""
    columns = (translations.ids, translations.hypotheses, translations.references, translations.languages)
    keys = ("id", "prediction", "reference", "language")
    rows = [dict[str, Any](zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]
    if n_best is not None:
        rows = [row | {"n_best": found} for row, found in zip(rows, n_best, strict=True)]
    write_jsonl(path, rows)


class _AsRead(Dataset[Any]):
    """Batches with the clips of each that could not be read: no other batch fills an empty one."""

    def __init__(self, batches: BatchDataset) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[dict[str, Any] | None, dict[int, Unreadable]]:
        return prepare_item(lambda: self._batches.read(index))


def _loader(batches: BatchDataset, numbers: list[int], workers: int) -> Iterable[Any]:
    # A generator of its own: else the loader draws its seed from the stream that dropout uses.
    generator = torch.Generator()
    return DataLoader(
        _AsRead(batches), batch_size=None, sampler=numbers, num_workers=workers, generator=generator,
        collate_fn=_unchanged, worker_init_fn=begin_worker,
    )  # fmt: skip


def _unchanged(item: T) -> T:
    """Leave a batch as it is: it is a whole one already."""
    return item


def _to(value: object, device: torch.device) -> object:
    return value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value


def _in_order(
    evaluation: EvaluationSet, found: dict[int, T], missing: dict[int, Unreadable]
) -> Translations[T]:
    """Put results into the order of the set; what is missing is named by the set's own ids."""
    # Shown another clip's frames, a clip is missing when that other clip cannot be read.
    unreadable = tuple(replace(missing[row], id=evaluation.ids[row]) for row in sorted(missing))
    if not found and unreadable:
        raise DataError(
            f"No clip can be read; the first: {unreadable[0]}\nRun: fla prepare ... --check decode"
        )
    rows = sorted(found)
    return Translations(
        ids=[evaluation.ids[row] for row in rows],
        references=[evaluation.references[row] for row in rows],
        languages=[evaluation.languages[row] for row in rows],
        hypotheses=[found[row] for row in rows],
        unreadable=unreadable,
    )
