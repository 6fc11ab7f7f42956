"""Transfer of batches to the encoder's device, and of features back to the CPU.

On CUDA the next batch is packed and copied while the encoder computes. Elsewhere nothing runs ahead.
"""

import torch
from torch import Tensor

from .packing import blank_frames


class Transfer:
    """Transfer without prefetching: a batch is copied when the encoder needs the batch."""

    runs_ahead = False
    """Whether the caller should wait for the features of a batch only after the next batch was sent."""

    def __init__(self, *, num_frames: int, size: int, device: torch.device) -> None:
        """Transfer batches (``num_frames``, 3, ``size``, ``size``), uint8, to ``device``."""
        self._num_frames, self._size, self._device = num_frames, size, device

    def new_batch(self) -> Tensor:
        """Return a batch to fill."""
        return blank_frames(self._num_frames, self._size)

    def send(self, batch: Tensor) -> Tensor:
        """Return the batch on the device."""
        return batch.to(self._device)

    def fetch(self, features: Tensor) -> Tensor:
        """Return features on the CPU. Their values are valid once the next :meth:`arrival` has come."""
        return features.cpu()

    def arrival(self) -> torch.cuda.Event | None:
        """Return an event for the arrival of all features fetched so far. None: the features have arrived."""
        return None


class Prefetcher(Transfer):
    """Transfer with prefetching on CUDA: two pinned batches in turn, and a separate copy stream."""

    runs_ahead = True

    def __init__(self, *, num_frames: int, size: int, device: torch.device) -> None:
        """Allocate both batches (see :class:`Transfer`)."""
        super().__init__(num_frames=num_frames, size=size, device=device)
        self._batches = [blank_frames(num_frames, size, pin=True) for _ in range(2)]
        self._copied = [torch.cuda.Event() for _ in self._batches]
        self._stream = torch.cuda.Stream(device)
        self._turn = 0

    def new_batch(self) -> Tensor:
        """Return the batch whose turn has come, after its last copy has ended."""
        self._turn = 1 - self._turn
        self._copied[self._turn].synchronize()  # returns at once before the first copy
        return self._batches[self._turn]

    def send(self, batch: Tensor) -> Tensor:
        """Return the batch on the device. The copy ends before the encoder reads the batch."""
        encoding = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._stream):
            there = batch.to(self._device, non_blocking=True)
            self._copied[self._turn].record(self._stream)
        encoding.wait_stream(self._stream)
        there.record_stream(encoding)  # else its memory could be given away while the encoder reads
        return there

    def fetch(self, features: Tensor) -> Tensor:
        """Start the copy of features to pinned memory (see :meth:`Transfer.fetch`)."""
        return features.to("cpu", non_blocking=True)

    def arrival(self) -> torch.cuda.Event:
        """Return an event behind all work that the encoder's stream was given so far."""
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self._device))
        return event
