"""Sentences beyond the reach of a run, for any quality of training."""

import logging

from ..llm.tokenizer_coverage import check_texts, count_too_long
from ..llm.vocabulary import TrimmedTokenizer
from .data import FeatureItems
from .model import StageTwoModel

logger = logging.getLogger(__name__)


def check_sentences(model: StageTwoModel, train: FeatureItems, dev: FeatureItems | None) -> dict[str, int]:
    """Count and log unreachable sentences. ``run.json`` keeps the counts.

    Returns:
        Counts of sentences by name. ``train`` and ``dev`` count all sentences (dev: 0 without a dev split).
        ``train_lost`` counts sentences changed by the tokenizer. ``dev_outside`` counts sentences with tokens
        outside a trimmed vocabulary. ``dev_too_long`` counts sentences above ``decoding.max_new_tokens``.
        All dev sentences are scored.

    Raises:
        ModelError: more than 1 % of ``train`` is lost, and the settings do not allow it.
    """
    codec, decoding, texts = model.codec, model.config.decoding, [] if dev is None else dev.texts
    lost = check_texts(codec, train.texts, allow_lossy=model.config.allow_lossy_tokenizer)
    outside = 0
    # Training sentences have all tokens by construction of the trimmed vocabulary.
    if isinstance(codec.tokenizer, TrimmedTokenizer):
        outside = sum(not codec.tokenizer.has_all_of(text) for text in texts)
        logger.info(f"{outside} of {len(texts)} dev sentences have tokens that were not kept")
    return {
        "train": len(train),
        "train_lost": lost,
        "dev": len(texts),
        "dev_outside": outside,
        "dev_too_long": count_too_long(codec, texts, split="dev", max_new_tokens=decoding.max_new_tokens),
    }
