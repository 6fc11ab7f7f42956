"""Sentences beyond the reach of training: changed by the tokenizer, or longer than the search."""

import logging
from collections.abc import Sequence

from ..core.errors import ModelError
from .text_codec import TextCodec

logger = logging.getLogger(__name__)

MAX_LOSSY_SHARE = 0.01
"""Largest share of lost training sentences. A rare character of a corpus stays below this share."""


def count_too_long(codec: TextCodec, texts: Sequence[str], *, split: str, max_new_tokens: int) -> int:
    """Return the number of sentences with more tokens than the search writes. Log a warning if there are any.

    Args:
        codec: text codec of the language model.
        texts: reference sentences.
        split: name of the split, for the message.
        max_new_tokens: limit of the search.
    """
    tokens = [
        len(codec.target_ids(text)) - 1 for text in texts
    ]  # a search that stops at the limit needs no end token
    count = sum(needed > max_new_tokens for needed in tokens)
    if count:
        logger.warning(
            f"{count} of {len(texts)} {split} sentences cannot be said in full: decoding.max_new_tokens is "
            f"{max_new_tokens}, the longest has {max(tokens)} tokens"
        )
    return count


def check_texts(codec: TextCodec, texts: Sequence[str], *, allow_lossy: bool) -> int:
    """Return the number of sentences with changes by the tokenizer. Refuse more than 1 %.

    Args:
        codec: text codec of the language model.
        texts: sentences of the training split.
        allow_lossy: accept any share.

    Raises:
        ModelError: more than 1 % of the sentences are changed. The message shows the first of them.
    """
    lost = [text for text in texts if not survives(codec, text)]
    share = len(lost) / max(1, len(texts))
    counted = f"{len(lost)} of {len(texts)} training sentences ({share:.2%})"
    if share > MAX_LOSSY_SHARE and not allow_lossy:
        raise ModelError(
            f"At most {MAX_LOSSY_SHARE:.0%} of the training sentences may get lost in the model's tokenizer, "
            f"but {counted} hold an unknown token or come back as another sentence: {lost[0]!r} as "
            f"{codec.decode(codec.target_ids(lost[0]))!r}.\n"
            "Give another --llm, or --allow-lossy-tokenizer."
        )
    logger.info(f"{counted} do not survive the tokenizer")
    return len(lost)


def survives(codec: TextCodec, text: str) -> bool:
    """Return whether a sentence has no unknown token and decodes to the same words."""
    ids = codec.target_ids(text)
    unknown = codec.tokenizer.unk_token_id  # of some models that is the end token, which ends every target
    return unknown not in ids[:-1] and codec.decode(ids).split() == text.split()
