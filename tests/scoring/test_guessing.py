"""Systems that see no video."""

import gzip
import pickle
from pathlib import Path

import pytest

from fla_llm.core.errors import DataError
from fla_llm.scoring.guessing import count_verbatim, guesses

TRAINING = ["regen", "sonne und wind", "regen", "schnee im norden"]


def test_guesses_are_made_of_training_sentences_and_lengths() -> None:
    found = guesses(["a", "b", "c"], ["sturm", "nebel im süden", "x" * 90], TRAINING)
    assert found["most_frequent"] == ["regen"] * 3
    # 5, 14 and 90 characters; the training sentences have 5, 14 and 16
    assert found["nearest_length"] == ["regen", "sonne und wind", "schnee im norden"]
    assert all(own != other for own, other in zip("abc", found["shuffled"], strict=True))


def test_shuffled_hypotheses_never_meet_their_own_sentence() -> None:
    references = [f"satz {number % 7}" for number in range(50)]
    shuffled = guesses(references, references, TRAINING)["shuffled"]
    assert all(own != other for own, other in zip(references, shuffled, strict=True))


def test_a_reference_is_verbatim_only_to_the_letter() -> None:
    assert count_verbatim(["regen", "Regen", "regen .", "regen"], TRAINING) == 2


def test_baselines_need_training_sentences() -> None:
    with pytest.raises(DataError, match="need training sentences, but there are none"):
        guesses(["a"], ["a"], [])


def test_phoenix_repeats_32_of_its_test_sentences(shared_data: Path) -> None:
    test, train = (
        sentences_of(shared_data / "phoenix14t" / f"{split}.annotations_only") for split in ("test", "train")
    )
    assert (len(test), len(train)) == (642, 7096)
    assert count_verbatim(test, train) == 32


class PlainUnpickler(pickle.Unpickler):
    """Reads lists, dicts and strings, and refuses everything else."""

    def find_class(self, module_name: str, global_name: str) -> None:
        raise pickle.UnpicklingError(f"{module_name}.{global_name}")


def sentences_of(path: Path) -> list[str]:
    with gzip.open(path) as file:
        return [row["text"] for row in PlainUnpickler(file).load()]
