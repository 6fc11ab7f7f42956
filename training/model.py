"""What the engine asks of a model: a loss, translations, parameter groups, and what to keep of it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ..core.errors import ModelError
from .config import DecodingConfig

IGNORED = -100
"""Label of positions that are not trained on: what lies past a sentence's end."""


class TranslationModel(nn.Module, ABC):
    """A model that turns a batch of signing into sentences.

    Letters: B clips, L tokens (padded).

    Attributes:
        unit: what the size of a batch is counted in; the setting ``training.batch_<unit>`` bounds it.
    """

    unit: ClassVar[Literal["steps", "tokens"]]

    accepts_loss_kwargs = (
        True  # else transformers' Trainer does not normalise accumulation by tokens, silently
    )

    @abstractmethod
    def forward(
        self, *, labels: Tensor, num_items_in_batch: Tensor | int | None = None, **inputs: Any
    ) -> dict[str, Tensor]:
        """Return ``{"loss": ...}``, the cross-entropy summed over valid labels and divided by a count.

        Args:
            labels: token ids (B, L), :data:`IGNORED` past the end.
            num_items_in_batch: what to divide by, the valid labels of all batches of one step (and of all
                processes); None divides by this batch's own.
            inputs: what else the collate function made.
        """

    @abstractmethod
    def translate(self, batch: Mapping[str, Any], decoding: DecodingConfig) -> list[str]:
        """Return a sentence for each clip of a batch made by the collate function; its labels are not read.

        The caller has put the model into eval mode and switched gradients off.
        """

    @abstractmethod
    def padded_size(self, batch: Mapping[str, Any]) -> int:
        """Return the size of a batch made by the collate function, in :attr:`unit`, padding included."""

    def halve(self, batch: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return two parts of a batch whose gradients add up to the whole's.

        None where there are none: of a single clip, or where clips of a batch have a say in one another.
        """
        del batch

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return groups: ``name``, ``params``, where wanted ``lr`` or ``lr_scale``, and ``weight_decay``.

        ``lr_scale`` multiplies the configured rate, ``lr`` replaces it. The engine itself takes the decay off
        vectors (norms and biases) and leaves out what needs no gradient.
        """
        return [{"name": "model", "params": list(self.parameters())}]

    def checkpoint_state(self) -> dict[str, Tensor]:
        """Return what training changes, by name: trained parameters (tied ones once), kept buffers."""
        return dict(_trained_tensors(self))

    def load_checkpoint_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`checkpoint_state` gave.

        Raises:
            ModelError: names or shapes differ; it names the first.
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
    for name, parameter in model.named_parameters():  # gives a tied parameter once
        if parameter.requires_grad:
            yield name, parameter.detach()
    for prefix, module in model.named_modules():
        for name, buffer in module.named_buffers(prefix, recurse=False):
            if name.rpartition(".")[2] not in module._non_persistent_buffers_set:
                yield name, buffer.detach()


def _shape(tensor: Tensor | None) -> str:
    return "nothing" if tensor is None else f"{tuple(tensor.shape)}"
