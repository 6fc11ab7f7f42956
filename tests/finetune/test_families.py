"""One tiny model of each family goes the whole way: tuned, stopped, resumed, evaluated."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from fla_llm.cli import fla
from fla_llm.core.config import write_config
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.store import PROJECTOR
from fla_llm.finetune.train import tune

FAMILIES = ["llama", "qwen3", "gemma3_text", "xglm", "mbart", "t5"]


@pytest.mark.parametrize("shape", FAMILIES)
def test_every_family_is_tuned_resumed_and_evaluated(
    shape: str,
    llm_folder: Callable[[str], Path],
    config: TuneConfig,
    write_cache: Callable[..., Path],
    tmp_path: Path,
) -> None:
    cache, run = write_cache(tmp_path / "cache", splits=("train", "test")), tmp_path / "run"
    training = replace(config.training, precision="auto", epochs=1, select="last")
    settings = replace(config, training=training, decoding=replace(config.decoding, max_new_tokens=4))
    llm = str(llm_folder(shape))
    tune([cache], llm=llm, config=settings, out=run, device="cpu")
    first = load_file(run / PROJECTOR)

    longer = replace(settings, training=replace(training, epochs=2))
    write_config(longer, run / "config.yaml")  # as if the run had been stopped after its first epoch
    assert tune([cache], llm=llm, config=longer, out=run, resume=True, device="cpu").epoch == 2
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2]
    last = load_file(run / PROJECTOR)
    assert all(torch.isfinite(tensor).all() for tensor in last.values())
    assert not torch.equal(first["norm.weight"], last["norm.weight"])

    arguments = ["evaluate", str(run), "--features", str(cache), "--split", "test", "--json"]
    done = CliRunner().invoke(fla, [*arguments, "--device", "cpu"], catch_exceptions=False)
    assert json.loads(done.stdout)["count"] == 4
