"""Settings of both stages for any table of signs, by rules from the manifest. No set has its own settings."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fla_llm.core.sample import Sample

FRAMES_PER_WORD, FRAMES_PER_SECOND = 3.5, 5.0
"""Least number of kept frames for a word of the sentences, and for a second."""
LONGEST = 256
"""Largest number of kept frames of a clip."""
IMAGE_SIZE, RESIZE_SIZE = 64, 72
EPOCHS, MOST_EPOCHS, SEEN = 24, 120, 400
"""A word that an epoch shows ``SEEN`` times needs ``EPOCHS``. Rarer words need more, by the square root.
A backbone with weights from elsewhere needs no more than ``EPOCHS``."""
LEAST_DROPPED = 0.1
"""Share of frames below which clips count as equally fast."""
MOST_FRAMES = 500_000
"""Frames of all epochs, unless ``EPOCHS`` show more: about 20 minutes of one idle core."""
TUNE_STEPS, MOST_TUNE_EPOCHS = {"small": 4000, "pretrained": 560}, 200
"""Least number of steps of stage two by the kind of language model. Small sets get more epochs for them."""
PRETRAINED: dict[str, Any] = {
    "quantise": "nf4", "train": "lora+projector", "lora": {"rank": 16, "alpha": 32, "dropout": 0.0},
    # Features near the words that they show are copied, which such a model can do from the start. By the
    # translation loss alone, SmolLM2 guesses for some hundred steps first.
    "contrastive": {"weight": 1.0}, "trim_vocab": True,
}  # fmt: skip
"""Settings of stage two for a language model of others."""
SMALL: dict[str, Any] = {"quantise": "none", "train": "full"}
"""Settings for a model of a million weights, which has nothing to keep: all of its weights learn."""
OFTEN = 5
"""Occurrences of a word that may become one token."""
FEWEST_TOKENS, MOST_TOKENS = 200, 4000
BATCH_CLIPS, TUNE_CLIPS = 8, 16
"""Clips in a batch of stage one and of stage two."""


def frame_stride(train: Sequence[Sample]) -> int:
    """Return the largest stride that keeps enough frames for each word and each second."""
    frames = sum(sample.num_frames for sample in train)
    by_word = frames / sum(len(sample.text.split()) for sample in train) / FRAMES_PER_WORD
    by_second = statistics.median(sample.fps for sample in train) / FRAMES_PER_SECOND
    return max(1, math.floor(min(by_word, by_second)))


def dropped_frames(train: Sequence[Sample]) -> float:
    """Return the largest share of frames to leave out: what makes an even clip one of the fastest tenth."""
    lengths = sorted(sample.num_frames / len(sample.text.split()) for sample in train)
    share = 1 - lengths[len(lengths) // 10] / statistics.median(lengths)
    return round(share, 2) if share >= LEAST_DROPPED else 0.0


def epochs(train: Sequence[Sample]) -> int:
    """Return the number of epochs of stage one from random weights."""
    words = _words(train)
    seen = sum(words.values()) / len(words)
    stride = frame_stride(train)
    affordable = MOST_FRAMES // sum(_kept(sample, stride) for sample in train)
    return max(EPOCHS, min(MOST_EPOCHS, affordable, round(EPOCHS * math.sqrt(SEEN / seen))))


def average(steps: int) -> float:
    """Return the share of the moving average of weights that stays at each step, by the steps of a run."""
    # The average reaches back over a seventh of the run: 0.998 in 3,500 steps. In a short run it would lag.
    return max(0.9, round(1 - 7 / steps, 3))


def stage_one(
    samples: Sequence[Sample], *, backbone: str | None = None, weights: Path | None = None, seed: int = 42
) -> dict[str, Any]:
    """Return the settings of ``fla pretrain`` for the clips of a manifest.

    Args:
        samples: clips of all splits.
        backbone: name of a timm model. None: a small one for random weights.
        weights: file or folder with weights of the backbone. None: random weights.
        seed: seed of the run.
    """
    train = [sample for sample in samples if sample.split == "train"]
    stride = frame_stride(train)
    kept = sorted(_kept(sample, stride) for sample in samples)
    often = sum(count >= OFTEN for count in _words(train).values())
    count = EPOCHS if weights else epochs(train)
    return {
        "encoder": _encoder(backbone, weights, stride=stride, longest=kept[-1]),
        "translator": {
            "hidden_size": 128, "ffn_size": 384, "heads": 4, "dropout": 0.1, "label_smoothing": 0.1,
            "positions": max(128, kept[-1]),
        },
        # Merges lead to a word over its parts, so a word takes some entries of the vocabulary.
        "tokenizer": {"vocab_size": min(MOST_TOKENS, max(FEWEST_TOKENS, 4 * often))},
        "augment": {
            "rotate_degrees": 15, "scale": 0.2, "translate": 0.05, "brightness": 0.3, "contrast": 0.35,
            "probability": 0.9,
        },
        "drop_frames": dropped_frames(train),
        "training": {
            "epochs": count, "batch_clips": BATCH_CLIPS,
            "batch_steps": BATCH_CLIPS * kept[len(kept) * 9 // 10],
            "learning_rate": 1e-3, "weight_decay": 0.05, "warmup_share": 0.08,
            "ema_decay": average(count * math.ceil(len(train) / BATCH_CLIPS)),
            "evaluate_every_epochs": max(1, count // 6), "evaluate_from_epoch": max(1, count // 2),
        },
        # Random weights learn faster than the translator, and weights of ImageNet change little.
        "backbone_lr_scale": 0.3 if weights else 3.0,
        "decoding": {"num_beams": 4, "max_new_tokens": _most_tokens(samples)},
        "seed": seed,
    }  # fmt: skip


def stage_two(samples: Sequence[Sample], *, pretrained: bool, seed: int = 42) -> dict[str, Any]:
    """Return the settings of ``fla tune``: for a language model of others, or one trained here."""
    train = [sample for sample in samples if sample.split == "train"]
    stride = frame_stride(train)
    kept = sorted(_kept(sample, stride) for sample in samples)
    steps = TUNE_STEPS["pretrained" if pretrained else "small"]
    batches = math.ceil(len(train) / TUNE_CLIPS)
    count = min(MOST_TUNE_EPOCHS, max(4 if pretrained else 10, math.ceil(steps / batches)))
    return {
        **(PRETRAINED if pretrained else SMALL),
        "projector": {"kind": "mlp", "hidden_size": 256, "learning_rate": 3e-3},
        "prompt": "",
        "label_smoothing": 0.05,
        "activation_checkpointing": False,
        "training": {
            "epochs": count, "batch_clips": TUNE_CLIPS,
            "batch_tokens": TUNE_CLIPS * (kept[len(kept) * 9 // 10] + 16),
            "learning_rate": 2e-3 if pretrained else 1e-3, "weight_decay": 0.01, "warmup_share": 0.1,
            "evaluate_every_epochs": max(1, count // 4), "evaluate_from_epoch": count // 2,
            "precision": "bf16" if pretrained else "auto",
        },
        "decoding": {"num_beams": 4, "max_new_tokens": _most_tokens(samples)},
        "seed": seed,
    }  # fmt: skip


def _encoder(backbone: str | None, weights: Path | None, *, stride: int, longest: int) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "backbone": backbone or "test_resnet", "output_stride": 16, "pool": "grid-3", "hidden_size": 192,
        "image_size": IMAGE_SIZE, "resize_size": RESIZE_SIZE,
        "sampling": {"stride": stride, "max_frames": longest},
    }  # fmt: skip
    if weights:
        import timm

        # Weights fit colours that are centred as in the training of these weights.
        known = timm.get_pretrained_cfg(settings["backbone"])
        assert known is not None, f"timm knows no pretrained {settings['backbone']}"
        settings |= {"mean": list(known.mean), "std": list(known.std), "weights": str(weights)}
    return settings


def _kept(sample: Sample, stride: int) -> int:
    return min(LONGEST, math.ceil(sample.num_frames / stride))


def _most_tokens(samples: Sequence[Sample]) -> int:
    # A token of a rare word can be a single character.
    return max(24, 8 + max(len(sample.text) for sample in samples if sample.split == "train"))


def _words(samples: Sequence[Sample]) -> Counter[str]:
    return Counter(word for sample in samples for word in sample.text.split())
