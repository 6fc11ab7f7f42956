"""Passes over the clips of a task: how often a clip comes, in which epoch, and in batches of which size."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stage_two_fixtures import FEATURE_SIZE, write_clips

from fla_llm.core.errors import CacheError, ConfigError, RunError
from fla_llm.finetune.batching import TrainBatches
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.data import FeatureItems, open_caches
from fla_llm.finetune.run import _digest, describe_clips
from fla_llm.finetune.task_passes import TaskPasses, places_of
from fla_llm.finetune.train import build_model, tune
from fla_llm.planning.model_shapes import read_config
from fla_llm.planning.run_spec import run_on_clips

TASKS = ["translate"] * 5 + ["isolated"] * 6 + ["recognise"] * 3
Folder = Callable[[str], Path]


def mixed_clips() -> list[dict[str, Any]]:
    return [
        {
            "id": f"clip-{n}", "text": "wind kommt" if n % 2 else "regen", "language": "de", "task": task,
            "features": np.full((1 + 5 * n % 7, FEATURE_SIZE), n, np.float16),
        }
        for n, task in enumerate(TASKS)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("mixed"), mixed_clips())


def items_of(folder: Path) -> FeatureItems:
    return FeatureItems(open_caches([folder], "train"))


def shown(items: FeatureItems, passes: dict[str, float], *, epochs: range) -> Counter[str]:
    clips = TaskPasses(items, passes, seed=3)
    return Counter(clips.get(place, epoch)["id"] for epoch in epochs for place in range(len(clips)))


@pytest.mark.parametrize(("passes", "turns"), [(0.5, 2), (1 / 3, 3), (2.5, 2), (3.0, 1), (0.01, 6)])
def test_every_clip_of_a_task_comes_equally_often(mixed: Path, passes: float, turns: int) -> None:
    items = items_of(mixed)
    for start in (0, 7):
        counts = shown(items, {"isolated": passes}, epochs=range(start, start + turns))
        places = max(1, round(passes * 6))
        assert {counts[f"clip-{n}"] for n in range(5, 11)} == {places * turns / 6}
        assert {counts[f"clip-{n}"] for n in (*range(5), *range(11, 14))} == {turns}


def test_turns_depend_on_seed_and_epoch_alone(mixed: Path) -> None:
    items, passes = items_of(mixed), {"isolated": 0.5}

    def order(seed: int) -> list[list[str]]:
        clips = TaskPasses(items, passes, seed=seed)
        return [[clips.get(place, epoch)["id"] for place in range(len(clips))] for epoch in (4, 0, 5)]

    assert order(1) == order(1)
    assert any(order(1) != order(seed) for seed in (2, 3, 4))
    assert order(1)[0] != order(1)[2]  # another epoch shows other clips


def test_one_pass_of_everything_is_every_clip_in_order() -> None:
    assert places_of(TASKS, [1] * len(TASKS), {}) == [(n,) for n in range(len(TASKS))]


def test_a_batch_has_room_for_the_longest_clip_of_each_place(
    mixed: Path, config: TuneConfig, llm_folder: Folder
) -> None:
    training = replace(config.training, batch_clips=3, batch_tokens=45, passes_by_task={"isolated": 0.5})
    own, llm, items = (
        replace(config, quantise="none", training=training),
        str(llm_folder("llama")),
        items_of(mixed),
    )
    model = build_model(items, llm=llm, config=own, device=torch.device("cpu"))
    batches = TrainBatches(model, items)
    assert sum(map(len, batches.batches)) == 5 + 3 + 3
    for epoch in range(4):
        batches.set_epoch(epoch)
        for number, size in enumerate(batches.sizes):
            assert model.padded_size(batches[number]) <= size <= 45
    # The plan knows the batches of the run.
    run = run_on_clips(items, None, llm=llm, config=read_config(llm), tune=own, dtype=torch.float32)
    assert [shape.clips for shape in run.train_shapes] == [len(batch) for batch in batches.batches]


def test_settings_of_passes_name_tasks_and_numbers_within_bounds(config: TuneConfig) -> None:
    with pytest.raises(ConfigError, match=r"translate, recognise, isolated as keys, but has 'isolate'"):
        replace(config.training, passes_by_task={"isolate": 1})
    for wrong in (0, -1.0, 101, float("nan")):
        with pytest.raises(
            ConfigError, match=r"passes_by_task.isolated' must be above 0 and at most 100, but"
        ):
            replace(config.training, passes_by_task={"isolated": wrong})


def test_a_prompt_for_two_tasks_is_warned_of(
    mixed: Path, config: TuneConfig, llm_folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    items, text = items_of(mixed), "Translate the {language} sentence:"
    same = replace(config, quantise="none", prompt=text, prompt_by_task={"isolated": text})
    for own, warnings in ((same, 1), (replace(same, prompt_by_task={}), 0)):
        caplog.clear()
        build_model(items, llm=str(llm_folder("llama")), config=own, device=torch.device("cpu"))
        assert (
            len([row for row in caplog.messages if "cannot tell isolated and translate apart" in row])
            == warnings
        )


def test_streams_of_a_clip_have_one_task(mixed: Path, tmp_path: Path) -> None:
    other = write_clips(tmp_path, [clip | {"task": "translate"} for clip in mixed_clips()], encoder="f" * 64)
    with pytest.raises(
        CacheError, match="one task, but 'clip-5' has isolated in stream 1 and translate in str"
    ):
        FeatureItems(open_caches([mixed, other], "train"))


def test_a_resumed_run_shows_the_clips_that_a_whole_run_shows(
    mixed: Path, config: TuneConfig, llm_folder: Folder, tmp_path: Path
) -> None:
    training = replace(
        config.training, epochs=2, batch_clips=6, select="last", passes_by_task={"isolated": 0.5}
    )
    own = replace(config, quantise="none", train="projector", training=training)
    common: dict[str, Any] = {"llm": str(llm_folder("llama")), "device": "cpu"}
    tune([mixed], config=own, out=tmp_path / "whole", **common)
    half = replace(own, training=replace(training, epochs=1))
    tune([mixed], config=half, out=tmp_path / "resumed", **common)
    tune([mixed], config=own, out=tmp_path / "resumed", resume=True, allow_config_change=True, **common)
    first, second = (
        (tmp_path / name / "projector.safetensors").read_bytes() for name in ("whole", "resumed")
    )
    assert first == second
    other = replace(own, training=replace(training, passes_by_task={}))
    with pytest.raises(RunError, match="must be resumed with the batches it was begun with"):
        tune([mixed], config=other, out=tmp_path / "resumed", resume=True, allow_config_change=True, **common)


def test_other_tasks_of_the_clips_are_other_clips(mixed: Path, tmp_path: Path) -> None:
    plain = [clip | {"task": "translate"} for clip in mixed_clips()]
    other = items_of(write_clips(tmp_path / "other", plain))
    assert describe_clips(items_of(mixed))["digest"] != describe_clips(other)["digest"]
    # Translations have the digest that they had before there were tasks.
    rows = list(zip(other.ids, other.lengths, other.texts, other.languages, strict=True))
    assert describe_clips(other)["digest"] == _digest(rows)
