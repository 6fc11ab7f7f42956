"""Encoding of clips, the same for extraction and translation.

The encoder always gets the same number of units (frames, or windows of frames) at a time, so that the
features of a clip do not depend on the clips beside it. Clips straddle batches, and the last batch is filled
up with zeros. The temporal module gets one clip at a time, at its own length.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..core.errors import ConfigError, DataError
from .frozen import FrozenEncoder
from .packing import BatchPacker, UnitSpan
from .prefetch import Prefetcher, Transfer

K = TypeVar("K")
Level = Literal["sign", "frame"]
FLOAT16_MAX = 65504.0
"""Largest finite number of float16 (IEEE 754)."""


def encode(
    encoder: FrozenEncoder, clips: Iterable[tuple[K, np.ndarray]], **settings: Any
) -> Iterator[tuple[K, np.ndarray]]:
    """Yield the keys and features (T, D), float16, of clips, in order.

    Args:
        encoder: the frozen encoder.
        clips: keys and frames, as :meth:`BatchEncoder.add` takes them.
        settings: the keyword arguments of :class:`BatchEncoder`.

    Raises:
        ConfigError: as :class:`BatchEncoder`.
        ModelError: as :class:`BatchEncoder`.
        DataError: as :meth:`BatchEncoder.add`.
        ValueError: as :class:`BatchEncoder` and :meth:`BatchEncoder.add`.
    """
    batches: BatchEncoder[K] = batch_encoder(encoder, **settings)
    for key, frames in clips:
        yield from batches.add(key, frames)
    yield from batches.finish()


def batch_encoder(encoder: FrozenEncoder, **settings: Any) -> "BatchEncoder[Any]":
    """Return the :class:`BatchEncoder` for the files that the encoder reads."""
    kinds = {"video": BatchEncoder, "poses": WholeClips, "descriptions": TextBatches}
    return kinds[encoder.config.medium](encoder, **settings)


class BatchEncoder(Generic[K]):
    """Encodes clips in batches of one size; features come once the last batch of a clip was encoded.

    ::

        batches = BatchEncoder(encoder, frame_batch=32, level="sign", device=device, dtype=torch.float32)
        for key, frames in clips:
            for done, features in batches.add(key, frames):
                ...
        for done, features in batches.finish():
            ...
    """

    def __init__(
        self,
        encoder: FrozenEncoder,
        *,
        frame_batch: int,
        level: Level,
        device: torch.device,
        dtype: torch.dtype,
        filled: int = 0,
        compile: bool = False,
    ) -> None:
        """Move the encoder to ``device``, in evaluation mode.

        Args:
            encoder: the frozen encoder.
            frame_batch: frames that the encoder gets at a time, which decides the last bits of a feature. For
                a clip encoder rounded down to whole windows.
            level: features after the temporal module ("sign") or before it ("frame").
            device: where to compute.
            dtype: number format to compute in; below float32 under autocast.
            filled: units of the first batch that an earlier run has encoded. Zeros take their place, so that
                later units lie where they would have lain in one run.
            compile: compile the forward pass on the first batch; the last bits may change.

        Raises:
            ConfigError: a CUDA device has too little memory for ``frame_batch``, or a window has more frames.
            ModelError: the level is "sign" and the encoder has no temporal module.
            ValueError: ``frame_batch`` is below 1, or ``filled`` leaves no room in a batch.
        """
        if level == "sign":
            encoder.require_temporal()
        self._encoder, self._frame_batch, self._level = encoder, frame_batch, level
        self._device, self._dtype = device, dtype
        self._forward = torch.compile(encoder.unit_features) if compile else encoder.unit_features
        size, windows = encoder.config.image_size, encoder.windows
        # Allocation is where a device without room fails first.
        kind = Prefetcher if device.type == "cuda" else Transfer
        with _memory_for(frame_batch, device):
            encoder.prepare(device)
            num_frames = windows.per_batch(frame_batch) * windows.frames
            self._transfer = kind(num_frames=num_frames, size=size, device=device)
            self._packer = BatchPacker[K](
                size=size, frame_batch=frame_batch, windows=windows, filled=filled,
                new_batch=self._transfer.new_batch,
            )  # fmt: skip
        self._skipped = filled
        self._pieces: list[Tensor] = []  # features of the clip that straddles into the next batch
        self._under_way: list[_Completed[K]] = []  # clips of the last batch, where the transfer runs ahead

    def add(self, key: K, frames: np.ndarray) -> Iterator[tuple[K, np.ndarray]]:
        """Pack a clip, encode each batch that becomes full, and yield the clips that are then complete.

        On CUDA the clips of a batch come after the next batch was sent.

        Args:
            key: the clip's key.
            frames: the clip (T, S, S, 3), uint8, S at least the encoder's image size: the centre is taken.

        Yields:
            Keys and features (T, D), float16, in the order in which clips were added.

        Raises:
            DataError: the features of a clip are not finite, or too large for float16; it names the clip.
            ConfigError: a CUDA device has too little memory for ``frame_batch``.
            ValueError: the clip has no frames, or frames that are too small.
        """
        for batch, spans in self._packer.add(key, frames):
            yield from self._run_batch(batch, spans)

    def finish(self) -> Iterator[tuple[K, np.ndarray]]:
        """Encode the last batch and yield the remaining clips (see :meth:`add`)."""
        for batch, spans in self._packer.finish():
            yield from self._run_batch(batch, spans)
        for clip in self._under_way:
            yield clip.result()

    @torch.no_grad()
    def _run_batch(self, batch: Tensor, spans: list[UnitSpan[K]]) -> list[tuple[K, np.ndarray]]:
        transfer = self._transfer
        with _memory_for(self._frame_batch, self._device):
            features = self.run_forward(transfer.send(batch))[self._skipped :]
            completed = list[_Completed[K]]()
            for key, units in self._split(features, spans):
                kept, largest = self.finalize(units)
                completed.append(_Completed(key, transfer.fetch(kept), transfer.fetch(largest)))
            arrival = transfer.arrival()
        self._skipped = 0
        # One event behind the copies of all clips, instead of an event for each.
        for clip in completed:
            clip.arrival = arrival
        if transfer.runs_ahead:  # the device is busy with this batch: take the clips of the one before
            completed, self._under_way = self._under_way, completed
        return [clip.result() for clip in completed]

    def _split(self, features: Tensor, spans: list[UnitSpan[K]]) -> Iterator[tuple[K, Tensor]]:
        """Yield the clips that end in this batch. Keep the features of a clip that continues."""
        start = 0
        for span in spans:
            self._pieces.append(features[start : start + span.count])
            start += span.count
            if span.is_last:
                yield span.key, torch.cat(self._pieces)
                self._pieces.clear()

    @torch.no_grad()
    def run_forward(self, frames: Tensor) -> Tensor:
        """Return a feature for each unit of a batch on the device: (N, 3, S, S) uint8 -> (U, F)."""
        # benchmark=True would let the clock choose among kernels that differ in their last bits.
        with (
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
            torch.autocast(frames.device.type, dtype=self._dtype, enabled=self._dtype != torch.float32),
        ):
            return self._forward(frames)

    @torch.no_grad()
    def finalize(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the temporal module and convert to float16: (T, F) -> (T, D), and the largest magnitude."""
        if self._level == "sign":
            with torch.autocast(
                features.device.type, dtype=self._dtype, enabled=self._dtype != torch.float32
            ):
                features = self._encoder.sign_features(features)
        # Magnitude: values below -65504 become -inf in float16 just as large ones become inf.
        return features.to(torch.float16), features.abs().max()


