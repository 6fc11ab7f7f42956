"""Evaluation by generation: translation of a set of clips, and scores of the sentences."""

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
from ..core.sample import DEFAULT_TASK, Task, Unreadable
from ..scoring import score
from ..scoring.task_scores import SCORERS, TaskScores
from .batches import BatchDataset, move_batch
from .config import DecodingConfig
from .model import TranslationModel
from .processes import begin_worker, gather_all
from .workers import prepare_item, worker_errors

T = TypeVar("T")
_REMEDY = "Run the same command again. A training goes on with --resume."
EXAMPLES = 3
"""Number of translations in the log at each evaluation."""
TASK_METRICS: dict[Task, tuple[str, str]] = {
    "recognise": ("wer", "exact_match"), "isolated": ("top1", "top1_per_class"),
}  # fmt: skip
METRICS = ("bleu1", "bleu2", "bleu3", "bleu4", "chrf", "rouge_l", "wer", "exact_match")


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """Clips to translate, with references. Item i of ``batches`` belongs to row i of each list."""

    batches: BatchDataset
    """Every clip exactly once."""
    ids: list[str]
    """Id of each clip."""
    references: list[str]
    """Sentence of each clip, as in the corpus."""
    languages: list[str]
    """Language of each reference."""
    tasks: list[Task]
    """Task of each clip."""


@dataclass(frozen=True, kw_only=True)
class Translations(Generic[T]):
    """Results for the readable clips, in the order of the set. Row i of each list belongs to one clip.

    Each clip of the set stands exactly once, either in ``ids`` or in ``unreadable``.
    """

    ids: list[str]
    references: list[str]
    languages: list[str]
    tasks: list[Task]
    hypotheses: list[T]
    unreadable: tuple[Unreadable, ...] = ()
    """Clips without a result."""

    def of_task(self, task: Task) -> "Translations[T]":
        """Return the results of one task."""
        rows = [row for row, own in enumerate(self.tasks) if own == task]
        return Translations(
            ids=[self.ids[row] for row in rows],
            references=[self.references[row] for row in rows],
            languages=[self.languages[row] for row in rows],
            tasks=[task] * len(rows),
            hypotheses=[self.hypotheses[row] for row in rows],
        )


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
    """Return a sentence for every readable clip.

    Under ``torchrun`` each process translates a share of the clips, and every process gets all results.

    Args:
        model: the model, on ``device``. Its training mode is restored at the end.
        evaluation: the clips.
        decoding: settings of the search.
        device: device of the batches.
        dtype: number format of the computation.
        desc: label of the progress bar. None: no bar.
        workers: number of processes that prepare batches.

    Raises:
        DataError: no clip can be read, or a process that prepares batches ended early.
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
    """Return the result of ``translate`` for every readable clip, like :func:`predict`.

    Args:
        model: the model, which is in eval mode during the call.
        evaluation: the clips.
        translate: function from a batch on ``device`` to one result per clip.
        device: device of the batches.
        dtype: number format of the computation.
        desc: label of the progress bar. None: no bar.
        workers: number of processes that prepare batches.

    Raises:
        DataError: no clip can be read, or a process that prepares batches ended early.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    mine = list(range(rank, len(evaluation.batches), world))
    batches = _loader(evaluation.batches, mine, workers)
    if desc is not None and rank == 0:
        batches = progress(batches, desc=desc, total=len(mine), unit="batch")
    # Training goes on after an evaluation: the mode is restored below.
    was_training = model.training
    model.eval()
    mixed = torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)
    found: dict[int, T] = {}
    missing: dict[int, Unreadable] = {}
    with worker_errors(remedy=_REMEDY), torch.no_grad(), mixed:
        for number, (batch, unreadable) in zip(mine, batches, strict=True):
            missing |= unreadable
            if batch is not None:
                rows = [row for row in evaluation.batches.batches[number] if row not in unreadable]
                found.update(zip(rows, translate(move_batch(batch, device)), strict=True))
    model.train(was_training)
    return _in_order(evaluation, dict(gather_all([*found.items()])), dict(gather_all([*missing.items()])))


