"""Batches of stage two hold what a budget of the language model's positions allows, and little padding."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fla_llm.finetune.batching import TrainBatches, feature_evaluation_set
from fla_llm.finetune.config import ProjectorConfig, TuneConfig
from fla_llm.finetune.data import FeatureItems, open_caches
from fla_llm.finetune.model import StageTwoModel

Build = Callable[..., StageTwoModel]
SHAPES = ("llama", "mbart", "t5")
PROJECTORS = (ProjectorConfig(hidden_size=16), ProjectorConfig(kind="conv", hidden_size=16, stride=3))


def computed_positions(model: StageTwoModel, batch: dict[str, Any]) -> int:
    """Return on how many positions the parts of the language model really compute."""
    base, seen = model.language_model.model, []
    parts = [base.get_decoder()]
    parts += [base.get_encoder()] if base.config.is_encoder_decoder else []
    hooks = [
        part.register_forward_hook(lambda *given: seen.append(given[-1].last_hidden_state.shape[:2]))
        for part in parts
    ]
    model(**batch)
    for hook in hooks:
        hook.remove()
    return sum(clips * positions for clips, positions in seen)


@pytest.fixture
def clips(write_cache: Callable[..., Path], tmp_path: Path) -> FeatureItems:
    return FeatureItems(open_caches([write_cache(tmp_path / "cache")], "train"))


@pytest.mark.parametrize("projector", PROJECTORS, ids=["mlp", "conv"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_batch_is_as_large_as_what_the_model_computes_on(
    shape: str, projector: ProjectorConfig, build: Build, config: TuneConfig, clips: FeatureItems
) -> None:
    two = replace(config.training, batch_clips=2)
    model = build(shape, quantise="none", projector=projector, training=two)
    data = TrainBatches(model, clips)
    assert len(data) == 2
    for number, size in enumerate(data.sizes):
        assert size == model.padded_size(data[number]) == computed_positions(model, data[number])
    assert model.padded_size(data.largest) == max(data.sizes)


@pytest.mark.parametrize("tokens", [1, 40, 64, 10_000])
@pytest.mark.parametrize("shape", ["llama", "mbart"])
def test_every_clip_stands_in_one_batch_within_the_budget(
    shape: str, tokens: int, build: Build, config: TuneConfig, clips: FeatureItems
) -> None:
    model = build(shape, training=replace(config.training, batch_tokens=tokens))
    data = TrainBatches(model, clips)
    assert sorted(index for batch in data.batches for index in batch) == [0, 1, 2, 3]
    assert all(
        size <= tokens or len(batch) == 1 for size, batch in zip(data.sizes, data.batches, strict=True)
    )
    assert 0 <= data.padding_share < 0.5
    assert TrainBatches(model, clips).batches == data.batches


def test_what_is_translated_is_batched_without_its_sentences(
    build: Build, items: list, write_cache: Callable[..., Path], tmp_path: Path
) -> None:
    model = build("llama")
    formed = []
    for name in ("one", "two"):
        dev = FeatureItems(open_caches([write_cache(tmp_path / name)], "dev"))
        formed.append(feature_evaluation_set(dev, model=model, max_clips=3, max_tokens=45).batches)
        items[0]["text"] = "im norden kommt wind und regen heute und morgen"
    assert formed[0].batches == formed[1].batches
    assert len(formed[0]) == 2
    for batch in formed[0].batches:
        longest = max(3 + 2 * clip for clip in batch)  # feature steps; the prompt adds five words
        assert len(batch) * (longest + 5) <= 45
