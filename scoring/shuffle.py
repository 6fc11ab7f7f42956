"""Shuffled control: each clip gets another clip's features, to measure guessing."""

import random
from collections.abc import Sequence

from ..core.errors import DataError
from ..core.sample import DEFAULT_TASK, Task
from ..core.seeds import derive_seed


def other_sentences(
    ids: Sequence[str], texts: Sequence[str], tasks: Sequence[Task] = (), *, seed: int
) -> list[int]:
    """Return for each clip the index of a clip of the same task with a different text.

    The choice for a clip is drawn from (seed, id), independently of other clips. Without ``tasks`` all clips
    have the same task.

    Raises:
        DataError: all clips of a task have the same text.

    >>> other_sentences(["a", "b", "c"], ["rain", "sun", "rain"], seed=0)[1] in (0, 2)
    True
    """
    chosen = []
    own = tasks or [DEFAULT_TASK] * len(ids)
    # A clip with the same text would be a correct answer. Clips of single signs are shorter than
    # sentences, so that the features of another task would be no guess of this task.
    for clip, text, task in zip(ids, texts, own, strict=True):
        alike = [index for index, other in enumerate(own) if other == task]
        others = [index for index in alike if texts[index] != text]
        if not others:
            raise DataError(
                f"Shuffling needs clips of {task} with two different texts, but all {len(alike)} clips say "
                f"{text!r}."
            )
        chosen.append(random.Random(derive_seed(seed, "shuffle", clip)).choice(others))
    return chosen
