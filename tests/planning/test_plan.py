"""The plan of stage two: parts add up, more never takes less, what does not fit is refused with a remedy."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from transformers import Qwen2Config

from fla_llm.cli import fla
from fla_llm.core.errors import ConfigError, ModelError
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.data import FeatureItems, open_caches
from fla_llm.finetune.model import StageTwoModel
from fla_llm.finetune.train import evaluation_set
from fla_llm.planning.batch_shapes import BatchShape
from fla_llm.planning.layer_stack import UnmeasurableError
from fla_llm.planning.memory import CONTEXT_BYTES, GB, measure_model, total
from fla_llm.planning.model_shapes import read_config
from fla_llm.planning.probe import largest_translated
from fla_llm.planning.remedies import plan_memory
from fla_llm.planning.run_spec import RunSpec
from fla_llm.planning.sequence_lengths import assumed_lengths
from fla_llm.planning.step_memory import generation_parts, training_parts
from fla_llm.planning.tune_plan import Lengths, plan_tune
from fla_llm.planning.vram_check import check_fits
from fla_llm.training.config import DecodingConfig

Folder = Callable[[str], Path]


def spec(llm: Path, config: TuneConfig, **settings: Any) -> RunSpec:
    tune = replace(config, **settings)
    clips = assumed_lengths(8, 6, clips=8, tune=tune)
    return RunSpec(
        config=read_config(str(llm)),
        tune=tune,
        feature_sizes=(8,),
        dtype=torch.bfloat16,
        train=clips,
        dev=clips,
    )


@pytest.mark.parametrize(("shape", "train"), [("llama", "lora+projector"), ("mbart", "projector")])
def test_more_never_takes_less(shape: str, train: Any, llm_folder: Folder, config: TuneConfig) -> None:
    llm = read_config(str(llm_folder(shape)))

    def memory(*, clips: int = 4, steps: int = 30, labels: int = 12, **settings: Any) -> tuple[int, int]:
        tune = replace(config, quantise="none", train=train, **settings)
        model = measure_model(llm, tune=tune, feature_sizes=(8,), dtype=torch.bfloat16)
        sizes = {"projected": steps, "source": steps + 10, "labels": labels, "whole": steps + 9 + labels}
        batch = BatchShape(clips=clips, steps=(steps,), **sizes)
        return total(training_parts(model, batch)), total(generation_parts(model, batch))

    training, generation = memory()
    for name, values in {"clips": (5, 50), "steps": (31, 300), "labels": (13, 130)}.items():
        for value in values:
            more = memory(**{name: value})
            assert more[0] > training
            assert more[1] >= generation
    beams = [memory(decoding=DecodingConfig(num_beams=n, max_new_tokens=8))[1] for n in (1, 2, 8)]
    assert beams == sorted(set(beams))


def test_a_search_reads_before_its_cache_is_full(llm_folder: Folder, config: TuneConfig) -> None:
    llm = read_config(str(llm_folder("llama")))
    batch = BatchShape(clips=8, steps=(400,), projected=400, source=410, labels=9, whole=418)

    def search(new: int) -> dict[str, int]:
        tune = replace(config, quantise="none", decoding=DecodingConfig(num_beams=4, max_new_tokens=new))
        return generation_parts(
            measure_model(llm, tune=tune, feature_sizes=(8,), dtype=torch.bfloat16), batch
        )

    one, few, many = search(1), search(2), search(10_000)
    assert one == few  # the moment of reading is the fullest, and knows nothing of what is to come
    assert "reading features and prompt" in few
    assert "reading features and prompt" not in many
    keys = "keys and values, one set a beam"
    assert many[keys] == pytest.approx(few[keys] * 10_410 / 410)


def test_a_probe_translates_the_largest_batch_of_an_evaluation(
    build: Callable[..., StageTwoModel], write_cache: Callable[..., Path], tmp_path: Path
) -> None:
    model = build("llama", quantise="none")
    clips = FeatureItems(open_caches([write_cache(tmp_path / "cache")], "dev"), view_seed=0)
    largest = largest_translated(model, clips)
    batches = evaluation_set(model, clips).batches

    def positions(batch: dict[str, Any]) -> int:
        source = batch["features"].shape[1] + batch["prompt_ids"].shape[1]
        return len(batch["features"]) * (source + model.config.decoding.max_new_tokens)

    assert positions(largest) == max(positions(batches[number]) for number in range(len(batches)))
    assert model.eval().translate(largest, model.config.decoding)


def test_a_model_of_one_layer_that_lists_its_layers_is_planned(
    llm_folder: Folder, tmp_path: Path, config: TuneConfig
) -> None:
    listed = Qwen2Config(**read_config(str(llm_folder("llama"))).to_dict() | {
        "num_hidden_layers": 1, "layer_types": ["full_attention"], "model_type": "qwen2",
    })  # fmt: skip
    listed.save_pretrained(tmp_path)
    assert plan_memory(spec(tmp_path, config), room=24 * GB).fits


def test_fits_is_what_the_parts_add_up_to(llm_folder: Folder, config: TuneConfig) -> None:
    run = spec(llm_folder("llama"), config)
    plan = plan_memory(run, room=24 * GB)
    assert plan.bytes == max(sum(parts.values()) for parts in (plan.training, plan.generation))
    assert plan_memory(run, room=plan.bytes).fits
    tight = plan_memory(run, room=plan.bytes - 1)
    assert not tight.fits
    assert tight.remedies


def test_remedies_come_in_order_and_the_last_one_fits(llm_folder: Folder, config: TuneConfig) -> None:
    run = spec(llm_folder("llama"), config, quantise="none")
    least = plan_memory(spec(llm_folder("llama"), config, activation_checkpointing=True), room=24 * GB)
    whole = plan_memory(run, room=24 * GB).bytes
    said = plan_memory(run, room=(whole + least.bytes) // 2).remedies
    assert said[0].startswith("--set activation_checkpointing=true")
    assert said[-1].endswith("fits")
    hopeless = plan_memory(run, room=CONTEXT_BYTES).remedies
    assert [line.split("=")[0] for line in hopeless[:3]] == [
        "--set activation_checkpointing", "--set quantise", "--set decoding.num_beams",
    ]  # fmt: skip
    assert "smaller --llm" in hopeless[-1]


def test_where_translating_takes_most_the_remedies_name_the_beams(
    llm_folder: Folder, config: TuneConfig
) -> None:
    many = DecodingConfig(num_beams=9, max_new_tokens=8)
    run = spec(llm_folder("llama"), config, activation_checkpointing=True, decoding=many)
    plan = plan_memory(run, room=CONTEXT_BYTES)
    assert total(plan.generation) > total(plan.training)
    assert "keys and values of clip and prompt are held once for each of 9 beams" in plan.remedies[0]


def test_a_run_that_trains_everything_is_told_what_to_change(llm_folder: Folder, config: TuneConfig) -> None:
    run = spec(llm_folder("llama"), config, quantise="none", train="full")
    told = [line for line in plan_memory(run, room=CONTEXT_BYTES).remedies if line.startswith("--set")]
    assert [line.partition(":")[0] for line in told[:3]] == [
        "--set activation_checkpointing=true", "--set training.optimiser=adamw8bit",
        "--set train=lora+projector --set quantise=nf4",
    ]  # fmt: skip


def test_the_run_that_cannot_fit_is_refused_before_it_begins(
    llm_folder: Folder, config: TuneConfig, write_cache: Callable[..., Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("fla_llm.planning.vram_check.resolve_dtype", lambda *_: torch.bfloat16)
    monkeypatch.setattr("fla_llm.planning.vram_check.resolve_device", torch.device)
    cache = [write_cache(tmp_path / "cache")]
    run = {"llm": str(llm_folder("llama")), "config": config}
    monkeypatch.setattr("fla_llm.planning.vram_check.free_bytes", lambda _: 24 * GB)
    check_fits(cache, **run, device="cuda")
    monkeypatch.setattr("fla_llm.planning.vram_check.free_bytes", lambda _: 2**16)
    with pytest.raises(
        ModelError, match=r"must fit into 0\.9 GB, but takes an estimated .* GB\.\n--set activation_ch"
    ):
        check_fits(cache, **run, device="cuda")
    check_fits(cache, **run, device="cpu")


def test_a_model_whose_shapes_depend_on_numbers_is_not_checked(
    llm_folder: Folder, config: TuneConfig, write_cache: Callable[..., Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr("fla_llm.planning.vram_check.resolve_dtype", lambda *_: torch.bfloat16)
    monkeypatch.setattr("fla_llm.planning.vram_check.resolve_device", torch.device)
    monkeypatch.setattr("fla_llm.planning.vram_check.free_bytes", lambda _: 24 * GB)
    monkeypatch.setattr(
        "fla_llm.planning.layer_stack._run", lambda _, inputs: inputs["attention_mask"].sum().item()
    )
    other = replace(config, lora=replace(config.lora, rank=3))  # not measured by another test
    with pytest.raises(UnmeasurableError, match="memory of a qwen3 cannot be estimated from shapes: .*item"):
        spec(llm_folder("qwen3"), other).model  # noqa: B018
    cache = [write_cache(tmp_path / "cache")]
    check_fits(cache, llm=str(llm_folder("qwen3")), config=other, device="cuda")
    assert "Not checked whether the run fits. The memory of a qwen3" in caplog.text


def test_a_fault_that_is_no_matter_of_numbers_is_raised_as_it_is(
    llm_folder: Folder, config: TuneConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "fla_llm.planning.layer_stack._run", lambda _, inputs: inputs["inputs_embeds"] @ torch.ones(1, 1)
    )
    other = replace(config, lora=replace(config.lora, rank=5))  # not measured by another test
    with pytest.raises(RuntimeError) as raised:
        spec(llm_folder("qwen3"), other).model  # noqa: B018
    assert not isinstance(raised.value, UnmeasurableError)


def invoke(*arguments: str) -> Result:
    settings = (
        "lora.rank=4",
        "lora.alpha=8",
        "lora.dropout=0",
    )  # the fixture's: such layers are measured once
    given = [word for setting in settings for word in ("--set", setting)]
    return CliRunner().invoke(fla, ["plan", *arguments, *given, "--device", "cpu"], catch_exceptions=False)


def test_the_command_says_whether_it_fits_and_how_long_it_takes(
    llm_folder: Folder, write_cache: Callable[..., Path], tmp_path: Path
) -> None:
    llm, cache = str(llm_folder("llama")), str(write_cache(tmp_path / "cache"))
    done = invoke("--llm", llm, "--features", cache, "--vram", "24", "--gpu", "RTX 3090")
    assert done.exit_code == 0
    assert "Fits in 24 GB, by an estimate: yes" in done.stdout
    assert "Lengths: 4 clips of the cache, up to 9 steps; the model's tokenizer" in done.stdout
    assert re.search(r"Time: 1 steps an epoch, 30 epochs; \S+ to \S+ hours \(an estimate no GPU", done.stdout)
    small = invoke("--llm", llm, "--vram", "0.4", "--json")
    assert small.exit_code == 1
    content = json.loads(small.stdout)
    assert content["fits"] is False
    assert content["spare_bytes"] < 0
    assert content["bytes"] == max(sum(content[name].values()) for name in ("training", "generation"))
    assert "119 steps and 53 words" in content["lengths"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--features", "cache", "--steps", "3", "--llm", "x"], "either --features or --steps"),
        ([], "Missing option '--llm'"),
        (["--manifest", "m.jsonl", "--llm", "x"], "--manifest and --limit are for --stage pretrain"),
        (["--stage", "extract"], "--stage extract needs --manifest"),
        (["--stage", "pretrain", "--manifest", "m.jsonl", "--probe"], "--probe is for --stage tune"),
    ],
)
def test_options_of_another_stage_are_refused(arguments: list[str], message: str) -> None:
    refused = CliRunner().invoke(fla, ["plan", *arguments])
    assert refused.exit_code == 2
    assert message in refused.output


def test_what_a_cpu_cannot_tell_is_refused(llm_folder: Folder, config: TuneConfig) -> None:
    run: dict[str, Any] = {"config": config, "lengths": Lengths(), "device": "cpu"}
    llm = str(llm_folder("llama"))
    with pytest.raises(ConfigError, match="--vram must be given.*--device is cpu"):
        plan_tune(llm, vram_gb=None, **run)
    with pytest.raises(ConfigError, match="--probe must run on a CUDA device, but --device is cpu"):
        plan_tune(llm, vram_gb=24, probe=True, **run)


def test_each_split_is_opened_once(
    llm_folder: Folder, write_cache: Callable[..., Path], tmp_path: Path, config: TuneConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from fla_llm.planning import tune_plan

    opened: list[str] = []
    real = tune_plan.open_caches

    def counted(folders: Any, split: str) -> Any:
        opened.append(split)
        return real(folders, split)

    monkeypatch.setattr(tune_plan, "open_caches", counted)
    lengths = Lengths(features=[write_cache(tmp_path / "cache")])
    trimmed = replace(config, trim_vocab=True)
    plan_tune(str(llm_folder("llama")), config=trimmed, lengths=lengths, vram_gb=24, device="cpu")
    assert sorted(opened) == ["dev", "train"]


def test_tokens_that_are_not_kept_are_not_counted(
    llm_folder: Folder, write_cache: Callable[..., Path], tmp_path: Path
) -> None:
    folder, cache = llm_folder("llama"), str(write_cache(tmp_path / "cache"))
    asked = ("--vram", "24", "--set", "trim_vocab=true")
    known = invoke("--llm", str(folder), "--features", cache, *asked)
    assert re.search(r"\d+ of \d+ tokens are kept", known.stdout)
    assert "weights, with every token" in known.stdout
    bare = tmp_path / "bare.json"
    bare.write_bytes((folder / "config.json").read_bytes())
    assert "tokens are counted: give --features" in invoke("--llm", str(bare), *asked).stdout
