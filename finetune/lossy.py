"""What a tokenizer cannot write: sentences that hold an unknown token, or come back as another sentence."""

from collections.abc import Sequence

from ..core.errors import ModelError
from ..core.progress import say
from .wording import Wording

MAX_LOSSY_SHARE = 0.01
"""Of the training sentences; a character that a corpus uses now and then stays below it."""


def check_texts(wording: Wording, texts: Sequence[str], *, allow_lossy: bool) -> float:
    """Say which share of the sentences does not survive the tokenizer, refuse more than 1 %, and return it.

    Args:
        wording: the language model's.
        texts: of the training split.
        allow_lossy: let any share pass.

    Raises:
        ModelError: with the share, and the first such sentence as it comes back.
    """
    lost = [text for text in texts if not survives(wording, text)]
    share = len(lost) / max(1, len(texts))
    counted = f"{len(lost)} of {len(texts)} training sentences ({share:.2%})"
    if share > MAX_LOSSY_SHARE and not allow_lossy:
        raise ModelError(
            f"At most {MAX_LOSSY_SHARE:.0%} of the training sentences may get lost in the model's tokenizer, "
            f"but {counted} hold an unknown token or come back as another sentence: {lost[0]!r} as "
            f"{wording.decode(wording.target_ids(lost[0]))!r}.\n"
            "Give another --llm, or --allow-lossy-tokenizer."
        )
    say(f"{counted} do not survive the tokenizer")
    return share


def survives(wording: Wording, text: str) -> bool:
    """Tell whether a sentence has no unknown token and is decoded to itself, up to the width of spaces."""
    ids = wording.target_ids(text)
    unknown = wording.tokenizer.unk_token_id  # of some models that is the end token, which ends every target
    return unknown not in ids[:-1] and wording.decode(ids).split() == text.split()
