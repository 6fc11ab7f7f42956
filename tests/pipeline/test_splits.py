"""The split that is asked for is the one that is translated and scored: its features, its sentences."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from fla_llm.cache.reader import FeatureCache
from fla_llm.core.sample import Split
from fla_llm.finetune.collate import collate
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.opening import open_clips
from fla_llm.finetune.store import load_stage_two

Fla = Callable[..., Result]


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_an_evaluation_translates_the_features_of_its_split(
    split: Split, run_fla: Fla, house: Path, tmp_path: Path
) -> None:
    run_fla("export", house / "stage2", "--out", tmp_path / "run")
    done = run_fla(
        "evaluate", tmp_path / "run", "--features", house / "cache", "--split", split, "--n-best", "1",
        "--set", "num_beams=1", "--device", "cpu", "--json",
    )  # fmt: skip
    rows = [
        json.loads(line) for line in Path(json.loads(done.stdout)["predictions"]).read_text().splitlines()
    ]
    cache = FeatureCache(house / "cache", split)
    assert [row["id"] for row in rows] == [entry.id for entry in cache.rows]
    model = load_stage_two(tmp_path / "run", device="cpu")
    decoding = type(model.config.decoding)(num_beams=1, max_new_tokens=model.config.decoding.max_new_tokens)
    for number, row in enumerate(rows):
        own = cache.rows[number]
        clip = {"id": own.id, "features": cache[number], "text": own.text, "language": own.language}
        best = model.translate_n_best(collate([clip], codec=model.codec), decoding, count=1)[0][0]
        assert row["reference"] == clip["text"]
        assert row["n_best"][0]["score"] == pytest.approx(best["score"], abs=1e-4)


def test_tuning_chooses_on_the_features_of_dev(house: Path) -> None:
    train, dev = open_clips([house / "cache"], config=TuneConfig())
    for split, items in (("train", train), ("dev", dev)):
        cache = FeatureCache(house / "cache", split)  # type: ignore[arg-type]
        assert items is not None
        assert list(items.ids) == [entry.id for entry in cache.rows]
        assert all((items.get(number)["features"] == cache[number]).all() for number in range(len(cache)))
