"""Batches of a split, formed once by the language model positions of each clip."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from ..training.batches import BatchDataset, make_batches, padded_size
from ..training.evaluation import EvaluationSet
from .collate import collate
from .data import FeatureItems, ShuffledFeatures
from .model import StageTwoModel
from .positions import SOURCE, check_positions, clip_positions, source_positions
from .task_passes import TaskPasses


class TrainBatches(BatchDataset):
    """Batches within ``training.batch_clips`` and ``training.batch_tokens``, the same in every epoch.

    Attributes:
        sizes: positions of the language model in each batch, padding included.
        padding_share: share of padding in all computed positions.
    """

    def __init__(self, model: StageTwoModel, items: FeatureItems) -> None:
        """Form the batches of ``items``.

        Raises:
            DataError: a clip does not fit into the model's positions.
        """
        training = model.config.training
        clips = TaskPasses(items, training.passes_by_task, seed=model.config.seed)
        sides = [clips.longest(side) for side in clip_positions(model, items)]
        batches = make_batches(
            *sides, max_clips=training.batch_clips, max_steps=training.batch_tokens, seed=model.config.seed
        )
        super().__init__(clips, batches, partial(collate, codec=model.codec))
        # Sizes are known before any clip is read: a dry run tries the largest batch.
        self.sizes = [padded_size(batch, *sides) for batch in batches]
        self.padding_share = 1 - sum(map(sum, sides)) / sum(self.sizes)

    def describe(self) -> str:
        """Return the number of batches, the largest size, and the share of padding."""
        return f"{len(self)} batches of up to {max(self.sizes)} tokens, {self.padding_share:.1%} padding"

    @property
    def largest(self) -> dict[str, Any]:
        """The batch of the most positions."""
        return self[self.sizes.index(max(self.sizes))]


def feature_evaluation_set(
    items: FeatureItems,
    *,
    model: StageTwoModel,
    max_clips: int,
    max_tokens: int,
    order: Sequence[int] | None = None,
) -> EvaluationSet:
    """Return the evaluation set of ``predict`` for ``items``.

    Batches depend on ids and on the lengths of features and prompt, but neither on the order of the clips nor
    on reference sentences.

    Args:
        items: clips of a split.
        model: model of the translation.
        max_clips: largest number of clips in a batch.
        max_tokens: largest number of feature and prompt positions in a batch, padding included.
        order: clip i gets the features of clip ``order[i]``. None keeps the features of each clip.

    Raises:
        DataError: a clip does not fit into the model's positions.
    """
    given = items if order is None else ShuffledFeatures(items, order)
    sources = source_positions(model, given.stream_lengths, languages=items.languages, tasks=items.tasks)
    check_positions(model, sources, ids=items.ids, steps=items.lengths, what=SOURCE)
    # In bf16 and in 4 bits the batch may decide between two sentences: a rerun must form the same batches.
    by_id = sorted(range(len(items)), key=items.ids.__getitem__)
    # The seed of the run must not matter: the same weights give the same sentences.
    formed = make_batches([sources[i] for i in by_id], max_clips=max_clips, max_steps=max_tokens, seed=0)
    batches = [[by_id[i] for i in batch] for batch in formed]
    return EvaluationSet(
        batches=BatchDataset(given, batches, partial(collate, codec=model.codec)),
        ids=items.ids,
        references=items.texts,
        languages=items.languages,
        tasks=items.tasks,
    )
