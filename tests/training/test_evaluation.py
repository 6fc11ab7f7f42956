"""Translating a set of clips, and scoring it."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch

from fla_llm.core.errors import DataError
from fla_llm.core.files import read_jsonl
from fla_llm.scoring import score
from fla_llm.training.config import DecodingConfig
from fla_llm.training.evaluation import (
    EvaluationSet,
    Translations,
    mean_scores,
    predict,
    write_predictions,
)

Make = Callable[..., Any]
CPU = torch.device("cpu")


def test_a_process_that_dies_while_it_prepares_a_batch_is_an_error_with_a_remedy(
    toy_dev: Make, toy_items: type[Any], toy_model: Make
) -> None:
    class Deadly(toy_items):
        def get(self, index: int, epoch: int) -> NoReturn:
            os._exit(3)

    with pytest.raises(DataError, match=r"one did not: DataLoader worker .*\nRun the same command again\."):
        predict(toy_model(), toy_dev(Deadly(3)), decoding=DecodingConfig(), device=CPU, desc=None, workers=1)


def translations_of(evaluation: EvaluationSet, hypotheses: list[str]) -> Translations[str]:
    return Translations(
        ids=evaluation.ids,
        references=evaluation.references,
        languages=evaluation.languages,
        tasks=evaluation.tasks,
        hypotheses=hypotheses,
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_sentences_come_in_the_order_of_the_ids_and_draw_no_chance(
    toy_dev: Make, toy_items: Make, toy_model: Make, workers: int
) -> None:
    items, model = toy_items(10, noise=0.0), toy_model().train()
    before = torch.get_rng_state()
    found = predict(model, toy_dev(items), decoding=DecodingConfig(), device=CPU, desc=None, workers=workers)
    texts = found.hypotheses
    assert torch.equal(before, torch.get_rng_state())
    assert model.training
    model.eval()
    alone = {"features": items.features[7][None], "lengths": torch.tensor([len(items.features[7])])}
    assert texts[7] == model.translate(alone, DecodingConfig())[0]


def test_scores_of_several_languages_are_the_mean_by_clips(toy_dev: Make, toy_items: Make) -> None:
    found = translations_of(toy_dev(toy_items(8)), [*"aaaaaa", "a a a", "b b b"])
    found.hypotheses[:6] = found.references[:6]
    mixed = replace(found, languages=["en"] * 6 + ["de"] * 2)
    german = score(found.hypotheses[6:], found.references[6:], language="de")
    assert mean_scores(mixed)["bleu1"] == pytest.approx(0.75 * 100 + 0.25 * german.bleu1)
    whole = score(found.hypotheses, found.references, language="en")
    assert mean_scores(found)["bleu1"] == pytest.approx(whole.bleu1)
    assert mean_scores(found)["bleu4"] == whole.bleu4  # unrounded: the best checkpoint is told by it


def test_predictions_are_written_by_id(toy_dev: Make, toy_items: Make, tmp_path: Path) -> None:
    evaluation = toy_dev(toy_items(2))
    write_predictions(tmp_path / "predictions.jsonl", translations_of(evaluation, ["a", "b"]))
    rows = read_jsonl(tmp_path / "predictions.jsonl")
    assert rows[1] == {
        "id": "clip/1", "prediction": "b", "reference": evaluation.references[1], "language": "en",
    }  # fmt: skip


def test_each_task_is_scored_by_its_own_metric(toy_dev: Make, toy_items: Make, tmp_path: Path) -> None:
    found = replace(
        translations_of(toy_dev(toy_items(5)), ["a b", "A C", "B", "tea", "cup"]),
        references=["a b", "A B", "B", "tea", "tea"],
        tasks=["translate", "recognise", "recognise", "isolated", "isolated"],
    )
    scores = mean_scores(found)
    assert scores["bleu1"] == score(["a b"], ["a b"]).bleu1  # of the translation alone
    assert scores["recognise/wer"] == pytest.approx(100 / 3)
    assert (scores["recognise/exact_match"], scores["isolated/top1"]) == (50, 50)
    assert set(mean_scores(found.of_task("isolated"))) == {"isolated/top1", "isolated/top1_per_class"}
    write_predictions(tmp_path / "predictions.jsonl", found)
    assert [row["task"] for row in read_jsonl(tmp_path / "predictions.jsonl")] == found.tasks
