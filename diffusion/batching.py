"""Batches of sentences for the autoencoder, and of clips for the denoiser."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.errors import ConfigError, DataError
from ..core.files import read_text
from ..core.sample import DEFAULT_TASK
from ..core.seeds import derive_seed
from ..finetune.collate import collate_features, collate_sentences
from ..finetune.data import FeatureItems, ShuffledFeatures
from ..llm.text_codec import TextCodec
from ..training.batches import BatchDataset, make_batches
from ..training.evaluation import EvaluationSet
from .autoencoder import TextAutoencoder
from .model import DiffusionModel


class Sentences:
    """Sentences as training items of the autoencoder."""

    def __init__(self, texts: Sequence[str], languages: Sequence[str]) -> None:
        """Keep sentences with the language code of each."""
        self.texts, self.languages = list(texts), list(languages)

    def __len__(self) -> int:
        """Return the number of sentences."""
        return len(self.texts)

    def get(self, index: int, epoch: int = 0) -> dict[str, Any]:
        """Return a sentence with its language."""
        return {"text": self.texts[index], "language": self.languages[index]}

    @property
    def digest(self) -> str:
        """SHA-256 of all sentences, which a resume compares."""
        return hashlib.sha256("\0".join(self.texts).encode()).hexdigest()


def read_sentences(items: FeatureItems, text: str | None) -> Sentences:
    """Return the different sentences of clips, then those of a text file.

    Raises:
        ConfigError: there is a text file, and the clips are in several languages.
        DataError: the text file cannot be read, or holds no sentence.
    """
    # Each sentence once: clips of one sentence would weigh it by how often it is signed.
    own = dict(zip(items.texts, items.languages, strict=True))
    if text is not None:
        languages = sorted(set(items.languages))
        if len(languages) > 1:
            raise ConfigError(
                "'autoencoder.text' needs clips of one language, whose language the file has, but they are "
                f"in {', '.join(languages)}."
            )
        lines = [line.strip() for line in read_text(Path(text)).split("\n")]
        if not any(lines):
            raise DataError(f"{text} must hold sentences, but is empty.")
        # A clip's own sentence stays first, so that the order does not depend on the file.
        own |= {line: languages[0] for line in lines if line and line not in own}
    return Sentences(list(own), list(own.values()))


def sentence_batches(model: TextAutoencoder, sentences: Sentences) -> BatchDataset:
    """Return training batches of the autoencoder."""
    training = model.config.autoencoder.training
    lengths = [len(model.codec.target_ids(text)) for text in sentences.texts]
    batches = make_batches(
        lengths, max_clips=training.batch_clips, max_steps=training.batch_tokens, seed=model.config.seed
    )
    return BatchDataset(sentences, batches, partial(collate_sentences, codec=model.codec))


def sentence_evaluation_set(model: TextAutoencoder, sentences: Sentences) -> EvaluationSet:
    """Return sentences to reconstruct."""
    return EvaluationSet(
        batches=sentence_batches(model, sentences),
        ids=[str(number) for number in range(len(sentences))],
        references=sentences.texts,
        languages=sentences.languages,
        tasks=[DEFAULT_TASK] * len(sentences),
    )


def collate_clips(items: Sequence[Mapping[str, Any]], *, codec: TextCodec) -> dict[str, Tensor]:
    """Make a batch of the denoiser.

    Features and lengths of each stream are as in :func:`.collate.collate`. ``sentence_ids`` (B, L) are the
    labels of the sentences, ``noise_seeds`` (B,) follow from the ids, and ``labels`` (B, 1) count the clips.
    """
    sentences = collate_sentences(items, codec=codec)
    return {
        **collate_features(items),
        "decoder_prefix_ids": sentences["decoder_prefix_ids"],
        "sentence_ids": sentences["labels"],
        # Seeds and not ids: a batch of tensors alone can be halved, pinned and moved.
        "noise_seeds": torch.tensor([derive_seed("noise", item["id"]) for item in items]),
        "labels": torch.zeros((len(items), 1), dtype=torch.long),
    }


def clip_batches(
    model: DiffusionModel,
    items: FeatureItems,
    *,
    max_clips: int,
    max_tokens: int,
    order: Sequence[int] | None = None,
) -> BatchDataset:
    """Return batches of clips, which follow from ids and lengths.

    Args:
        model: the model.
        items: the clips.
        max_clips: largest number of clips in a batch.
        max_tokens: largest number of projected features and latents in a batch, padding included.
        order: clip i gets the features of clip ``order[i]``. None keeps the features of each clip.
    """
    given = items if order is None else ShuffledFeatures(items, order)
    lengths = model.condition_lengths([torch.tensor(steps) for steps in given.stream_lengths])
    sizes = (lengths + model.config.autoencoder.latents).tolist()
    batches = make_batches(sizes, max_clips=max_clips, max_steps=max_tokens, seed=model.config.seed)
    return BatchDataset(given, batches, partial(collate_clips, codec=model.codec))


def clip_evaluation_set(
    model: DiffusionModel,
    items: FeatureItems,
    *,
    max_clips: int,
    max_tokens: int,
    order: Sequence[int] | None = None,
) -> EvaluationSet:
    """Return clips to translate. For the arguments see :func:`clip_batches`."""
    bounds = {"max_clips": max_clips, "max_tokens": max_tokens}
    return EvaluationSet(
        batches=clip_batches(model, items, **bounds, order=order),
        ids=items.ids,
        references=items.texts,
        languages=items.languages,
        tasks=items.tasks,
    )
