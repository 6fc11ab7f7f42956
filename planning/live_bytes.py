"""Counting the bytes that tensors hold, without holding them.

The one file that takes what torch keeps for itself: tensors on its public meta device have shapes too, but no
autocast, and take other ways than a CPU's through attention; fake tensors behave as a CPU's do.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DependsOnNumbers = DataDependentOutputException
"""Raised where shapes alone are not enough to go on."""
GRAIN = 512  # CUDA's allocator hands out multiples of so many bytes


class LiveBytes(TorchDispatchMode):
    """Adds up the storages that operations make, for as long as anything holds them.

    Whatever keeps a tensor is seen: autograd's saved tensors, checkpoints, gradients, local variables. Seen
    are the operations as torch dispatches them; what one kernel takes for itself inside is not.

    Attributes:
        peak: most bytes at one time since the start or the last :meth:`restart`.
    """

    def __init__(self, known: Sequence[Tensor] = ()) -> None:
        """Start counting; ``known`` were there before and are not counted, nor are views of them."""
        super().__init__()
        self._known = {tensor.untyped_storage()._cdata for tensor in known}
        self._live: dict[int, tuple[StorageWeakRef, int]] = {}
        self._bound = 0  # no less than what is live
        self.peak = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Any = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run ``func`` and note what it made."""
        result = func(*args, **(kwargs or {}))
        for tensor in (result,) if isinstance(result, Tensor) else tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._note(tensor.untyped_storage())
        if self._bound > self.peak:  # else nothing can have risen above it
            self.peak = max(self.peak, self.now())
        return result

    def now(self) -> int:
        """Return the bytes held at this moment."""
        self._live = {key: entry for key, entry in self._live.items() if not entry[0].expired()}
        self._bound = sum(size for _, size in self._live.values())
        return self._bound

    def restart(self) -> None:
        """Forget the peak so far."""
        self.peak = self.now()

    def _note(self, storage: Any) -> None:
        key = storage._cdata
        if key not in self._known and key not in self._live:
            size = -(-storage.nbytes() // GRAIN) * GRAIN
            self._live[key] = (StorageWeakRef(storage), size)
            self._bound += size


@contextmanager
def shapes_only() -> Iterator[None]:
    """Give every tensor made inside its shape, format and place in autograd, but no memory."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def without_memory(model: nn.Module) -> nn.Module:
    """Put a model from the meta device where the CPU's rules hold; call it inside :func:`shapes_only`."""
    made: dict[int, nn.Parameter] = {}  # tied weights stay tied
    for module in model.modules():
        for name, old in list(module._parameters.items()):
            if old is not None:
                new = nn.Parameter(torch.empty(old.shape, dtype=old.dtype), requires_grad=old.requires_grad)
                module._parameters[name] = made.setdefault(id(old), new)
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)
    return model