class WholeClips(BatchEncoder[K]):
    """Encodes one clip of key points at a time: a clip is small, and its frames depend on one another."""

    def __init__(
        self, encoder: FrozenEncoder, *, level: Level, device: torch.device, dtype: torch.dtype, **_: Any
    ) -> None:
        """Move the encoder to ``device``. Settings of batches have no meaning here."""
        if level == "sign":
            encoder.require_temporal()
        self._encoder, self._level, self._device, self._dtype = encoder, level, device, dtype
        encoder.prepare(device)

    @torch.no_grad()
    def add(self, key: K, frames: np.ndarray) -> Iterator[tuple[K, np.ndarray]]:
        """Encode a clip (T, 69, 3), float32, and yield the key and the features (T, D), float16.

        Raises:
            DataError: the features are not finite, or too large for float16.
            ConfigError: a CUDA device has too little memory for the clip.
        """
        if len(frames) == 0:
            raise ValueError(f"clip {key!r} must have frames, but has none.")
        with _memory_for(len(frames), self._device):
            units = self._encoder.unit_features(torch.from_numpy(frames).to(self._device))
            kept, largest = self.finalize(units)
        yield _Completed(key, kept.cpu(), largest).result()

    def finish(self) -> Iterator[tuple[K, np.ndarray]]:
        """Yield nothing: each clip came at once."""
        return iter(())


class TextBatches(WholeClips[K]):
    """Encodes one clip of texts at a time, ``frame_batch`` texts in a batch."""

    def __init__(self, encoder: FrozenEncoder, *, frame_batch: int, **settings: Any) -> None:
        """Move the encoder to the device. The other settings are those of :class:`WholeClips`."""
        super().__init__(encoder, **settings)
        self._frame_batch, self._forward = frame_batch, encoder.unit_features

    @torch.no_grad()
    def add(self, key: K, frames: np.ndarray) -> Iterator[tuple[K, np.ndarray]]:
        """Encode the token ids (T, L) of a clip and yield the key and the features (T, D), float16.

        Raises:
            DataError: the features are not finite, or too large for float16.
            ConfigError: a CUDA device has too little memory for ``frame_batch``.
        """
        with _memory_for(self._frame_batch, self._device):
            batches = torch.from_numpy(frames).split(self._frame_batch)
            units = torch.cat([self.run_forward(batch.to(self._device)) for batch in batches])
            kept, largest = self.finalize(units)
        yield _Completed(key, kept.cpu(), largest).result()


@dataclass
class _Completed(Generic[K]):
    """Features of a completed clip, on the way to the CPU."""

    key: K
    features: Tensor
    largest: Tensor
    arrival: torch.cuda.Event | None = None

    def result(self) -> tuple[K, np.ndarray]:
        """Wait for the features, check the range of float16, and return the key and the features."""
        if self.arrival is not None:
            self.arrival.synchronize()
        largest = self.largest.item()  # NaN if any feature is
        if not largest <= FLOAT16_MAX:
            raise DataError(
                f"clip {self.key!r} must give features of at most {FLOAT16_MAX:.0f}, "
                f"but the largest is {largest}."
            )
        return self.key, self.features.numpy()


@contextmanager
def _memory_for(frame_batch: int, device: torch.device) -> Iterator[None]:
    """Turn torch's OutOfMemoryError into a ConfigError with a remedy."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            f"frame_batch must fit the memory of {device}, but is {frame_batch}: "
            f"{str(error).partition('. ')[0]}.\n"
            f"Set a smaller one, such as --set frame_batch={max(1, frame_batch // 2)}: "
            "unfinished shards then start again.\n"
            "With the same one, once there is room, they continue."
        ) from error
