"""The batches of a training split, formed once by what each clip takes of the language model."""

from typing import Any

from ..training.batches import BatchDataset, make_batches, padded_size
from .data import FeatureItems
from .model import StageTwoModel
from .positions import clip_positions


class TrainBatches(BatchDataset):
    """Batches within ``training.batch_clips`` and ``training.batch_tokens``, the same in every epoch.

    Attributes:
        sizes: positions of the language model in each batch, padding included.
        padding_share: of all positions computed on, those of padding.
    """

    def __init__(self, model: StageTwoModel, items: FeatureItems) -> None:
        """Form the batches of ``items``.

        Raises:
            DataError: a clip does not fit into the model's positions.
        """
        sides = clip_positions(model, items)
        training = model.config.training
        batches = make_batches(
            *sides, max_clips=training.batch_clips, max_steps=training.batch_tokens, seed=model.config.seed
        )
        super().__init__(items, batches, model.collate)
        self.sizes = [padded_size(batch, *sides) for batch in batches]
        self.padding_share = 1 - sum(map(sum, sides)) / sum(self.sizes)

    def describe(self) -> str:
        """Return how many batches there are, how large, and how much of them is padding."""
        return f"{len(self)} batches of up to {max(self.sizes)} tokens, {self.padding_share:.1%} padding"

    @property
    def largest(self) -> dict[str, Any]:
        """The batch of the most positions."""
        return self[self.sizes.index(max(self.sizes))]
