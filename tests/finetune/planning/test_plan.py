"""The plan as a whole: parts add up, more never takes less, what does not fit is refused with a remedy."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from fla_llm.cli import fla
from fla_llm.core.errors import ConfigError, ModelError
from fla_llm.finetune.config import TuneConfig
from fla_llm.planning.batch_shapes import BatchShape
from fla_llm.planning.clip_lengths import assumed_lengths, text_tokens
from fla_llm.planning.demand import Demand
from fla_llm.planning.fit import check_fits, plan_memory
from fla_llm.planning.generation_memory import generation_parts
from fla_llm.planning.layer_memory import UnmeasurableError
from fla_llm.planning.memory import CONTEXT_BYTES, GB, measure_model, total
from fla_llm.planning.plan import Lengths, plan_run
from fla_llm.planning.skeleton import read_config
from fla_llm.planning.training_memory import training_parts
from fla_llm.training.config import DecodingConfig

Folder = Callable[[str], Path]
BATCH = BatchShape(clips=4, steps=30, prompt=10, labels=12)


def demand(llm: Path, config: TuneConfig, **settings: object) -> Demand:
    clips = assumed_lengths(8, 6, clips=8)
    return Demand(
        config=read_config(str(llm)), tune=replace(config, **settings), feature_size=8,
        dtype=torch.bfloat16, train=clips, dev=clips,
    )  # fmt: skip


@pytest.mark.parametrize(("shape", "train"), [("llama", "lora+projector"), ("mbart", "projector")])
def test_more_never_takes_less(shape: str, train: Any, llm_folder: Folder, config: TuneConfig) -> None:
    def memory(**settings: object) -> tuple[int, int]:
        grown = {name: settings.pop(name) for name in ("clips", "steps", "labels") if name in settings}
        tune = replace(config, quantise="none", train=train, **settings)
        model = measure_model(
            read_config(str(llm_folder(shape))), tune=tune, feature_size=8, dtype=torch.bfloat16
        )
        batch = replace(BATCH, **grown)
        return total(training_parts(model, batch)), total(generation_parts(model, batch))

    training, generation = memory()
    for name, values in {"clips": (5, 50), "steps": (31, 300), "labels": (13, 130)}.items():
        for value in values:
            more = memory(**{name: value})
            assert more[0] > training
            assert more[1] >= generation
    beams = [memory(decoding=DecodingConfig(num_beams=n, max_new_tokens=8))[1] for n in (1, 2, 8)]
    assert beams == sorted(set(beams))


def test_fits_is_what_the_parts_add_up_to(llm_folder: Folder, config: TuneConfig) -> None:
    run = demand(llm_folder("llama"), config)
    plan = plan_memory(run, room=24 * GB)
    assert plan.bytes == max(
        sum(p.bytes for p in parts if p.counted) for parts in (plan.training, plan.generation)
    )
    assert plan_memory(run, room=plan.bytes).fits
    tight = plan_memory(run, room=plan.bytes - 1)
    assert not tight.fits
    assert tight.remedies
    assert plan.largest_batch is not None
    assert plan.quartiles[0] <= plan.quartiles[1] <= plan.quartiles[2] == total(plan.training)


def test_remedies_come_in_order_and_the_last_one_fits(llm_folder: Folder, config: TuneConfig) -> None:
    run = demand(llm_folder("llama"), config, quantise="none")
    least = plan_memory(demand(llm_folder("llama"), config, activation_checkpointing=True), room=24 * GB)
    whole = plan_memory(run, room=24 * GB).bytes
    said = plan_memory(run, room=(whole + least.bytes) // 2).remedies
    assert said[0].startswith("--set activation_checkpointing=true")
    assert said[-1].endswith("fits")
    hopeless = plan_memory(run, room=CONTEXT_BYTES).remedies
    assert [line.split("=")[0] for line in hopeless[:3]] == [
        "--set activation_checkpointing", "--set quantise", "--set decoding.num_beams",
    ]  # fmt: skip
    assert "smaller --llm" in hopeless[-1]


def test_the_run_that_cannot_fit_is_refused_before_it_begins(
    llm_folder: Folder, config: TuneConfig, write_cache: Callable[..., Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("fla_llm.planning.fit.resolve_dtype", lambda *_: torch.bfloat16)
    monkeypatch.setattr("fla_llm.planning.fit.resolve_device", torch.device)
    cache = [write_cache(tmp_path / "cache")]
    run = {"llm": str(llm_folder("llama")), "config": config}
    monkeypatch.setattr("fla_llm.planning.fit.free_bytes", lambda _: 24 * GB)
    check_fits(cache, **run, device="cuda")
    monkeypatch.setattr("fla_llm.planning.fit.free_bytes", lambda _: 2**16)
    with pytest.raises(
        ModelError, match=r"must fit into 0\.5 GB, but takes about .* GB\.\n--set activation_ch"
    ):
        check_fits(cache, **run, device="cuda")
    check_fits(cache, **run, device="cpu")

    def unmeasurable(*_: object, **__: object) -> None:
        raise UnmeasurableError("Memory of experts cannot be foretold.")

    monkeypatch.setattr("fla_llm.planning.fit.plan_memory", unmeasurable)
    check_fits(cache, **run, device="cuda")
    assert "Not checked whether it fits. Memory of experts" in capsys.readouterr().err


def test_a_token_is_three_bytes() -> None:
    assert text_tokens("今天") == 2
    assert text_tokens("am sonntag") == 4


def invoke(*arguments: str) -> Result:
    settings = (
        "lora.rank=4",
        "lora.alpha=8",
        "lora.dropout=0",
    )  # the fixture's: such layers are measured once
    given = [word for setting in settings for word in ("--set", setting)]
    return CliRunner().invoke(fla, ["plan", *arguments, *given, "--device", "cpu"], catch_exceptions=False)


def test_the_command_says_whether_it_fits(
    llm_folder: Folder, write_cache: Callable[..., Path], tmp_path: Path
) -> None:
    llm, cache = str(llm_folder("llama")), str(write_cache(tmp_path / "cache"))
    done = invoke("--llm", llm, "--features", cache, "--vram", "24")
    assert done.exit_code == 0
    assert "Fits in 24 GB: yes" in done.stdout
    assert "Lengths: 4 clips of the cache, up to 9 steps" in done.stdout
    small = invoke("--llm", llm, "--vram", "0.4", "--json")
    assert small.exit_code == 1
    content = json.loads(small.stdout)
    assert content["fits"] is False
    assert content["spare_bytes"] < 0
    assert content["largest_batch_tokens"] == 0
    assert "119 steps and 53 words" in content["lengths"]
    assert invoke("--llm", llm, "--features", cache, "--steps", "3").exit_code == 2


def test_what_a_cpu_cannot_tell_is_refused(llm_folder: Folder, config: TuneConfig) -> None:
    run = {"config": config, "lengths": Lengths(), "device": "cpu"}
    llm = str(llm_folder("llama"))
    with pytest.raises(ConfigError, match="--vram must be given.*--device is cpu"):
        plan_run(llm, vram_gb=None, **run)
    with pytest.raises(ConfigError, match="--probe must run on a CUDA device, but --device is cpu"):
        plan_run(llm, vram_gb=24, probe=True, **run)


def test_a_run_that_trains_everything_is_told_what_to_change(llm_folder: Folder, config: TuneConfig) -> None:
    run = demand(llm_folder("llama"), config, quantise="none", train="full")
    told = plan_memory(run, room=CONTEXT_BYTES).remedies
    assert [line.partition(":")[0] for line in told[:3]] == [
        "--set activation_checkpointing=true", "--set training.optimiser=adamw8bit",
        "--set train=lora+projector --set quantise=nf4",
    ]  # fmt: skip


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
    assert "tokens are counted: which are kept" in invoke("--llm", str(bare), *asked).stdout
