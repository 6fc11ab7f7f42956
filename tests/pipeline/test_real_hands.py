"""bench/real_hands.py runs the pipeline on a table of signs by the commands, with settings by rules."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from fla_llm.configs import PRETRAIN_PRESETS, TUNE_PRESETS
from fla_llm.core.config import load_config
from fla_llm.core.errors import DataError, RunError
from fla_llm.core.files import read_json
from fla_llm.core.sample import Sample
from fla_llm.corpora.manifest import Manifest, read_manifest
from fla_llm.demo.config import SmallLlmConfig
from fla_llm.finetune.config import TuneConfig
from fla_llm.pretrain.config import PretrainConfig

Fla = Callable[..., Result]
BENCH = Path(__file__).parents[2] / "bench"
TINY_SEARCH = ("decoding.num_beams=1", "decoding.max_new_tokens=4")
TINY_TRAINING = ("training.epochs=1", "training.evaluate_from_epoch=1")
TINY_STAGE_ONE = (
    "encoder.image_size=32", "encoder.resize_size=32", "encoder.pool=grid-2", "encoder.hidden_size=16",
    "encoder.sampling.stride=4", "translator.encoder_layers=1", "translator.decoder_layers=1",
    "translator.heads=2", "translator.hidden_size=16", "translator.ffn_size=32",
    *TINY_TRAINING, *TINY_SEARCH,
)  # fmt: skip
TINY_STAGE_TWO = ("projector.hidden_size=16", "lora.rank=2", *TINY_TRAINING, *TINY_SEARCH)


@pytest.fixture(scope="module")
def bench() -> Iterator[Callable[[str], Any]]:
    """Import a module of bench/, whose files import each other by their bare names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        yield importlib.import_module


@pytest.fixture(scope="module")
def options(bench: Callable[[str], Any], run_fla: Fla) -> Any:
    """Commands in this process, and models of a few weights."""
    return bench("real_hands").Options(
        settings=TINY_STAGE_ONE,
        tune_settings=TINY_STAGE_TWO,
        small_llm=SmallLlmConfig(hidden_size=64, layers=1, steps=2),
        fla=run_fla,
    )


