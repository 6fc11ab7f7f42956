"""Scores of glosses and of single signs."""

from pathlib import Path

import pytest

from fla_llm.core.errors import DataError
from fla_llm.core.files import write_jsonl
from fla_llm.scoring.sentences import read_sentence_file
from fla_llm.scoring.shuffle import other_sentences
from fla_llm.scoring.task_scores import describe_task_scores, score_glosses, score_signs
from fla_llm.scoring.word_errors import WordErrors


def test_glosses_have_the_error_rate_of_words_with_the_counts() -> None:
    found = score_glosses(["REGEN IM NORD", "SONNE", ""], ["REGEN NORD KOMMEN", "WIND", "HEUTE"])
    assert found.word_errors == WordErrors(
        insertions=1, deletions=2, substitutions=1, reference_words=5, exact_sentences=0
    )
    assert found.wer == 80
    assert found.to_dict()["deletions"] == 2


def test_a_gloss_of_several_characters_is_one_word() -> None:
    found = score_glosses(["\u4eca\u5929 \u5929\u6c14"], ["\u4eca\u5929 \u4e0b\u96e8"])
    assert (found.wer, found.word_errors.reference_words) == (50, 2)


def test_a_rare_sign_counts_as_much_as_a_frequent_one_per_class() -> None:
    references = ["book"] * 8 + ["tea"] * 2
    found = score_signs(["book"] * 8 + ["tea ", "Tea"], references)
    assert (found.top1, found.top1_per_class, found.classes, found.count) == (90, 75, 2, 10)


def test_empty_references_and_unequal_counts_are_refused() -> None:
    for scorer in (score_glosses, score_signs):
        with pytest.raises(DataError, match="Reference 1 must hold text"):
            scorer(["a"], [" "])
        with pytest.raises(DataError, match="one hypothesis for each reference"):
            scorer(["a"], ["a", "b"])


def test_each_task_has_a_table_with_the_missing_clips() -> None:
    scores = {"recognise": score_glosses(["A B"], ["A C"]), "isolated": score_signs(["tea"], ["tea"])}
    first, second = describe_task_scores(scores, missing=3).split("\n\n")
    names, figures = first.splitlines()
    assert names.split()[-2:] == ["clips", "missing"]
    assert figures.split() == ["50.00", "0.00", "0", "0", "1", "2", "1", "3"]
    assert second.splitlines()[1].split() == ["100.00", "100.00", "1", "1", "3"]
    assert "missing" not in describe_task_scores(scores)


def test_features_are_shuffled_within_a_task() -> None:
    tasks = ["translate"] * 4 + ["isolated"] * 3
    texts = ["a", "b", "c", "d", "tea", "tea", "book"]
    for seed in range(5):
        chosen = other_sentences([*"1234567"], texts, tasks, seed=seed)
        assert all(tasks[n] == tasks[other] and texts[n] != texts[other] for n, other in enumerate(chosen))
        assert chosen[4] == chosen[5] == 6
    with pytest.raises(DataError, match="of isolated with two different texts, but all 2 clips say 'tea'"):
        other_sentences([*"123456"], texts[:6], tasks[:6], seed=0)


def test_a_mixed_file_of_predictions_is_no_file_of_translations(tmp_path: Path) -> None:
    rows = [{"id": "a", "prediction": "x", "reference": "x", "language": "en", "task": "translate"}]
    path = tmp_path / "predictions.jsonl"
    write_jsonl(path, rows)
    assert read_sentence_file(path).hypotheses().texts == ("x",)
    write_jsonl(path, [*rows, rows[0] | {"id": "b", "task": "isolated"}])
    with pytest.raises(DataError, match="translations alone, but 1 rows have task 'isolated'"):
        read_sentence_file(path).hypotheses()
