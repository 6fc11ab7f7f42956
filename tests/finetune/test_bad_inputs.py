"""What a user may give that cannot work is refused, or said, by ``fla tune`` and ``fla evaluate``."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

from fla_llm.cli import fla
from fla_llm.core.config import write_config
from fla_llm.core.errors import CacheError, DataError, ModelError, RunError
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.run_files import PARTS
from fla_llm.finetune.store import describe_run, load_stage_two
from fla_llm.finetune.train import tune

WriteCache = Callable[..., Path]
Folder = Callable[[str], Path]


def call(*arguments: str | Path) -> Result:
    given = [str(argument) for argument in (*arguments, "--device", "cpu", "--json")]
    return CliRunner().invoke(fla, given, prog_name="fla", catch_exceptions=False)


@pytest.fixture(scope="module")
def settings(config: TuneConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One epoch, no dev."""
    path = tmp_path_factory.mktemp("settings") / "settings.yaml"
    once = replace(config, quantise="none", training=replace(config.training, epochs=1, select="last"))
    write_config(once, path)
    return path


@pytest.fixture
def tune_llama(settings: Path, llm_folder: Folder, tmp_path: Path) -> Callable[..., Result]:
    """Return a function that tunes a Llama on a cache."""

    def tune_llama(cache: Path, *options: str, llm: Path | str | None = None) -> Result:
        given = ("--llm", llm or llm_folder("llama"), "--out", tmp_path / "run", "--config", settings)
        return call("tune", "--features", cache, *given, *options)

    return tune_llama