@pytest.fixture(scope="module")
def ran(
    bench: Callable[[str], Any], options: Any, house: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run with the training clips of two people."""
    out = tmp_path_factory.mktemp("hands")
    bench("real_hands").run_all(house / "corpus" / "annotations.jsonl", out, people=[2], options=options)
    return out


def clip(text: str, frames: int, *, fps: float = 25.0) -> Sample:
    return Sample(id=text, split="train", video="", text=text, language="en", num_frames=frames, fps=fps)


def test_the_table_has_every_system_with_the_scores_of_its_evaluation(ran: Path) -> None:
    folder = ran / "people-2"
    table = read_json(folder / "table.json")
    assert list(table["scores"]) == [
        "stage one", "stage one, shuffled", "stage two, small", "stage two, small, shuffled",
        "nearest training clip", "most frequent sentence",
    ]  # fmt: skip
    for run, system in (("stage1", "stage one"), ("stage2-small", "stage two, small")):
        evaluated = read_json(folder / run / "scores.json")
        for name, control in (("test", ""), ("test-shuffled", ", shuffled")):
            assert {key: evaluated[name][key] for key in ("wer", "bleu4", "exact_match")} == {
                key: table["scores"][system + control][key] for key in ("wer", "bleu4", "exact_match")
            }
    text = (folder / "table.md").read_text()
    assert all(f"| {name} |" in text for name in (*table["scores"], *table["steps"]))


def test_the_people_of_a_system_have_all_its_clips_and_errors(ran: Path) -> None:
    table = read_json(ran / "people-2" / "table.json")
    for name, people in table["people"].items():
        assert sum(person["count"] for person in people.values()) == table["scores"][name]["count"]
        exact = sum(person["exact_match"] * person["count"] for person in people.values())
        assert exact == pytest.approx(table["scores"][name]["exact_match"] * table["scores"][name]["count"])


def test_the_curve_has_the_error_rates_of_the_tables(ran: Path) -> None:
    table = read_json(ran / "people-2" / "table.json")
    rates = [f"{own['wer']:.1f}" for own in table["scores"].values()]
    row = " | ".join(["2", str(table["clips"]["train"]), *rates])
    assert (ran / "curve.md").read_text().splitlines()[2:] == [f"| {row} |"]


def test_finished_steps_are_not_run_again(
    bench: Callable[[str], Any], options: Any, house: Path, ran: Path
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError(f"fla {arguments} ran twice")

    table = ran / "people-2" / "table.json"
    before = read_json(table)
    source = house / "corpus" / "annotations.jsonl"
    bench("real_hands").run_all(source, ran, people=[2], options=replace(options, fla=refuse))
    assert read_json(table) == before


def test_a_step_with_other_arguments_is_refused(
    bench: Callable[[str], Any], options: Any, house: Path, ran: Path
) -> None:
    other = replace(options, settings=[*TINY_STAGE_ONE, "training.learning_rate=1e-4"])
    source = house / "corpus" / "annotations.jsonl"
    with pytest.raises(RunError, match="Step pretrain .* other arguments"):
        bench("real_hands").run_all(source, ran, people=[2], options=other)


def test_a_step_with_settings_of_other_rules_is_refused(
    bench: Callable[[str], Any], options: Any, house: Path, ran: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench("hands_settings"), "IMAGE_SIZE", 48)
    source = house / "corpus" / "annotations.jsonl"
    with pytest.raises(RunError, match="Step pretrain .* other arguments or settings"):
        bench("real_hands").run_all(source, ran, people=[2], options=options)


def test_fewer_people_are_a_subset_and_test_stays_whole(bench: Callable[[str], Any], house: Path) -> None:
    manifest = read_manifest(house / "manifest.jsonl")
    with_people = bench("real_hands").with_people
    few, more = (with_people(manifest, count, seed=0) for count in (2, 3))
    signers = [{sample.signer for sample in part.split("train")} for part in (few, more)]
    assert [len(people) for people in signers] == [2, 3]
    assert signers[0] < signers[1]
    assert few.split("test") == more.split("test") == manifest.split("test")
    with pytest.raises(DataError, match="--people must be in"):
        with_people(manifest, 99, seed=0)


def test_the_nearest_clip_of_a_training_clip_is_itself(bench: Callable[[str], Any], house: Path) -> None:
    manifest = read_manifest(house / "manifest.jsonl")
    train = manifest.split("train")
    seen = Manifest(
        corpus="seen",
        root=manifest.root,
        samples=(*train, *(replace(sample, split="test") for sample in train)),
    )
    assert bench("hands_baselines").nearest_clip(seen) == [sample.text for sample in train]


def test_rules_follow_words_and_frame_rate(bench: Callable[[str], Any]) -> None:
    rules = bench("hands_settings")
    assert rules.frame_stride([clip("a b c", 24)]) == 2
    # Slower signs allow a longer stride, but each second keeps its frames.
    assert rules.frame_stride([clip("a b c", 60)]) == 5
    assert rules.frame_stride([clip("a b c", 60, fps=12.5)]) == 2
    often, rarely = [clip("a b", 20)] * 400, [clip("a b", 20)] * 200
    assert (rules.epochs(often), rules.epochs(rarely), rules.epochs(rarely[:1])) == (24, 34, 120)
    counts = [rules.stage_one(rarely, weights=weights)["training"]["epochs"] for weights in (None, Path("w"))]
    assert counts == [34, 24]
    # A large set is not trained on longer than the frames of all epochs allow.
    assert rules.epochs([clip("a b", 1100)] * 80) == 28  # 500,000 of 17,600
    assert rules.epochs([clip("a b", 1100)] * 400) == 24


def test_frames_are_dropped_where_some_clips_are_faster(bench: Callable[[str], Any]) -> None:
    rules = bench("hands_settings")
    assert rules.dropped_frames([clip("a b", 20 + number % 2) for number in range(40)]) == 0
    fast_and_slow = [clip("a b", 12 if number % 5 == 0 else 20) for number in range(40)]
    assert rules.dropped_frames(fast_and_slow) == pytest.approx(0.4)


def test_the_average_of_the_weights_fits_the_length_of_the_run(bench: Callable[[str], Any]) -> None:
    average = bench("hands_settings").average
    assert (average(3456), average(760), average(20)) == (0.998, 0.991, 0.9)


def test_small_sets_have_as_many_steps_of_stage_two_as_large_ones(bench: Callable[[str], Any]) -> None:
    rules = bench("hands_settings")
    for pretrained, steps in ((False, 4000), (True, 560)):
        for clips in (400, 1600):
            settings = rules.stage_two([clip("a b", 20)] * clips, pretrained=pretrained)["training"]
            assert settings["epochs"] * clips // settings["batch_clips"] >= steps
    assert rules.stage_two([clip("a b", 20)], pretrained=False)["training"]["epochs"] == 200


@pytest.mark.parametrize("weights", [None, Path("w.safetensors")])
def test_rules_give_settings_that_the_commands_accept(
    bench: Callable[[str], Any], weights: Path | None, tmp_path: Path
) -> None:
    rules = bench("hands_settings")
    samples = [clip("ein Wort", 40), clip("noch ein Satz", 700)]
    stage_one = rules.stage_one(samples, backbone="tf_efficientnet_lite0", weights=weights)
    if weights:
        assert stage_one["encoder"]["mean"] == [0.5, 0.5, 0.5]
        assert stage_one["encoder"].pop("weights") == "w.safetensors"
    file = tmp_path / "settings.yaml"
    for cls, presets, settings in (
        (PretrainConfig, PRETRAIN_PRESETS, stage_one),
        (TuneConfig, TUNE_PRESETS, rules.stage_two(samples, pretrained=True)),
    ):
        file.write_text(bench("yaml").safe_dump(settings))
        load_config(cls, presets=presets, source=str(file))


@pytest.mark.parametrize("name", ["digits218", "nsl7", "svk"])
def test_real_tables_are_read_and_have_people(
    bench: Callable[[str], Any], run_fla: Fla, shared_data: Path, name: str, tmp_path: Path
) -> None:
    table = shared_data / "signs" / name / "table.csv"
    if not table.is_file():
        pytest.skip(f"no {table}")
    run_fla("prepare", "table", table, "--limit", "6", "--out", tmp_path / "manifest.jsonl")
    manifest = read_manifest(tmp_path / "manifest.jsonl")
    assert [len(manifest.split(split)) for split in ("train", "dev", "test")] == [6, 6, 6]
    assert bench("real_hands").with_people(manifest, 1, seed=0).split("train")
    training = {sample.text for sample in manifest.split("train")}
    assert training.issuperset(bench("hands_baselines").nearest_clip(manifest))
    assert bench("hands_settings").frame_stride(manifest.split("train")) in (2, 3)
