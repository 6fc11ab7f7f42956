"""Interface of a model for the training engine: loss, translations, parameter groups, state."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ..core.errors import ModelError
from .config import DecodingConfig

IGNORED = -100
"""Label of positions without a loss: those after the end of a sentence."""


class TranslationModel(nn.Module, ABC):
    """Model from a batch of signing to sentences.

    Letters: B clips, L tokens (padded).

    Attributes:
        unit: unit of the size of a batch. The setting ``training.batch_<unit>`` limits the size.
    """

    unit: ClassVar[Literal["steps", "tokens"]]

    # Without this flag, the Trainer silently ignores the token counts of accumulated batches.
    accepts_loss_kwargs = True

    @abstractmethod
    def forward(
        self, *, labels: Tensor, num_items_in_batch: Tensor | int | None = None, **inputs: Any
    ) -> dict[str, Tensor]:
        """Return ``{"loss": ...}``, the sum of the cross-entropy over valid labels, divided by a count.

        Args:
            labels: token ids (B, L), :data:`IGNORED` after the end.
            num_items_in_batch: divisor, the number of valid labels in all batches of a step, over all
                processes. None: the number of valid labels in this batch.
            inputs: the rest of the collated batch.
        """

    @abstractmethod
    def translate(self, batch: Mapping[str, Any], decoding: DecodingConfig) -> list[str]:
        """Return a sentence for each clip of a collated batch, without reading the labels.

        The caller sets eval mode and switches gradients off.
        """

    @abstractmethod
    def padded_size(self, batch: Mapping[str, Any]) -> int:
        """Return the size of a collated batch in :attr:`unit`, padding included."""

    def halve(self, batch: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return two parts of a batch whose gradients sum to the gradient of the batch.

        Only BatchNorm may see a difference: a part is normalised with the statistics of the part. None: the
        batch has one clip, or the loss of a clip depends on the other clips.
        """
        del batch

    @property
    def memory_remedy(self) -> str:
        """Settings that lower the memory of a batch, for an error."""
        return f"Set a smaller training.batch_{self.unit}, or training.batch_clips."

    @property
    def waiting_remedy(self) -> str:
        """Settings that shorten the waiting for batches, for advice."""
        return "Set more training.workers."

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return groups: ``name``, ``params``, and optionally ``lr`` or ``lr_scale``, and ``weight_decay``.

        ``lr_scale`` multiplies the configured rate, ``lr`` replaces the rate. The engine sets the decay of
        vectors (norms and biases) to 0, and skips parameters without a gradient.
        """
        return [{"name": "model", "params": list(self.parameters())}]

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """Return the trained parameters by part, for the norms in the log."""
        found: dict[str, list[nn.Parameter]] = {}
        for group in self.parameter_groups():
            trained = [parameter for parameter in group["params"] if parameter.requires_grad]
            found[group["name"]] = found.get(group["name"], []) + trained
        return {name: part for name, part in found.items() if part}

    def count_work(self, batch: Mapping[str, Any]) -> dict[str, int]:
        """Return the work in a batch, for the speed in the log. Must not wait for the device."""
        return {"clips": len(batch["labels"])}

    def checkpoint_state(self) -> dict[str, Tensor]:
        """Return the tensors that training changes, by name: parameters and persistent buffers."""
        return dict(_trained_tensors(self))

    def load_checkpoint_state(self, state: Mapping[str, Tensor]) -> None:
        """Load the result of :meth:`checkpoint_state`.

        Raises:
            ModelError: a name or a shape differs. The error names the first difference.
        """
        own = self.checkpoint_state()
        for name in sorted(own.keys() | state.keys()):
            have, given = own.get(name), state.get(name)
            if have is None or given is None or have.shape != given.shape:
                raise ModelError(
                    f"A checkpoint must hold {name} as {_shape(have)}, but holds {_shape(given)}: "
                    "it was made with other settings."
                )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(state[name])


def _trained_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in model.named_parameters():  # yields a tied parameter once
        if parameter.requires_grad:
            yield name, parameter.detach()
    for prefix, module in model.named_modules():
        for name, buffer in module.named_buffers(prefix, recurse=False):
            if name.rpartition(".")[2] not in module._non_persistent_buffers_set:
                yield name, buffer.detach()


def _shape(tensor: Tensor | None) -> str:
    return "nothing" if tensor is None else f"{tuple(tensor.shape)}"
