"""Clips of the experiments: frames in memory, or features of a frozen encoder, in the same batches."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from end_to_end import features_of

from fla_llm.core.sample import Sample
from fla_llm.finetune.collate import collate as collate_features
from fla_llm.llm.prompt import examples_key
from fla_llm.pretrain.config import PretrainConfig
from fla_llm.pretrain.data import EvaluationClips, TrainingClips
from fla_llm.pretrain.data import collate as collate_clips
from fla_llm.pretrain.frames import FrameStore
from fla_llm.pretrain.model import StageOneModel
from fla_llm.training.batches import BatchDataset, make_batches
from fla_llm.training.evaluation import EvaluationSet
from fla_llm.video.sampling import count_selected

SENTENCE_KEYS = ("prompt_ids", "prompt_lengths", "decoder_prefix_ids", "labels")


class FrameClips:
    """Clips with frames and sentence, augmented in training."""

    def __init__(self, samples: Sequence[Sample], *, store: FrameStore, model: StageOneModel, train: bool):
        self.samples = samples
        size = model.config.encoder.image_size
        self.clean = EvaluationClips(samples, store=store, image_size=size)
        self.frames = (
            TrainingClips(samples, store=store, tokenizer=model.tokenizer, config=model.config)
            if train
            else self.clean
        )

    def __len__(self) -> int:
        return len(self.samples)

    def get(self, index: int, epoch: int) -> Any:
        sample, found = self.samples[index], self.frames.get(index, epoch)
        # A clip that cannot be read keeps its fault.
        return found | sentence_of(sample) if isinstance(found, dict) else found


class FeatureClips:
    """Clips with features of a frozen encoder: a clean pass, and augmented passes in training."""

    records = ()
    fingerprint = "experiment"

    def __init__(self, clips: FrameClips, *, model: StageOneModel, kind: str, views: int) -> None:
        """Encode each clip once when it is asked for, and ``views`` times more with augmentation."""
        self.samples = clips.samples
        self._clips, self._model, self._kind, self._views = clips, model.eval(), kind, views
        self._known: dict[tuple[int, int], np.ndarray] = {}
        self.feature_size = self._features(0, 0).shape[1]
        self.texts = [sample.text for sample in clips.samples]
        self.languages = [sample.language for sample in clips.samples]
        self.tasks = [sample.task for sample in clips.samples]
        self.examples_keys = list(map(examples_key, self.languages, self.tasks))

    def __len__(self) -> int:
        return len(self.samples)

    def get(self, index: int, epoch: int) -> dict[str, Any]:
        features = self._features(index, epoch % (self._views + 1))
        return {"features": features, **sentence_of(self.samples[index])}

    def _features(self, index: int, view: int) -> np.ndarray:
        if (index, view) not in self._known:
            # View 0 is the clean pass.
            found = self._clips.get(index, view) if view else self._clips.clean.get(index, 0)
            self._known[index, view] = features_of(self._model, found["frames"], kind=self._kind).numpy()
        return self._known[index, view]


def batches_of(clips: Any, config: PretrainConfig, *, collate: Callable[..., Any]) -> BatchDataset:
    """Return the batches of a split. All variants have the same batches, so epochs have equal steps."""
    sampling, training = config.encoder.sampling, config.training
    lengths = [
        count_selected(sample.num_frames, sampling=sampling, clip_fps=sample.fps) for sample in clips.samples
    ]
    made = make_batches(
        lengths, max_clips=training.batch_clips, max_steps=training.batch_steps, seed=config.seed
    )
    return BatchDataset(clips, made, collate)


def evaluation_of(batches: BatchDataset, samples: Sequence[Sample]) -> EvaluationSet:
    return EvaluationSet(
        batches=batches,
        ids=[sample.id for sample in samples],
        references=[sample.text for sample in samples],
        languages=[sample.language for sample in samples],
        tasks=[sample.task for sample in samples],
    )


def collate_frames(items: Sequence[dict[str, Any]], *, codec: Any) -> dict[str, Any]:
    """Return a batch of frames with the tokens of the language model."""
    nothing = np.zeros((1, 1), np.float32)  # the collation of stage two wants features
    tokens = collate_features([{**item, "features": nothing} for item in items], codec=codec)
    frames = collate_clips([{"frames": item["frames"]} for item in items])
    return frames | {key: tokens[key] for key in SENTENCE_KEYS}


def sentence_of(sample: Sample) -> dict[str, str]:
    return {"text": sample.text, "language": sample.language}
