"""Choice and grouping of sentences: every clip is counted once."""

import random

import pytest

from fla_llm.app.sentences import (
    MOST_SIGNERS,
    Sentence,
    by_length,
    by_signer,
    choose,
    words_of_tokens,
)


def sentence(
    id: str, chrf: float = 0.0, *, reference: str = "regen im norden", language: str = "de"
) -> Sentence:
    return Sentence(id=id, reference=reference, prediction="regen", language=language, chrf=chrf)


@pytest.mark.parametrize("clips", [1, 2, 3, 5, 6, 7, 50])
def test_no_clip_is_chosen_twice_and_order_is_by_score(clips: int) -> None:
    rows = [sentence(f"clip-{number}", float(number)) for number in range(clips)]
    random.Random(1).shuffle(rows)
    chosen = {choice.title: choice.ids for choice in choose([rows], count=2)}
    ids = [id for own in chosen.values() for id in own]
    assert len(ids) == len(set(ids)) == {1: 1, 2: 2, 3: 3, 5: 3}.get(clips, 6)
    assert chosen["Best"][0] == f"clip-{clips - 1}"
    if clips > 2:
        assert chosen["Worst"][0] == "clip-0"
    if clips == 50:
        assert chosen["Median"] == ["clip-25", "clip-24"]


def test_the_choice_for_several_runs_is_by_their_mean() -> None:
    one = [sentence("a", 100.0), sentence("b", 60.0)]
    other = [sentence("b", 60.0), sentence("a", 10.0)]
    assert choose([one, other], count=1)[0].ids == ["b"]


def test_groups_by_length_hold_every_clip_once() -> None:
    rows = [sentence(str(number), reference="wort " * (1 + number % 9)) for number in range(40)]
    groups = by_length(rows)
    assert sum(group.clips for group in groups) == 40
    assert [group.label for group in groups] == ["1–2", "3–4", "5–6", "7–9"]
    assert [group.label for group in by_length(rows[:1])] == ["1"]


def test_lengths_of_chinese_are_counted_in_characters() -> None:
    assert by_length([sentence("a", reference="明天 下雨", language="zh")])[0].label == "4"


def test_groups_by_signer_hold_every_clip_once() -> None:
    rows = [sentence(str(number)) for number in range(100)]
    signers = {str(number): f"signer-{number % 30}" for number in range(90)}
    groups = by_signer(rows, signers)
    assert sum(group.clips for group in groups) == 100
    assert groups[0].label == "unknown"
    assert groups[0].clips == 10
    assert groups[-1].label == f"{31 - MOST_SIGNERS} other signers"


PIECES = ["re", "gen", " im", " nor", "den", "", " ."]


@pytest.mark.parametrize(
    ("language", "words", "of"),
    [
        ("de", ["regen", "im", "norden", "."], [0, 0, 1, 2, 2, 2, 3]),
        ("zh", list("regenimnorden."), [1, 4, 6, 9, 12, 12, 13]),
    ],
)
def test_tokens_belong_to_the_word_that_they_end_in(language: str, words: list[str], of: list[int]) -> None:
    found = words_of_tokens(
        range(len(PIECES)), lambda ids: "".join(PIECES[id] for id in ids).strip(), language=language
    )
    assert found == (words, of)
