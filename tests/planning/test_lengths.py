"""Lengths and batches of a plan are those of the run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fla_llm.core.sample import TASKS
from fla_llm.finetune.batching import TrainBatches
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.data import FeatureItems, open_caches
from fla_llm.finetune.train import build_model
from fla_llm.llm.prompt import Prompts
from fla_llm.planning.batch_shapes import positions, shape_of
from fla_llm.planning.model_shapes import read_config
from fla_llm.planning.run_spec import run_on_clips
from fla_llm.planning.sequence_lengths import (
    AROUND,
    ClipLength,
    TokenCounter,
    assumed_lengths,
    longest_of,
    text_tokens,
)

Folder = Callable[[str], Path]
Write = Callable[..., Path]


def items_of(*folders: Path) -> FeatureItems:
    return FeatureItems(open_caches(folders, "train"))


def lengths(items: FeatureItems, tune: TuneConfig, llm: Path) -> list[ClipLength]:
    return TokenCounter(None, read_config(str(llm)), tune=tune, train=items).lengths(items)


@pytest.mark.parametrize("shape", ["llama", "mbart"])
def test_batches_and_steps_are_those_of_the_run(
    shape: str, items: list[dict[str, Any]], write_cache: Write, tmp_path: Path, config: TuneConfig,
    llm_folder: Folder,
) -> None:  # fmt: skip
    many = [{**items[n % len(items)], "id": f"clip-{n}", "task": TASKS[n % 3]} for n in range(11)]
    train = items_of(write_cache(tmp_path / "cache", items=many))
    training = replace(
        config.training, batch_clips=3, batch_tokens=70, accumulate=2, passes_by_task={"isolated": 2.0}
    )
    tune, llm = replace(config, quantise="none", training=training, examples=1), str(llm_folder(shape))
    run = run_on_clips(train, None, llm=llm, config=read_config(llm), tune=tune, dtype=torch.float32)
    model = build_model(train, llm=llm, config=tune, device=torch.device("cpu"))
    batches = TrainBatches(model, train)
    shapes = run.train_shapes
    assert [shape.clips for shape in shapes] == [len(batch) for batch in batches.batches]
    made = [batches[number] for number in range(len(batches))]
    assert [shape.steps for shape in shapes] == [(batch["features"].shape[1],) for batch in made]
    assert [shape.labels for shape in shapes] == [batch["labels"].shape[1] for batch in made]
    if shape == "llama":
        sizes = [shape.clips * shape.whole for shape in shapes]
        assert sizes == [model.padded_size(batch) for batch in made] == batches.sizes
    assert run.is_exact
    assert run.steps_per_epoch == -(-len(batches) // 2)


def test_a_clip_has_the_steps_of_each_stream(
    items: list[dict[str, Any]], write_cache: Write, tmp_path: Path, config: TuneConfig, llm_folder: Folder
) -> None:
    whole = write_cache(tmp_path / "pictures", items=items)
    halves = [{**item, "features": item["features"][::2]} for item in items]
    half = write_cache(tmp_path / "poses", items=halves, encoder="f" * 64)
    streams = items_of(whole, half)
    clips = lengths(streams, config, llm_folder("llama"))
    assert [clip.steps for clip in clips] == [(3, 2), (5, 3), (7, 4), (9, 5)]
    assert [shape_of([clip], tune=config).projected for clip in clips] == streams.lengths
    in_halves = replace(config, projector=replace(config.projector, kind="conv"))
    assert shape_of(clips, tune=in_halves).projected == 5 + 3  # each stream is rounded up by itself


def test_examples_and_prompts_of_a_language_are_counted(
    items: list[dict[str, Any]], write_cache: Write, tmp_path: Path, config: TuneConfig, llm_folder: Folder
) -> None:
    train = items_of(write_cache(tmp_path / "cache"))

    def prompts(tune: TuneConfig) -> set[int]:
        return {clip.prompt for clip in lengths(train, tune, llm_folder("llama"))}

    own = replace(config, prompt_by_language={"de": "Was wird hier gesagt?"})
    assert prompts(own) == {text_tokens("Was wird hier gesagt?") + AROUND}
    every = replace(config, examples=len(items))  # as many as there are
    text = Prompts().whole("de", examples=[str(item["text"]) for item in items])
    assert prompts(every) == {text_tokens(text) + AROUND}
    assert prompts(config) != prompts(every)


def test_assumed_examples_are_as_long_as_the_longest_sentence(config: TuneConfig, llm_folder: Folder) -> None:
    llm, longer = read_config(str(llm_folder("llama"))), replace(config, examples=3)
    clips = {tune.examples: assumed_lengths(8, 6, clips=2, tune=tune) for tune in (config, longer)}
    without, with_examples = (positions(row, tune=config, config=llm)[0][0] for row in clips.values())
    assert with_examples - without == 3 * clips[0][0].labels


def test_the_longest_clip_is_the_longest_in_everything() -> None:
    clips = [ClipLength(steps=(9, 1, 4), labels=2, prompt=7), ClipLength(steps=(3, 5, 2), labels=6, prompt=8)]
    assert longest_of(clips) == ClipLength(steps=(9, 5, 4), labels=6, prompt=8)


def test_a_token_is_three_bytes() -> None:
    assert text_tokens("今天") == 2
    assert text_tokens("am sonntag") == 4
