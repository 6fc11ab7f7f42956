"""Counts of bytes on tensors without memory: kept for the backward pass, and alive without gradients."""

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle


class SavedBytes(saved_tensors_hooks):
    """Count the distinct storages kept by a forward pass for the backward pass.

    Attributes:
        storages: the storages by identity. Holding them keeps an identity from being used again.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        """Start at zero. ``known`` tensors, for example weights, are not counted."""
        # The tensor itself is passed on: a forward pass under the count is the real forward pass.
        super().__init__(self.keep, lambda tensor: tensor)
        self.storages: dict[int, Any] = {}
        self._known = {id(storage): storage for storage in (t.untyped_storage() for t in known)}

    def keep(self, tensor: Tensor) -> Tensor:
        """Count a tensor as kept, and return the tensor."""
        storage = tensor.untyped_storage()
        if id(storage) not in self._known:
            self.storages[id(storage)] = storage
        return tensor

    def watch(self, module: nn.Module) -> RemovableHandle:
        """Count the first input of ``module`` whenever the module runs."""
        return module.register_forward_pre_hook(self._note)

    def _note(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self.keep(args[0])

    @property
    def total(self) -> int:
        """Bytes of all storages."""
        return sum(storage.nbytes() for storage in self.storages.values())

    @property
    def largest(self) -> int:
        """Bytes of the largest storage."""
        return max((storage.nbytes() for storage in self.storages.values()), default=0)


class AliveBytes(TorchFunctionMode):
    """Count the storages alive at once in Python, for code without gradients.

    Attributes:
        peak: the largest number of bytes so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._tensors: dict[int, weakref.ref[Tensor]] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Any = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run ``func`` and count the result."""
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and not isinstance(result, nn.Parameter):
            # A weak reference lets Python free the tensor as without the count.
            self._tensors[id(result)] = weakref.ref(result)
            self.peak = max(self.peak, self._now())
        return result

    def _now(self) -> int:
        alive = {key: tensor for key, ref in self._tensors.items() if (tensor := ref()) is not None}
        self._tensors = {key: weakref.ref(tensor) for key, tensor in alive.items()}
        # Views share a storage, which must count once.
        storages = {id(s): s for s in (tensor.untyped_storage() for tensor in alive.values())}
        return sum(storage.nbytes() for storage in storages.values())
