"""The way of batches to the device that encodes them, and of features back.

On CUDA the way there has a stream of its own: while the encoder computes on one batch, the next is packed
into pinned memory and copied. Elsewhere a batch is simply handed over.
"""

import torch
from torch import Tensor

from .packing import blank_frames


class Lane:
    """Hands batches over and takes features back, one after the other."""

    runs_ahead = False
    """Whether a batch's features should be waited for only when the next batch is under way."""

    def __init__(self, *, num_frames: int, size: int, device: torch.device) -> None:
        """Serve batches (``num_frames``, 3, ``size``, ``size``), uint8, on their way to ``device``."""
        self._num_frames, self._size, self._device = num_frames, size, device

    def new_batch(self) -> Tensor:
        """Return a batch to fill."""
        return blank_frames(self._num_frames, self._size)

    def send(self, batch: Tensor) -> Tensor:
        """Return the batch on the device."""
        return batch.to(self._device)

    def fetch(self, features: Tensor) -> Tensor:
        """Return features on the CPU; after :meth:`arrival` has come, where that is an event."""
        return features.cpu()

    def arrival(self) -> torch.cuda.Event | None:
        """Return an event that comes when all that was fetched so far is there; None: it is there."""
        return None


class CudaLane(Lane):
    """Two pinned batches, filled in turn, and a stream that copies them while the encoder computes."""

    runs_ahead = True

    def __init__(self, *, num_frames: int, size: int, device: torch.device) -> None:
        """Allocate both batches; see :class:`Lane`."""
        super().__init__(num_frames=num_frames, size=size, device=device)
        self._batches = [blank_frames(num_frames, size, pin=True) for _ in range(2)]
        self._copied = [torch.cuda.Event() for _ in self._batches]
        self._stream = torch.cuda.Stream(device)
        self._turn = 0

    def new_batch(self) -> Tensor:
        """Return the batch whose turn it is, once its last copy is over."""
        self._turn = 1 - self._turn
        self._copied[self._turn].synchronize()  # returns at once where nothing was copied yet
        return self._batches[self._turn]

    def send(self, batch: Tensor) -> Tensor:
        """Return the batch on the device, copied when the encoder comes to read it."""
        encoding = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._stream):
            there = batch.to(self._device, non_blocking=True)
            self._copied[self._turn].record(self._stream)
        encoding.wait_stream(self._stream)
        there.record_stream(encoding)  # so that its memory is not given away while the encoder reads it
        return there

    def fetch(self, features: Tensor) -> Tensor:
        """Return features on their way to pinned memory; see :meth:`Lane.fetch`."""
        return features.to("cpu", non_blocking=True)

    def arrival(self) -> torch.cuda.Event:
        """Return an event behind everything the encoder's stream was given so far."""
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self._device))
        return event


def lane_to(device: torch.device, *, num_frames: int, size: int) -> Lane:
    """Return the way of batches to ``device``."""
    kind = CudaLane if device.type == "cuda" else Lane
    return kind(num_frames=num_frames, size=size, device=device)
