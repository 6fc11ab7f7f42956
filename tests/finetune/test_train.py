"""A whole run on a cache alone: what it leaves, how it is loaded, and what is refused."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from fla_llm.cli import fla
from fla_llm.core.config import write_config
from fla_llm.core.errors import CacheError, ConfigError, DataError, ModelError, RunError
from fla_llm.core.signals import Interrupted
from fla_llm.finetune.batching import TrainBatches, feature_evaluation_set
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.data import FeatureItems, open_caches
from fla_llm.finetune.projector import embedding_rms
from fla_llm.finetune.run_files import PARTS
from fla_llm.finetune.store import check_streams, load_stage_two
from fla_llm.finetune.streams import StreamRecord
from fla_llm.finetune.train import build_model, plan, tune
from fla_llm.training.evaluation import predict
from fla_llm.training.tracking import PACKAGES

CPU = torch.device("cpu")
Folder = Callable[[str], Path]


@pytest.mark.parametrize("shape", ["llama", "mbart"])
def test_a_run_is_loaded_as_it_was_saved(
    shape: str, llm_folder: Folder, config: TuneConfig, write_cache: Callable[..., Path], items: list,
    tmp_path: Path, other_modes: Callable[[Path], dict[str, str]],
) -> None:  # fmt: skip
    cache, run = write_cache(tmp_path / "cache"), tmp_path / "run"
    tuned = tune([cache], llm=str(llm_folder(shape)), config=config, out=run, device="cpu")
    assert other_modes(run) == {}
    assert (tuned.train_clips, tuned.dev_clips) == (4, 4)
    assert all((run / part).is_file() for part in (*PARTS, "log.jsonl", "predictions-dev.jsonl"))
    first = json.loads((run / "log.jsonl").read_text().splitlines()[0])
    assert first["step"] == 0
    assert first["projector_rms"] == pytest.approx(first["embedding_rms"], rel=0.05)
    model = load_stage_two(run, device=CPU)
    ids = [token for item in items for token in model.codec.target_ids(item["text"])]
    assert first["embedding_rms"] == pytest.approx(embedding_rms(model.conditioned_lm.embed, ids, device=CPU))
    dev = FeatureItems(open_caches([cache], "dev"))
    evaluation = feature_evaluation_set(dev, model=model, max_clips=2, max_tokens=64)
    said = predict(model, evaluation, decoding=config.decoding, device=CPU)
    rows = [json.loads(line) for line in (run / "predictions-dev.jsonl").read_text().splitlines()]
    assert {row["id"]: row["prediction"] for row in rows} == dict(zip(said.ids, said.hypotheses, strict=True))


@pytest.mark.usefixtures("as_in_a_terminal")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_tuning_with_its_code_and_says_how_to_go_on(
    llm_folder: Folder, config: TuneConfig, write_cache: Callable[..., Path], tmp_path: Path, number: int,
    code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    cache, run, get = write_cache(tmp_path / "cache", splits=("train",)), tmp_path / "run", FeatureItems.get

    def signalled(self: FeatureItems, index: int, epoch: int = 0) -> Any:
        if epoch == 1:
            os.kill(os.getpid(), number)
        return get(self, index, epoch)

    own = replace(config, training=replace(config.training, epochs=2, select="last"))
    monkeypatch.setattr(FeatureItems, "get", signalled)
    with pytest.raises(Interrupted) as stopped:
        tune([cache], llm=str(llm_folder("llama")), config=own, out=run, device="cpu")
    assert stopped.value.code == code
    assert f"(epoch 1.00) in {run} is kept" in capsys.readouterr().err


def test_a_loaded_run_shows_the_examples_it_was_tuned_with(
    llm_folder: Folder, config: TuneConfig, write_cache: Callable[..., Path], tmp_path: Path
) -> None:
    cache, run = write_cache(tmp_path / "cache", splits=("train",)), tmp_path / "run"
    own = replace(config, examples=2, training=replace(config.training, epochs=1, select="last"))
    tune([cache], llm=str(llm_folder("llama")), config=own, out=run, device="cpu")
    codec = load_stage_two(run, device=CPU).codec
    assert len(codec.examples["de"]) == 2
    assert set(codec.examples["de"]) <= set(FeatureItems(open_caches([cache], "train")).texts)


def test_a_resume_may_change_settings_but_not_the_clips(
    llm_folder: Folder, config: TuneConfig, write_cache: Callable[..., Path], items: list, tmp_path: Path
) -> None:
    cache, run = write_cache(tmp_path / "cache"), tmp_path / "run"
    once = replace(config, training=replace(config.training, epochs=1))
    common = {"llm": str(llm_folder("llama")), "device": "cpu", "out": run}
    tune([cache], config=once, **common)
    with pytest.raises(RunError, match="these differ:\n  training.epochs: was 1, is now 2"):
        tune([cache], config=config, resume=True, **common)
    other = write_cache(tmp_path / "other", encoder="a" * 64)
    plain = items[3]["features"]
    items[3]["features"] = -plain
    values = write_cache(tmp_path / "values", splits=("train",))
    items[3]["features"] = plain
    write_cache(values, splits=("dev",))
    items[1]["text"] = "heute"
    changed = write_cache(tmp_path / "changed")
    for folder, limit, found in (
        (changed, None, "train.digest: was .*\n  dev.digest: was"),
        (values, None, "train.features: was '.{16}', is now '.{16}'\nGive"),
        (other, None, "train.encoders: was .'eeee.*is now .'aaaa"),
        (cache, 2, "train.clips: was 4, is now 2"),
    ):
        with pytest.raises(RunError, match=f"cache has changed under it:\n  {found}"):
            tune([folder], config=once, resume=True, allow_config_change=True, limit=limit, **common)
    settled = (run / "config.yaml").read_bytes()
    halved = replace(once, training=replace(once.training, batch_tokens=32))
    with pytest.raises(RunError, match=r"begun with \(1, 1 a step\), but .* others \(\d, 1 a step\)"):
        tune([cache], config=halved, resume=True, allow_config_change=True, **common)
    assert (run / "config.yaml").read_bytes() == settled
    begun = (run / "begun.json").rename(tmp_path / "begun.json")
    with pytest.raises(RunError, match=r"must hold begun.json to be resumed, but has checkpoints without it"):
        tune([cache], config=once, resume=True, **common)
    begun.rename(run / "begun.json")
    settings = tmp_path / "settings.yaml"
    write_config(config, settings)
    arguments = [
        "tune", "--features", str(cache), "--llm", common["llm"], "--out", str(run), "--device", "cpu",
        "--config", str(settings), "--resume", "--json",
    ]  # fmt: skip
    done = CliRunner().invoke(fla, [*arguments, "--allow-config-change"], catch_exceptions=False)
    assert json.loads(done.stdout)["train_clips"] == 4
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    told = [row for row in log if "config_changed" in row]
    assert told == [{"step": 1, "config_changed": {"training.epochs": {"was": 1, "is_now": 2}}}]
    assert max(row["step"] for row in log) == 2


def test_a_resume_takes_the_language_model_it_was_begun_with_wherever_that_lies(
    llm_folder: Folder, config: TuneConfig, write_cache: Callable[..., Path], tmp_path: Path
) -> None:
    cache, run, base = write_cache(tmp_path / "cache"), tmp_path / "run", llm_folder("llama")
    common = {"config": config, "device": "cpu", "out": run, "resume": True}
    tune([cache], llm=str(base), **(common | {"resume": False}))
    begun = json.loads((run / "begun.json").read_text())
    described = json.loads((run / "run.json").read_text())
    assert all(begun[key] == described[key] for key in ("llm", "llm_revision"))
    moved, other = (shutil.copytree(base, tmp_path / name) for name in ("moved", "other"))
    weights = load_file(other / "model.safetensors")
    weights["model.norm.weight"][0] = 0.5
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    before = {path: path.read_bytes() for path in run.glob("*.*")}
    expected = rf"begun with, {base} \({begun['llm_revision']}\), but --llm is {other} \([0-9a-f]{{64}}\)"
    with pytest.raises(RunError, match=expected):
        tune([cache], llm=str(other), allow_config_change=True, **common)
    assert before == {path: path.read_bytes() for path in run.glob("*.*")}
    tune([cache], llm=str(moved), **common)
    assert json.loads((run / "run.json").read_text())["llm"] == str(moved)


def test_a_trial_run_without_writing_misses_the_tracker_too(
    config: TuneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PACKAGES, "trackio", ("no_such_package",))
    told = replace(config, training=replace(config.training, report_to="trackio"))
    with pytest.raises(ConfigError, match="report_to is trackio, which must be installed, but is not"):
        plan([tmp_path], llm="any/model", config=told, device="cpu")


def test_a_run_that_cannot_begin_leaves_nothing(config: TuneConfig, cached: Path, tmp_path: Path) -> None:
    once = replace(config, training=replace(config.training, select="last"))
    with pytest.raises(ModelError, match="no/such"):
        tune([cached], llm=str(tmp_path / "no" / "such"), config=once, out=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_written_over(config: TuneConfig, cached: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").touch()
    once = replace(config, training=replace(config.training, select="last"))
    with pytest.raises(RunError, match="is not empty"):
        tune([cached], llm="not/loaded", config=once, out=tmp_path, device="cpu")


def test_a_cache_of_another_encoder_is_refused(build: Callable, tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="eeee.*come from aaaa"):
        check_streams(build("llama"), [StreamRecord(fingerprint="a" * 64, feature_size=8)])


def test_caches_are_put_together_if_their_ids_are_disjoint(
    write_cache: Callable[..., Path], tmp_path: Path
) -> None:
    one, two = write_cache(tmp_path / "one"), write_cache(tmp_path / "two", prefix="b/")
    items = FeatureItems(open_caches([one, two], "train"))
    assert len(items) == 8
    assert items.get(4)["id"] == "b/clip-0"
    with pytest.raises(CacheError, match="'clip-0' is in two of them"):
        FeatureItems(open_caches([one, one], "train"))
    other = write_cache(tmp_path / "other", prefix="c/", encoder="a" * 64)
    with pytest.raises(CacheError, match="one encoder, but come from eeee.* and aaaa"):
        FeatureItems(open_caches([one, other], "train"))


def test_no_dev_split_needs_the_last_checkpoint(
    llm_folder: Folder, config: TuneConfig, write_cache: Callable[..., Path], tmp_path: Path
) -> None:
    cache = write_cache(tmp_path / "cache", splits=("train",))
    with pytest.raises(CacheError, match="no dev split to choose.*\n.*training.select=last"):
        plan([cache], llm=str(llm_folder("llama")), config=config, device="cpu")
    last = replace(config, training=replace(config.training, select="last"))
    planned = plan([cache], llm=str(llm_folder("llama")), config=last, device="cpu")
    assert (planned.train_clips, planned.dev_clips, planned.batches) == (4, 0, 1)
    assert planned.loss > 0


@pytest.mark.parametrize(
    ("shape", "repeats", "expected"),
    [
        ("mbart", 20, "needs 146 for feature steps and prompt .140 feature steps"),
        ("mbart", 9, "needs 69 for feature steps and prompt .63 feature steps"),  # 63 alone would fit into 64
        ("llama", 9, "needs 70 for feature steps, prompt and sentence .63 feature steps"),
    ],
)
def test_a_clip_that_does_not_fit_into_the_models_positions_is_named(
    shape: str,
    repeats: int,
    expected: str,
    llm_folder: Folder,
    config: TuneConfig,
    write_cache: Callable[..., Path],
    items: list,
    tmp_path: Path,
) -> None:
    items[2]["features"] = items[2]["features"].repeat(repeats, axis=0)
    clips = FeatureItems(open_caches([write_cache(tmp_path / "cache")], "train"))
    with pytest.raises(DataError, match=rf"'clip-2'.*positions \(64\), but {expected}"):
        TrainBatches(build_model(clips, llm=str(llm_folder(shape)), config=config, device=CPU), clips)
    shorter = replace(config, projector=replace(config.projector, kind="conv", kernel=5, stride=5))
    TrainBatches(build_model(clips, llm=str(llm_folder(shape)), config=shorter, device=CPU), clips)


def test_a_sentence_that_does_not_fit_is_refused(
    llm_folder: Folder, config: TuneConfig, write_cache: Callable[..., Path], items: list, tmp_path: Path
) -> None:
    items[1]["text"] = "regen " * 70
    clips = FeatureItems(open_caches([write_cache(tmp_path / "cache")], "train"))
    with pytest.raises(DataError, match="'clip-1'.*needs 71 for its sentence alone"):
        TrainBatches(build_model(clips, llm=str(llm_folder("mbart")), config=config, device=CPU), clips)


def test_shuffled_features_keep_the_sentences(
    write_cache: Callable[..., Path], build: Callable, tmp_path: Path
) -> None:
    items = FeatureItems(open_caches([write_cache(tmp_path / "cache")], "dev"))
    model = build("llama")
    shuffled = feature_evaluation_set(items, model=model, max_clips=1, max_tokens=64, order=[1, 2, 3, 0])
    assert shuffled.references == items.texts
    given = {batch[0]: shuffled.batches[i] for i, batch in enumerate(shuffled.batches.batches)}
    assert given[0]["feature_lengths"].item() == items.lengths[1]


def test_the_command_tunes(
    llm_folder: Folder, config: TuneConfig, write_cache: Callable[..., Path], tmp_path: Path
) -> None:
    cache, settings = write_cache(tmp_path / "cache"), tmp_path / "settings.yaml"
    write_config(config, settings)
    arguments = [
        "--features", str(cache), "--llm", str(llm_folder("llama")), "--out", str(tmp_path / "run"),
        "--set", "training.epochs=1", "--device", "cpu", "--limit", "2", "--json",
    ]  # fmt: skip
    dry = CliRunner().invoke(
        fla,
        [
            "tune", *arguments, "--set", "train=lora", "--train", "projector", "--batch-tokens", "10",
            "--dry-run",
        ],
        catch_exceptions=False,
    )  # fmt: skip
    planned = json.loads(dry.stdout)
    assert (planned["train_clips"], planned["batches"], planned["padding_share"]) == (2, 2, 0)
    assert planned["trained_parameters"] == 9 * 1024 + 1025 * 64 + 2 * 64  # the projector alone
    assert not (tmp_path / "run").exists()
    done = CliRunner().invoke(
        fla, ["tune", *arguments, "--config", str(settings), "--quantise", "none"], catch_exceptions=False
    )
    assert json.loads(done.stdout)["epoch"] == 1
    assert json.loads((tmp_path / "run" / "run.json").read_text())["quantise"] == "none"
    first = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[0])
    assert (first["step"], first["batches"]) == (0, 1)
    assert f"1 batches of up to 28 tokens, {first['padding_share']:.1%} padding" in done.stderr
