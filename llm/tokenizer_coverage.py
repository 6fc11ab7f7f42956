"""Which sentences a run cannot say word for word, however well it learns.

A tokenizer cannot write them (they hold an unknown token, or come back as another sentence), a trimmed model
lacks their tokens, or the search ends before they do.
"""

import logging
from collections.abc import Sequence

from ..core.errors import ModelError
from .text_codec import TextCodec

logger = logging.getLogger(__name__)

MAX_LOSSY_SHARE = 0.01
"""Of the training sentences; a character that a corpus uses now and then stays below it."""


def count_too_long(codec: TextCodec, texts: Sequence[str], *, split: str, max_new_tokens: int) -> int:
    """Return how many sentences the search must end before they do, and say it where there are any.

    Args:
        codec: the language model's.
        texts: what should be said.
        split: what they are called.
        max_new_tokens: the search's.
    """
    tokens = [len(codec.target_ids(text)) - 1 for text in texts]  # the end need not be said
    count = sum(needed > max_new_tokens for needed in tokens)
    if count:
        logger.warning(
            f"{count} of {len(texts)} {split} sentences cannot be said in full: decoding.max_new_tokens is "
            f"{max_new_tokens}, the longest has {max(tokens)} tokens"
        )
    return count


def check_texts(codec: TextCodec, texts: Sequence[str], *, allow_lossy: bool) -> int:
    """Say how many sentences do not survive the tokenizer, refuse more than 1 %, and return it.

    Args:
        codec: the language model's.
        texts: of the training split.
        allow_lossy: let any share pass.

    Raises:
        ModelError: with the share, and the first such sentence as it comes back.
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
    """Tell whether a sentence has no unknown token and is decoded to itself, up to the width of spaces."""
    ids = codec.target_ids(text)
    unknown = codec.tokenizer.unk_token_id  # of some models that is the end token, which ends every target
    return unknown not in ids[:-1] and codec.decode(ids).split() == text.split()