def mean_scores(translations: Translations[str]) -> dict[str, float]:
    """Return the scores of dev in percent, unrounded.

    Translations have the scores ``METRICS``, averaged over languages by number of clips. Names of other
    scores begin with the task: ``recognise/wer`` and ``recognise/exact_match``, ``isolated/top1`` and
    ``isolated/top1_per_class``. A task without clips has no scores.
    """
    translated = translations.of_task(DEFAULT_TASK)
    found = _mean_of_languages(translated) if translated.ids else {}
    for task, scores in score_tasks(translations).items():
        found |= {f"{task}/{metric}": getattr(scores, metric) for metric in TASK_METRICS[task]}
    return found


def score_tasks(translations: Translations[str]) -> dict[Task, TaskScores]:
    """Return the scores of each task other than ``translate`` that has clips."""
    parts: dict[Task, Translations[str]] = {task: translations.of_task(task) for task in SCORERS}
    return {task: SCORERS[task](part.hypotheses, part.references) for task, part in parts.items() if part.ids}


def _mean_of_languages(translations: Translations[str]) -> dict[str, float]:
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


def first_examples(translations: Translations[str]) -> list[dict[str, str]]:
    """Return the first translations with their references, for the log."""
    columns = (translations.ids, translations.references, translations.hypotheses)
    keys = ("id", "reference", "hypothesis")
    return [dict(zip(keys, row, strict=True)) for row in list(zip(*columns, strict=True))[:EXAMPLES]]


def write_predictions(
    path: Path, translations: Translations[str], *, n_best: Sequence[list[dict[str, Any]]] | None = None
) -> None:
    """Write a JSON object per clip: id, prediction, reference, language and, if given, ``n_best``.

    A file with a clip that is no translation also states the task of each clip.
    """
    columns = (translations.ids, translations.hypotheses, translations.references, translations.languages)
    keys = ("id", "prediction", "reference", "language")
    rows = [dict[str, Any](zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]
    if set(translations.tasks) != {DEFAULT_TASK}:
        rows = [row | {"task": task} for row, task in zip(rows, translations.tasks, strict=True)]
    if n_best is not None:
        rows = [row | {"n_best": found} for row, found in zip(rows, n_best, strict=True)]
    write_jsonl(path, rows)


class _ReadableBatches(Dataset[Any]):
    """Dataset of batches with their unreadable clips. No other batch replaces an empty batch."""

    def __init__(self, batches: BatchDataset) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[dict[str, Any] | None, dict[int, Unreadable]]:
        return prepare_item(lambda: self._batches.read(index))


def _loader(batches: BatchDataset, numbers: list[int], workers: int) -> Iterable[Any]:
    # With its own generator, the loader takes no number from the stream of random numbers of dropout.
    generator = torch.Generator()
    return DataLoader(
        _ReadableBatches(batches), batch_size=None, sampler=numbers, num_workers=workers, generator=generator,
        collate_fn=_unchanged, worker_init_fn=begin_worker,
    )  # fmt: skip


def _unchanged(item: T) -> T:
    """Return the batch, which is collated already."""
    return item


def _in_order(
    evaluation: EvaluationSet, found: dict[int, T], missing: dict[int, Unreadable]
) -> Translations[T]:
    """Return the results in the order of the set."""
    # With shuffled features a clip shows another clip's frames. The error names the clip of this row.
    unreadable = tuple(replace(missing[row], id=evaluation.ids[row]) for row in sorted(missing))
    if not found and unreadable:
        raise DataError(
            f"No clip can be read. The first: {unreadable[0]}\nRun: fla prepare ... --check decode"
        )
    rows = sorted(found)
    return Translations(
        ids=[evaluation.ids[row] for row in rows],
        references=[evaluation.references[row] for row in rows],
        languages=[evaluation.languages[row] for row in rows],
        tasks=[evaluation.tasks[row] for row in rows],
        hypotheses=[found[row] for row in rows],
        unreadable=unreadable,
    )
