"""Frames in chunks: the memory of the backbone no longer grows with the number of frames.

Activation checkpointing (Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016): the backward
pass computes each chunk again. In training, BatchNorm normalises with the statistics of a chunk, as it does
with the statistics of a batch when batches are accumulated. Statistics over all chunks would need every layer
of every chunk at once, which is the memory that chunks save.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..training.batch_norm import batch_norms

Forward = Callable[[Tensor], Tensor]
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def in_chunks(forward: Forward, frames: Tensor, *, size: int | None, module: nn.Module) -> Tensor:
    """Apply ``forward`` to chunks of frames, with the activations of one chunk in memory.

    Chunk k of K holds the frames k, k + K, k + 2 K and so on. Each chunk has frames of every clip, so that
    the statistics of a chunk are close to the statistics of the batch.

    Shapes: N frames, F features.

    Args:
        forward: function of frames, row by row: (n, ...) -> (n, F).
        frames: all frames (N, ...).
        size: maximum number of frames of a chunk. None: one chunk.
        module: the module inside ``forward``. The running statistics of its BatchNorm layers move once for
            each chunk.

    Returns:
        Features (N, F), in the order of the frames.
    """
    count = _count(len(frames), size)
    if count == 1:
        return forward(frames)
    chunks = [frames[start::count] for start in range(count)]  # views: no frame is copied
    parts = [_checkpointed(forward, chunk, module=module) for chunk in chunks]
    features = parts[0].new_empty(len(frames), *parts[0].shape[1:])
    for start, part in enumerate(parts):
        features[start::count] = part
    return features


def chunk_size(frames: int, *, size: int | None) -> int:
    """Return the frames of the largest chunk. The chunks of a batch differ by one frame at most.

    >>> chunk_size(100, size=64), chunk_size(64, size=64), chunk_size(100, size=None)
    (50, 64, 100)
    """
    return -(-frames // _count(frames, size))


def _count(frames: int, size: int | None) -> int:
    return 1 if size is None else -(-frames // size)


def _checkpointed(forward: Forward, chunk: Tensor, *, module: nn.Module) -> Tensor:
    contexts = partial(_contexts, module)
    return checkpoint(forward, chunk, use_reentrant=False, context_fn=contexts)


def _contexts(module: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Return the contexts of the forward pass and of its repetition."""
    return nullcontext(), _spare_statistics(module)


@contextmanager
def _spare_statistics(module: nn.Module) -> Iterator[None]:
    """Let BatchNorm layers update other tensors in place of their running statistics."""
    # Layers without means and variances would keep fewer tensors, which checkpoint() refuses. In training no
    # result depends on them, so they need no values: on a GPU each copy would be a launch of its own.
    norms = [norm for norm in batch_norms(module) if norm.training]
    own = [(norm, name, getattr(norm, name)) for norm in norms for name in _STATISTICS]
    for norm, name, statistic in own:
        is_counter = name == "num_batches_tracked"
        setattr(norm, name, None if statistic is None or is_counter else torch.empty_like(statistic))
    try:
        yield
    finally:
        for norm, name, statistic in own:
            setattr(norm, name, statistic)
