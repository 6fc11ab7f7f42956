"""Which hypothesis belongs to which reference."""

import pytest

from fla_llm.core.errors import DataError
from fla_llm.scoring import Sentences, check_same_references, common_language, pair
from fla_llm.scoring.pairing import differing_references, drop_missing


def side(source: str, texts: str, ids: str | None = None, languages: str = "") -> Sentences:
    """One letter a sentence."""
    return Sentences(
        source=source,
        texts=tuple(texts),
        ids=tuple(ids) if ids is not None else None,
        languages=frozenset(languages.split()),
    )


def test_ids_bring_hypotheses_into_the_order_of_references() -> None:
    assert pair(side("hyps", "abc", "123"), side("refs", "xyz", "312")) == ["c", "a", "b"]


@pytest.mark.parametrize(("hypothesis_ids", "reference_ids"), [(None, None), ("12", None), (None, "12")])
def test_without_ids_on_both_sides_lines_are_paired(
    hypothesis_ids: str | None, reference_ids: str | None
) -> None:
    assert pair(side("hyps", "ab", hypothesis_ids), side("refs", "xy", reference_ids)) == ["a", "b"]


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        (
            side("hyps", "ab"),
            side("refs", "xyz"),
            "hyps must hold one sentence for each of the 3 in refs, but holds 2",
        ),
        (side("hyps", ""), side("refs", "x"), "hyps must hold sentences, but has none"),
        (side("hyps", "a"), side("refs", ""), "refs must hold sentences, but has none"),
        (
            side("hyps", "ab", "12"),
            side("refs", "x ", "12"),
            "refs, id '2': a reference must hold text, but is ' '",
        ),
        (side("hyps", "ab"), side("refs", " x"), "refs, sentence 1: a reference must hold text"),
        (
            side("hyps", "a", "1"),
            side("refs", "vwxyz", "12345"),
            "hyps must hold .* lacks 4: '2', '3', '4', ...",
        ),
        (side("hyps", "abc", "132"), side("refs", "x", "1"), "hyps must hold only .* also has 2: '3', '2'"),
        (
            side("hyps", "abc", "122"),
            side("refs", "xy", "12"),
            "hyps must hold each id once, but doubles 1: '2'",
        ),
        (
            side("hyps", "ab", "12"),
            side("refs", "xyz", "112"),
            "refs must hold each id once, but doubles 1: '1'",
        ),
    ],
)
def test_refusals(hypotheses: Sentences, references: Sentences, message: str) -> None:
    with pytest.raises(DataError, match=message):
        pair(hypotheses, references)


def test_the_language_is_what_the_files_agree_on() -> None:
    assert common_language(side("a", "x"), side("b", "y")) is None
    assert common_language(side("a", "x", languages="de"), side("b", "y")) == "de"
    with pytest.raises(DataError, match="a, b must be in one language, but hold de, zh"):
        common_language(side("a", "x", languages="de"), side("b", "y", languages="zh"))


def test_predictions_against_other_references_are_refused() -> None:
    check_same_references(side("b", "yx", "21"), side("a", "xy", "12"))
    with pytest.raises(
        DataError, match="b must hold the same references as a, but has 'z' where a, id '2' has 'y'"
    ):
        check_same_references(side("b", "zx", "21"), side("a", "xy", "12"))


def test_missing_hypotheses_can_be_left_out_of_both_systems() -> None:
    references, (first, second), missing = drop_missing(
        side("refs", "wxyz", "1234"), [side("one", "cab", "312"), side("two", "dcb", "432")]
    )
    assert (references.ids, references.texts) == (("2", "3"), ("x", "y"))
    assert missing == ["1", "4"]
    assert pair(first, references) == ["b", "c"]
    assert pair(second, references) == ["b", "c"]


@pytest.mark.parametrize(
    ("references", "hypotheses", "message"),
    [
        (side("refs", "xy"), side("hyps", "a", "1"), "refs must have ids to tell which"),
        (side("refs", "xy", "12"), side("hyps", "a"), "hyps must have ids to tell which"),
        (
            side("refs", "xy", "12"),
            side("hyps", "ab", "13"),
            "hyps must hold only ids of refs, but also has 1: '3'",
        ),
        (side("refs", "xy", "12"), side("hyps", "ab", "11"), "hyps must hold each id once"),
        (side("refs", "xy", "11"), side("hyps", "a", "1"), "refs must hold each id once"),
    ],
)
def test_what_is_missing_must_be_known(references: Sentences, hypotheses: Sentences, message: str) -> None:
    with pytest.raises(DataError, match=message):
        drop_missing(references, [hypotheses])


def test_references_that_went_through_a_lossy_tokenizer_are_found() -> None:
    lossy, true = side("hyps", "a?c", "123"), side("manifest", "abc", "123")
    assert differing_references(lossy, true) == ["'?' where manifest, id '2' has 'b'"]
    assert differing_references(true, true) == []
