"""Batches of clips: padded features, prompts and sentences as tensors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.sample import DEFAULT_TASK, Task
from ..llm.conditioned_lm import pad_rows
from ..llm.text_codec import TextCodec
from ..training.model import IGNORED
from .streams import stream_names


def collate(items: Sequence[Mapping[str, Any]], *, codec: TextCodec) -> dict[str, Tensor]:
    """Make a batch: features (B, T, F), prompt_ids (B, P), labels (B, L) and the lengths of the first two.

    Further streams are ``features_2`` with ``feature_lengths_2``, and so on. Lengths mark the padding.

    Args:
        items: clips in the form of :meth:`FeatureItems.get`: ``features`` (T, F) in float16 or float32, or a
            tuple with an array for each stream, ``language``, ``text``, and ``task`` unless it is the
            default. An empty ``text`` suffices for a translation.
        codec: text codec of the language model.
    """
    prompts, prompt_mask = pad_rows([_ids(codec.prompt_ids(item["language"], _task(item))) for item in items])
    return {
        **collate_features(items),
        "prompt_ids": prompts,
        "prompt_lengths": prompt_mask.sum(dim=1),
        **collate_sentences(items, codec=codec),
    }


def collate_sentences(items: Sequence[Mapping[str, Any]], *, codec: TextCodec) -> dict[str, Tensor]:
    """Return the sentences of clips as labels (B, L), and the first ids of the decoder (B, K).

    Args:
        items: at least ``text`` and ``language`` of each clip.
        codec: text codec of the language model.
    """
    targets, target_mask = pad_rows([_ids(codec.target_ids(item["text"])) for item in items])
    return {
        "decoder_prefix_ids": torch.stack([_ids(codec.decoder_prefix_ids(i["language"])) for i in items]),
        # The mask and not the id marks padding: many models pad with the end token, which is a label too.
        "labels": targets.masked_fill(~target_mask.bool(), IGNORED),
    }


def collate_features(items: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Return the padded features of each stream, with lengths."""
    given = [item["features"] for item in items]
    # Clips with a single stream, and clips made by hand, need no tuple.
    clips = [one if isinstance(one, tuple) else (one,) for one in given]
    batch: dict[str, Tensor] = {}
    for number, arrays in enumerate(zip(*clips, strict=True)):
        features, mask = pad_rows([torch.from_numpy(np.asarray(array)) for array in arrays])
        batch.update(zip(stream_names(number), (features, mask.sum(dim=1)), strict=True))
    return batch


def _task(item: Mapping[str, Any]) -> Task:
    # Clips made by hand, and frames in memory, are translated.
    return item.get("task", DEFAULT_TASK)


def _ids(ids: Sequence[int]) -> Tensor:
    return torch.tensor(ids, dtype=torch.long)
