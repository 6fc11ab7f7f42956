"""Attention over time: how much each word of a sentence draws on each part of the clip."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..cache.reader import FeatureCache
from ..core.device import resolve_device
from ..core.errors import CacheError, DataError, FlaError
from ..core.sample import Split
from ..corpora.manifest import Manifest
from ..finetune.collate import collate as collate_features
from ..finetune.data import FeatureItems
from ..finetune.store import check_streams, load_stage_two
from ..pretrain.data import collate as collate_frames
from ..pretrain.store import load_stage_one
from ..training.batches import move_batch
from .frames import evaluation_frames
from .pictures import weights_uri
from .read_run import RunRecord
from .sentences import Sentence, words_of_tokens

MOST_WORDS = 40
"""Rows of a picture. Further words are counted."""
PEAK = 3
"""Smallest weight of full colour, as a multiple of the mean weight of a step."""
MOST_STEPS = 1200
"""Steps of a clip whose attention is computed: plain attention takes memory by the square of the steps."""


@dataclass(frozen=True, kw_only=True)
class WordRow:
    """Attention of one word."""

    word: str
    picture: str
    """Data URI of a picture of one row, a pixel for each step."""
    peak: float
    """Place of the largest weight, as a share of the clip's length."""


@dataclass(frozen=True, kw_only=True)
class AttentionMap:
    """Attention of a sentence over the steps of a clip."""

    rows: list[WordRow]
    """Empty: the sentence is empty, or there is a fault."""
    steps: int = 0
    share: float = 0.0
    """Mean share of the attention that falls on the clip. The rest falls on the prompt and earlier words."""
    hidden_words: int = 0
    """Number of words beyond ``MOST_WORDS``."""
    fault: str | None = None
    """Reason why the attention of the clip could not be computed."""


Maps = dict[str, AttentionMap]
"""Id of a clip -> its attention."""


def attention_map(
    weights: Tensor, ids: Sequence[int], decode: Callable[[Sequence[int]], str], *, language: str
) -> AttentionMap:
    """Return the picture of attention weights, with the tokens of a word averaged.

    Args:
        weights: (L, S), a row for each token and one for the end token.
        ids: L tokens, the end token included.
        decode: the decoder of the tokenizer.
        language: ISO 639 code of the sentence.
    """
    # The end token is no word.
    tokens = list(ids)[:-1]
    words, word_of = words_of_tokens(tokens, decode, language=language)
    if not words:
        return AttentionMap(rows=[], steps=weights.shape[1])
    found = weights[:-1].double().cpu().numpy()
    # Each row is divided by its sum: otherwise words with little attention on the clip would be invisible.
    rows = found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12)
    members = [[place for place, own in enumerate(word_of) if own == number] for number in range(len(words))]
    means = [rows[own].mean(axis=0) if own else np.zeros(rows.shape[1]) for own in members]
    # Even attention stays pale: full colour means the highest weight, and at least PEAK times the mean.
    highest = max(*(float(mean.max()) for mean in means), PEAK / rows.shape[1])
    return AttentionMap(
        rows=[
            WordRow(
                word=word, picture=weights_uri(mean / highest), peak=(int(mean.argmax()) + 0.5) / len(mean)
            )
            for word, mean in list(zip(words, means, strict=True))[:MOST_WORDS]
        ],
        steps=found.shape[1],
        share=float(found.sum(axis=1).mean()),
        hidden_words=max(len(words) - MOST_WORDS, 0),
    )


def stage_one_maps(
    run: RunRecord, sentences: Sequence[Sentence], manifest: Manifest, *, split: Split, device: str
) -> Maps:
    """Return the cross-attention of Light-T for the predictions of a stage-one run.

    Raises:
        FlaError: the model of the run cannot be loaded.
    """
    model = load_stage_one(run.folder, device=resolve_device(device))
    place = next(model.parameters()).device
    samples = {sample.id: sample for sample in manifest.split(split)}

    def compute(row: Sentence) -> AttentionMap:
        if row.id not in samples:
            raise DataError("The manifest does not hold the clip.")
        frames = evaluation_frames(manifest, samples[row.id], model.config.encoder)
        ids = model.tokenizer.encode(row.prediction)
        _check_length(len(frames))
        # One clip at a time: plain attention needs memory for every pair of steps.
        batch = collate_frames([{"frames": frames, "labels": torch.tensor(ids)}])
        weights = model.cross_attention(move_batch(batch, place))[0]
        return attention_map(weights, ids, model.tokenizer.decode, language=row.language)

    return dict(_each(sentences, compute))


def stage_two_maps(
    run: RunRecord,
    sentences: Sequence[Sentence],
    caches: Sequence[FeatureCache],
    *,
    device: str,
    llm: str | None,
) -> Maps:
    """Return the attention of the language model on the features, for the predictions of a stage-two run.

    Raises:
        FlaError: the caches or the model of the run cannot be used.
    """
    items = FeatureItems(caches)
    model = load_stage_two(run.folder, device=device, llm=llm)
    check_streams(model, items.records)
    number_of = {id: number for number, id in enumerate(items.ids)}

    def compute(row: Sentence) -> AttentionMap:
        if row.id not in number_of:
            raise DataError(items.missing.get(row.id, "The cache does not hold the clip."))
        # The prediction takes the place of the reference, which the model never said.
        item = items.get(number_of[row.id]) | {"text": row.prediction}
        _check_length(items.lengths[number_of[row.id]])
        batch = move_batch(collate_features([item], codec=model.codec), model.llm.device)
        (weights,) = model.feature_attention(batch)
        ids = model.codec.target_ids(row.prediction)
        return attention_map(weights, ids, model.codec.decode, language=row.language)

    return dict(_each(sentences, compute))


def caches_of(run: RunRecord, features: Sequence[Path], split: Split) -> list[FeatureCache]:
    """Return the caches of the encoders that a stage-two run was tuned on, in the order given.

    Raises:
        CacheError: no cache is of these encoders, or a cache lacks the split.
    """
    # A run of an earlier version records one fingerprint and no streams.
    wanted = {run.described.get("feature_fingerprint")}
    wanted |= {stream["fingerprint"] for stream in run.described.get("streams", [])}
    caches = [FeatureCache(folder, split) for folder in features]
    own = [cache for cache in caches if cache.fingerprint in wanted]
    if not own:
        raise CacheError(
            f"The features must come from the encoder that {run.name} was tuned on, but come from "
            f"{', '.join(sorted({cache.fingerprint[:12] for cache in caches}))}."
        )
    return own


def signers_of(
    manifest: Manifest | None, caches: Sequence[FeatureCache], *, split: Split
) -> Mapping[str, str]:
    """Return the signer of each clip whose signer is known, by id."""
    cached = {row.id: row.signer for cache in caches for row in cache.rows if row.signer}
    # The manifest goes last: its signers are those of the corpus.
    samples = manifest.split(split) if manifest else ()
    return cached | {sample.id: sample.signer for sample in samples if sample.signer}


def _each(
    sentences: Sequence[Sentence], compute: Callable[[Sentence], AttentionMap]
) -> Iterator[tuple[str, AttentionMap]]:
    """Yield the attention of each sentence. A clip that cannot be used gets its fault."""
    for row in sentences:
        try:
            yield row.id, compute(row)
        except FlaError as error:
            yield row.id, AttentionMap(rows=[], fault=str(error).split("\n")[0])


def _check_length(steps: int) -> None:
    if steps > MOST_STEPS:
        raise DataError(f"The clip must have at most {MOST_STEPS} steps to be shown, but has {steps}.")
