"""Shuffled control: each clip gets another clip's features, to measure guessing."""

import random
from collections.abc import Sequence

from ..core.errors import DataError
from ..core.seeds import derive_seed


def other_sentences(ids: Sequence[str], texts: Sequence[str], *, seed: int) -> list[int]:
    """Return for each clip the index of a clip with a different sentence.

    The choice for a clip is drawn from (seed, id), independently of other clips.

    Raises:
        DataError: all clips have the same sentence.

    >>> other_sentences(["a", "b", "c"], ["rain", "sun", "rain"], seed=0)[1] in (0, 2)
    True
    """
    chosen = []
    # A clip with the same sentence would be a correct answer.
    for clip, text in zip(ids, texts, strict=True):
        others = [index for index, other in enumerate(texts) if other != text]
        if not others:
            raise DataError(
                f"Shuffling needs two different sentences, but all {len(texts)} clips say {text!r}."
            )
        chosen.append(random.Random(derive_seed(seed, "shuffle", clip)).choice(others))
    return chosen
