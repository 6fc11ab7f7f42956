"""Sentences that a run cannot translate word for word, however well it learns."""

import logging

from ..llm.tokenizer_coverage import check_texts, count_too_long
from ..llm.vocabulary import TrimmedTokenizer
from .data import FeatureItems
from .model import StageTwoModel

logger = logging.getLogger(__name__)


def check_sentences(model: StageTwoModel, train: FeatureItems, dev: FeatureItems | None) -> dict[str, int]:
    """Count and log the sentences that the run cannot write. ``run.json`` keeps the counts.

    Returns:
        Sentences of ``train`` and of ``dev``, 0 without it; ``train_lost`` in the tokenizer;
        ``dev_outside`` the vocabulary, with tokens that a trimmed model lacks; ``dev_too_long`` for
        ``decoding.max_new_tokens``. Dev sentences are scored all the same.

    Raises:
        ModelError: more than 1 % of ``train`` is lost, and the settings do not allow it.
    """
    codec, decoding, texts = model.codec, model.config.decoding, [] if dev is None else dev.texts
    lost = check_texts(codec, train.texts, allow_lossy=model.config.allow_lossy_tokenizer)
    outside = 0
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