@pytest.fixture(scope="module")
def tuned(
    llm_folder: Folder, cached: Path, config: TuneConfig, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run, and beside it the base model it was tuned on."""
    folder = tmp_path_factory.mktemp("tuned")
    shutil.copytree(llm_folder("llama"), folder / "llm")
    once = replace(config, quantise="none", training=replace(config.training, epochs=1, select="last"))
    tune([cached], llm=str(folder / "llm"), config=once, out=folder / "run", device="cpu")
    return folder / "run"


@pytest.fixture
def run(tuned: Path, tmp_path: Path) -> Path:
    """A copy of the run to damage."""
    return Path(shutil.copytree(tuned, tmp_path / "run"))


def without_pad(llm: Path, folder: Path) -> Path:
    shutil.copytree(llm, folder)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pad_token": None}))
    return folder


def test_a_tokenizer_without_a_padding_token_tunes_as_one_with(
    tune_llama: Callable[..., Result], cached: Path, llm_folder: Folder, tmp_path: Path
) -> None:
    padless = without_pad(llm_folder("llama"), tmp_path / "llm")
    planned = [json.loads(tune_llama(cached, "--dry-run", llm=llm).stdout) for llm in (None, padless)]
    assert planned[0] == planned[1]


def test_an_id_that_is_not_on_disk_is_named_while_offline(
    tune_llama: Callable[..., Result], cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="--llm some/llm is not on this disk, and HF_HUB_OFFLINE"):
        tune_llama(cached, llm="some/llm")


def test_features_that_are_no_numbers_are_named(
    tune_llama: Callable[..., Result], run: Path, items: list, write_cache: WriteCache, tmp_path: Path
) -> None:
    features: Any = items[2]["features"]
    features[1, 3] = np.nan
    cache = write_cache(tmp_path / "cache", splits=("train", "test"))
    with pytest.raises(DataError, match="'clip-2' must be finite, but hold NaN"):
        tune_llama(cache, "--out", str(tmp_path / "new"))
    with pytest.raises(DataError, match="'clip-2' must be finite, but hold NaN"):
        call("evaluate", run, "--features", cache)


def test_a_cache_without_dev_is_refused_where_the_best_is_wanted(
    tune_llama: Callable[..., Result], cached: Path
) -> None:
    with pytest.raises(CacheError, match="there is no dev split to choose the best checkpoint by"):
        tune_llama(cached, "--set", "training.select=best")


def test_a_clip_that_cannot_be_read_whole_is_refused_before_it_is_translated(
    tune_llama: Callable[..., Result], run: Path, items: list, write_cache: WriteCache, tmp_path: Path
) -> None:
    cache = write_cache(tmp_path / "cache", splits=("train",))
    items[1]["features"] = np.ones((60, 8), np.float16)
    write_cache(cache, splits=("dev", "test"))
    refused = r"'clip-1' must fit .*positions \(64\), but needs 65 for feature steps and prompt .60 feature"
    with pytest.raises(DataError, match=refused):
        tune_llama(cache, "--out", str(tmp_path / "new"))
    with pytest.raises(DataError, match=refused):
        call("evaluate", run, "--features", cache)


def test_references_longer_than_the_search_are_counted_and_kept(
    tune_llama: Callable[..., Result], items: list, write_cache: WriteCache, tmp_path: Path
) -> None:
    cache = write_cache(tmp_path / "cache", splits=("train",))  # "morgen sonne im norden" has four tokens
    items[0]["text"] = "heute wind regen wind sonne"
    write_cache(cache, splits=("dev", "test"))
    done = tune_llama(cache, "--set", "decoding.max_new_tokens=4", "--set", "quantise=none")
    told = (
        "1 of 4 {} sentences cannot be said in full: decoding.max_new_tokens is {}, the longest has 5 tokens"
    )
    assert told.format("dev", 4) in done.stderr
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["sentences"]
    assert kept == {"train": 4, "train_lost": 0, "dev": 4, "dev_outside": 0, "dev_too_long": 1}
    evaluated = call("evaluate", tmp_path / "run", "--features", cache)
    assert told.format("test", 4) in evaluated.stderr
    assert json.loads(evaluated.stdout)["too_long"] == 1
    longer = call("evaluate", tmp_path / "run", "--features", cache, "--set", "max_new_tokens=5")
    assert "cannot be said" not in longer.stderr
    assert json.loads(longer.stdout)["too_long"] == 0


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_file_is_named(part: str, run: Path, cached: Path) -> None:
    (run / part).unlink()
    with pytest.raises(RunError, match=f"{run} must hold a stage-two run, but lacks {part}"):
        call("evaluate", run, "--features", cached)


def test_a_base_model_that_changed_or_went_is_refused(tuned: Path, run: Path, cached: Path) -> None:
    llm = tuned.parent / "llm"
    described = json.loads((run / "run.json").read_text())
    assert described["llm"] == str(llm)
    (run / "run.json").write_text(json.dumps(described | {"llm_revision": "f" * 64}))
    with pytest.raises(ModelError, match="must be ffff.*it has changed since it was tuned"):
        call("evaluate", run, "--features", cached)
    (run / "run.json").write_text(json.dumps(described | {"llm": f"{llm}-gone"}))
    gone = "tuned on the language model .*llm-gone, but there is no such directory.\nSay by --llm"
    with pytest.raises(ModelError, match=gone):
        call("evaluate", run, "--features", cached)


def test_adapters_of_another_model_are_refused(run: Path, cached: Path) -> None:
    file = run / "lora" / "adapter_model.safetensors"
    weights = load_file(file)
    name = next(name for name in weights if name.endswith("q_proj.lora_A.weight"))
    deeper = {key.replace("layers.0.", "layers.7."): tensor.clone() for key, tensor in weights.items()}
    for other, message in (
        (
            weights | {name: weights[name][:, :32].contiguous()},
            "another model's: .*size mismatch for .*q_proj",
        ),
        (deeper | weights, r"another model's: this model has no .*layers\.7"),
        (
            {key: tensor for key, tensor in weights.items() if key != name},
            f"another model's: the folder has no {name}",
        ),
    ):
        save_file(other, file)
        with pytest.raises(
            RunError, match=f"lora must hold the adapters of this 'llama', but holds {message}"
        ):
            call("evaluate", run, "--features", cached)
    settings = json.loads((run / "lora" / "adapter_config.json").read_text())
    (run / "lora" / "adapter_config.json").write_text(json.dumps(settings | {"target_modules": ["c_attn"]}))
    with pytest.raises(RunError, match="holds another model's: .*c_attn.* not found in the base model"):
        call("evaluate", run, "--features", cached)


def test_what_a_run_says_of_itself_is_read_back(tuned: Path) -> None:
    described = json.loads((tuned / "run.json").read_text())
    again = describe_run(load_stage_two(tuned, device="cpu"), languages=described["languages"])
    assert (
        json.loads(json.dumps(again)) | {"missing": {}} == described
    )  # that part the tuning adds: its clips
