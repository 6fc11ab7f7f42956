"""Clips of stage one: choice of frames, augmentation, batches."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..core.errors import DataError
from ..core.sample import Sample, Unreadable
from ..core.seeds import derive_seed
from ..corpora.manifest import Manifest
from ..poses.augmentation import augment_poses
from ..training.batches import BatchDataset, make_batches
from ..training.evaluation import EvaluationSet
from ..training.model import IGNORED
from ..video.sampling import count_selected
from ..video.transforms import augment, centre_crop
from .config import PretrainConfig
from .frames import FrameStore
from .model import StageOneModel
from .poses import open_store
from .tokenizer import SentenceTokenizer


class TrainingClips:
    """Training clips: frames and token ids. All that is random is drawn from (seed, epoch, id)."""

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        store: FrameStore,
        tokenizer: SentenceTokenizer,
        config: PretrainConfig,
    ) -> None:
        """Take clips from ``store``.

        Raises:
            DataError: a sentence has more tokens than the translator has positions.
        """
        self.samples, self.store, self.config = samples, store, config
        # Lists, because each tensor would take a file descriptor on the way to a spawned worker.
        self.labels = [tokenizer.encode(sample.text) for sample in samples]
        for sample, labels in zip(samples, self.labels, strict=True):
            if len(labels) > config.translator.positions:
                raise DataError(
                    f"Sentence {sample.id!r} must have at most translator.positions "
                    f"({config.translator.positions}) tokens, but has {len(labels)}.\n"
                    "Raise translator.positions or tokenizer.vocab_size."
                )

    def __len__(self) -> int:
        """Return how many clips there are."""
        return len(self.samples)

    def get(self, index: int, epoch: int) -> dict[str, Any] | Unreadable:
        """Return ``frames`` and ``labels`` (L,), or the fault of an unreadable clip.

        Frames are (T, 3, S, S), or for an encoder of poses key points (T, 69, 3).
        """
        sample, encoder = self.samples[index], self.config.encoder
        phases = encoder.sampling.phases
        # A clip shows other frames in each epoch, and a resumed epoch shows the same frames again.
        phase = phases[derive_seed(self.config.seed, epoch, sample.id, "phase") % len(phases)]
        frames = _read(self.store, sample, phase=phase)
        if isinstance(frames, Unreadable):
            return frames
        seed = derive_seed(self.config.seed, epoch, sample.id, "augment")
        frames = drop_frames(frames, most=self.config.drop_frames, seed=seed)
        augmented = _augmented(frames, config=self.config, seed=seed)
        return {"frames": augmented, "labels": torch.tensor(self.labels[index])}


class EvaluationClips:
    """Clips at a fixed phase, cropped to the centre."""

    def __init__(
        self, samples: Sequence[Sample], *, store: FrameStore, image_size: int | None, phase: int = 0
    ) -> None:
        """Take clips from ``store``.

        Args:
            samples: the clips.
            store: their frames or key points.
            image_size: side in pixels of the crop. None: key points, which are not cropped.
            phase: first kept frame of each clip.
        """
        self.samples, self.store = samples, store
        self.image_size, self.phase = image_size, phase

    def __len__(self) -> int:
        """Return how many clips there are."""
        return len(self.samples)

    def get(self, index: int, epoch: int) -> dict[str, Any] | Unreadable:
        """Return ``frames``, equal in every epoch, or the fault of an unreadable clip."""
        frames = _read(self.store, self.samples[index], phase=self.phase)
        if isinstance(frames, Unreadable):
            return frames
        if self.image_size is None:
            return {"frames": torch.from_numpy(frames)}
        return {"frames": centre_crop(_channels_first(frames), size=self.image_size)}


def drop_frames(frames: np.ndarray, *, most: float, seed: int) -> np.ndarray:
    """Leave out a share of the frames, drawn from 0 to ``most``: (T, ...) -> (T', ...), T' at least 1."""
    draw = np.random.default_rng(seed)
    kept = math.ceil(len(frames) * (1 - draw.uniform(0, most)))
    if kept == len(frames):
        return frames  # without a copy
    return frames[np.sort(draw.permutation(len(frames))[:kept])]


def _augmented(frames: np.ndarray, *, config: PretrainConfig, seed: int) -> Tensor:
    """Return the augmented frames or key points of a clip."""
    if config.encoder.kind == "poses":
        return torch.from_numpy(augment_poses(frames, config=config.augment_poses, seed=seed))
    generator = torch.Generator().manual_seed(seed)
    size = config.encoder.image_size
    return augment(_channels_first(frames), size=size, config=config.augment, generator=generator)


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """Concatenate clips: ``frames`` (N, ...), ``lengths`` (B,) and, if known, ``labels`` (B, L)."""
    # Not padded: the backbone would compute padding frames as well.
    batch = {
        "frames": torch.cat([item["frames"] for item in items]),
        "lengths": torch.tensor([len(item["frames"]) for item in items]),
    }
    if "labels" in items[0]:
        labels = [item["labels"] for item in items]
        batch["labels"] = pad_sequence(labels, batch_first=True, padding_value=IGNORED)
    return batch


def training_batches(clips: TrainingClips) -> BatchDataset:
    """Return the batches of a training split."""
    training, sampling = clips.config.training, clips.config.encoder.sampling
    lengths = [
        count_selected(sample.num_frames, sampling=sampling, clip_fps=sample.fps) for sample in clips.samples
    ]
    batches = make_batches(
        lengths, max_clips=training.batch_clips, max_steps=training.batch_steps, seed=clips.config.seed
    )
    return BatchDataset(clips, batches, collate)


def clip_evaluation_set(
    manifest: Manifest,
    split: str,
    *,
    model: StageOneModel,
    phase: int = 0,
    order: Sequence[int] | None = None,
) -> EvaluationSet:
    """Return the evaluation set of a split for a stage-one model.

    Args:
        manifest: the clips.
        split: train, dev or test.
        model: the model, whose settings apply.
        phase: first kept frame of each clip, in 0..stride-1.
        order: clip i gets the frames of clip ``order[i]``. None: each clip gets its own frames.
    """
    store = open_store(manifest, model.config.encoder)
    return evaluation_set(manifest.split(split), store=store, config=model.config, phase=phase, order=order)


def evaluation_set(
    samples: Sequence[Sample],
    *,
    store: FrameStore,
    config: PretrainConfig,
    phase: int = 0,
    order: Sequence[int] | None = None,
) -> EvaluationSet:
    """Return the evaluation set of clips in a store, like :func:`clip_evaluation_set`."""
    # Ids and references stay with their clip: only the frames change places.
    shown = samples if order is None else [samples[other] for other in order]
    lengths = [
        count_selected(sample.num_frames, sampling=config.encoder.sampling, phase=phase, clip_fps=sample.fps)
        for sample in shown
    ]
    size = None if config.encoder.kind == "poses" else config.encoder.image_size
    clips = EvaluationClips(shown, store=store, image_size=size, phase=phase)
    training = config.training
    # A fixed seed: the padding of a batch, and with it the rounding, must not depend on the run.
    batches = make_batches(lengths, max_clips=training.batch_clips, max_steps=training.batch_steps, seed=0)
    return EvaluationSet(
        batches=BatchDataset(clips, batches, collate),
        ids=[sample.id for sample in samples],
        references=[sample.text for sample in samples],
        languages=[sample.language for sample in samples],
        tasks=[sample.task for sample in samples],
    )


def _read(store: FrameStore, sample: Sample, *, phase: int) -> np.ndarray | Unreadable:
    """Return the frames of a clip, or the fault of an unreadable clip."""
    # Opening a file does not find damage inside: a clip may fail in any epoch.
    try:
        return store.read(sample, phase=phase)
    except DataError as error:
        return Unreadable(id=sample.id, split=sample.split, reason=str(error))


def _channels_first(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2)  # (T, S, S, 3) -> (T, 3, S, S)
