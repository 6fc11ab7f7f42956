"""Shuffled features always come from a clip with another sentence."""

import pytest

from fla_llm.core.errors import DataError
from fla_llm.scoring.shuffle import other_sentences

IDS = [f"clip-{i}" for i in range(20)]
TEXTS = ["rain" if i % 3 else f"sun {i}" for i in range(20)]


def test_no_clip_keeps_its_sentence() -> None:
    chosen = other_sentences(IDS, TEXTS, seed=3)
    assert all(TEXTS[i] != TEXTS[j] for i, j in enumerate(chosen))


def test_the_seed_decides() -> None:
    assert other_sentences(IDS, TEXTS, seed=3) == other_sentences(IDS, TEXTS, seed=3)
    assert other_sentences(IDS, TEXTS, seed=3) != other_sentences(IDS, TEXTS, seed=4)


def test_one_sentence_cannot_be_shuffled() -> None:
    with pytest.raises(DataError, match="all 2 clips say 'rain'"):
        other_sentences(["a", "b"], ["rain", "rain"], seed=0)
