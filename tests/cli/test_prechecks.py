"""What files and settings alone show to be wrong is refused before torch is loaded, which takes seconds."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from fla_llm.core.config import config_to_dict, write_config
from fla_llm.core.sample import Sample
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.encoder.config import EncoderConfig
from fla_llm.encoder.folder import FORMAT as ENCODER_FORMAT
from fla_llm.finetune.config import TuneConfig
from fla_llm.pretrain.config import PretrainConfig
from fla_llm.pretrain.run_files import FORMAT as STAGE_ONE_FORMAT

CODE = """
import json, sys
from click.testing import CliRunner
from fla_llm.cli import fla
refused = []
for arguments in json.loads(sys.argv[1]):
    result = CliRunner().invoke(fla, arguments)
    heavy = [name for name in ("torch", "transformers", "timm") if name in sys.modules]
    refused.append([str(result.exception), heavy])
print(json.dumps(refused))
"""


def write_encoder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    settings = {"format": ENCODER_FORMAT, **EncoderConfig().settings}
    (folder / "config.json").write_text(json.dumps(settings))
    save_file({"weight": np.zeros(2, np.float32)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Runs of both stages, whole as far as headers show, a language model's folder and a manifest."""
    stage_one, stage_two, llm = (tmp_path / name for name in ("stage1", "stage2", "llm"))
    write_encoder(stage_one / "encoder")
    (stage_one / "translator").mkdir()
    settings = {"format": STAGE_ONE_FORMAT, **config_to_dict(PretrainConfig())}
    (stage_one / "translator" / "config.json").write_text(json.dumps(settings))
    save_file({"weight": np.zeros(2, np.float32)}, stage_one / "translator" / "model.safetensors")
    llm.mkdir()
    (llm / "config.json").write_text("{}")
    stage_two.mkdir()
    described: dict[str, Any] = {
        "format": 1, "stage": 2, "train": "projector", "llm": str(llm), "llm_revision": "f",
        "languages": ["de"], "feature_fingerprint": "e", "feature_size": 8,
    }  # fmt: skip
    (stage_two / "run.json").write_text(json.dumps(described))
    write_config(TuneConfig(), stage_two / "config.yaml")
    save_file({"weight": np.zeros(2, np.float32)}, stage_two / "projector.safetensors")
    sample = Sample(id="a", split="test", video="a.mp4", text="a", language="de", num_frames=4, fps=25.0)
    write_manifest(tmp_path / "m.jsonl", Manifest(corpus="toy", root=tmp_path, samples=(sample,)))
    return {
        "one": stage_one,
        "two": stage_two,
        "llm": llm,
        "manifest": tmp_path / "m.jsonl",
        "folder": tmp_path,
    }


def refusals(files: dict[str, Path]) -> list[tuple[list[str | Path], str]]:
    """Return what is given to fla, and what its refusal says."""
    one, two, llm, manifest, folder = files.values()
    none, typo, new = folder / "none", ["--set", "typo=1"], folder / "new"
    extract = ["extract", "--out", new, "--manifest"]
    return [
        (["prepare", "table", none, "--out", new, *typo], "unknown key 'typo'"),
        (["pretrain", "--manifest", none, "--out", new], "none cannot be read"),
        (["pretrain", "--manifest", manifest, "--out", new, *typo], "unknown key 'typo'"),
        (["pretrain", "--manifest", manifest, "--out", folder], "is not empty"),
        (["pretrain", "--manifest", manifest, "--out", new, "--resume"], "holds no run to resume"),
        ([*extract, none, "--ckpt", one], "none cannot be read"),
        ([*extract, manifest, "--ckpt", one, *typo], "unknown key 'typo'"),
        ([*extract, manifest, "--ckpt", none], "none must be an encoder directory, but does not exist"),
        (["tune", "--features", none, "--llm", llm, "--out", new, *typo], "unknown key 'typo'"),
        (["tune", "--features", none, "--llm", llm, "--out", new], "none must "),
        (["plan", "--llm", llm, *typo], "unknown key 'typo'"),
        (["plan", "--llm", "nope.json"], "--llm nope.json: there is no such directory"),
        (["plan", "--llm", llm, "--features", none], "none must "),
        (["quantise", "--llm", llm, "--out", folder], "is not empty"),
        (["quantise", "--llm", none, "--out", new], "there is no such directory"),
        (["evaluate", one, "--manifest", manifest, *typo], "unknown key 'typo'"),
        (["evaluate", one, "--manifest", none], "none cannot be read"),
        (["evaluate", none, "--manifest", manifest], "none must be a finished stage-one run"),
        (["evaluate", two, "--features", none, *typo], "unknown key 'typo'"),
        (["evaluate", two, "--features", none, "--set", "num_beams=0"], "num_beams"),
        (["evaluate", two, "--features", none, "--llm", none], "there is no such directory"),
        (["evaluate", two, "--features", none, "--protocol", "typo"], "typo"),
        (["evaluate", two, "--features", none], "none must "),
        (["evaluate", none, "--features", none], "none must hold a stage-two run"),
        (["translate", "a.mp4", "--run", two, "--ckpt", one, *typo], "unknown key 'typo'"),
        (["translate", "a.mp4", "--run", two, "--ckpt", none], "none must be an encoder directory"),
        (["export", none, "--out", new], "none must hold a stage-two run"),
        (["export", two, "--out", folder], "is not empty"),
        (["demo", "--out", folder], "is not empty"),
        (["demo", "--out", new, *typo], "unknown key 'typo'"),
        (["score", none], "none cannot be read"),
        (["cache", "info", none], "none"),
    ]


def test_refusals_that_need_no_torch_do_not_load_it(files: dict[str, Path]) -> None:
    given = refusals(files)
    calls = json.dumps([[str(argument) for argument in arguments] for arguments, _ in given])
    done = subprocess.run([sys.executable, "-c", CODE, calls], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    for (arguments, message), (found, heavy) in zip(given, said, strict=True):
        assert message in found, arguments
        assert heavy == [], arguments
