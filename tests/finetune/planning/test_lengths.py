"""Lengths of clips: of every stream its own, with the prompt that a run would give them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.data import FeatureItems, open_caches
from fla_llm.finetune.projector import StreamProjectors
from fla_llm.llm.prompt import whole_prompt
from fla_llm.planning.batch_shapes import BatchShape, positions, shape_of
from fla_llm.planning.clip_lengths import (
    AROUND,
    ClipLength,
    assumed_lengths,
    cached_lengths,
    longest_of,
    text_tokens,
)
from fla_llm.planning.live_bytes import LiveBytes
from fla_llm.planning.memory import input_bytes, measure_model
from fla_llm.planning.skeleton import read_config

Folder = Callable[[str], Path]
Write = Callable[..., Path]


def items_of(*folders: Path) -> FeatureItems:
    return FeatureItems(open_caches(folders, "train"))


def prompts(folder: Path, tune: TuneConfig) -> set[int | None]:
    clips, translated = cached_lengths(items_of(folder), None, tune=tune)
    assert clips == translated
    return {clip.prompt for clip in clips}


def test_a_clip_has_the_steps_of_each_stream(
    items: list[dict[str, Any]], write_cache: Write, tmp_path: Path, config: TuneConfig
) -> None:
    whole = write_cache(tmp_path / "pictures", items=items)
    halves = [{**item, "features": item["features"][::2]} for item in items]
    half = write_cache(tmp_path / "poses", items=halves, encoder="f" * 64)
    streams = items_of(whole, half)
    clips, _ = cached_lengths(streams, None, tune=config)
    assert [(clip.steps, *clip.further_steps) for clip in clips] == [(3, 2), (5, 3), (7, 4), (9, 5)]
    assert [shape_of([clip], tune=config).projected for clip in clips] == streams.lengths
    in_halves = replace(config, projector=replace(config.projector, kind="conv"))
    assert shape_of(clips, tune=in_halves).projected == 5 + 3  # each stream is rounded up by itself


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_projectors_keep_what_is_foretold_of_each_stream(
    kind: Any, config: TuneConfig, llm_folder: Folder
) -> None:
    tune = replace(config, quantise="none", projector=replace(config.projector, kind=kind, hidden_size=128))
    sizes, batch = (1024, 128), BatchShape(clips=4, steps=64, further_steps=(512,), prompt=9, labels=5)
    llm = read_config(str(llm_folder("llama")))
    memory = measure_model(
        llm, tune=tune, feature_size=sizes[0], further_sizes=sizes[1:], dtype=torch.bfloat16
    )
    projectors = StreamProjectors(sizes, llm.hidden_size, config=tune.projector)
    features = [torch.ones(4, t, f).half() for t, f in zip(batch.stream_steps, sizes, strict=True)]
    with LiveBytes([*projectors.parameters(), *projectors.buffers(), *features]) as live:
        projected, _ = projectors(features, [torch.full((4,), x.shape[1]) for x in features])
        kept = live.now() - projected.nbytes  # which is in the plan by itself
    rows = batch.clips * batch.whole * llm.hidden_size * memory.held_bytes
    assert input_bytes(memory, batch) - rows == pytest.approx(kept, rel=0.02)


def test_examples_and_prompts_of_a_language_are_counted(
    items: list[dict[str, Any]], write_cache: Write, tmp_path: Path, config: TuneConfig
) -> None:
    folder = write_cache(tmp_path / "cache")
    own = replace(config, prompt_by_language={"de": "Was wird hier gesagt?"})
    assert prompts(folder, own) == {text_tokens("Was wird hier gesagt?") + AROUND}
    every = replace(config, examples=len(items))  # as many as there are
    lines = [str(item["text"]) for item in items]
    text = whole_prompt("de", prompt=None, prompts={}, examples=lines)
    assert prompts(folder, every) == {text_tokens(text) + AROUND}
    assert prompts(folder, config) != prompts(folder, every)


def test_assumed_examples_are_as_long_as_the_longest_sentence(config: TuneConfig, llm_folder: Folder) -> None:
    clips = assumed_lengths(8, 6, clips=2)
    llm = read_config(str(llm_folder("llama")))
    told = replace(config, examples=3)
    (plain, _), (longer, _) = (positions(clips, tune=tune, config=llm)[0] for tune in (config, told))
    assert longer - plain == 3 * clips[0].labels


def test_the_longest_clip_is_the_longest_in_everything() -> None:
    clips = [
        ClipLength(steps=9, further_steps=(1, 4), labels=2, prompt=7),
        ClipLength(steps=3, further_steps=(5, 2), labels=6, prompt=8),
    ]
    assert longest_of(clips) == ClipLength(steps=9, further_steps=(5, 4), labels=6, prompt=8)
    assert longest_of(assumed_lengths(8, 6, clips=2)).prompt is None
