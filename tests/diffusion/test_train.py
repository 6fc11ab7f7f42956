"""A whole run on a cache alone: what it leaves, how it resumes, how it is evaluated, what is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from safetensors.torch import load_file, save_file

from fla_llm.core.config import write_config
from fla_llm.core.errors import CacheError, ConfigError, ModelError, RunError
from fla_llm.diffusion.batching import Sentences
from fla_llm.diffusion.config import AutoencoderConfig, DenoiserConfig, DiffusionConfig
from fla_llm.diffusion.run_files import PARTS
from fla_llm.diffusion.train import tune_diffusion
from fla_llm.finetune.data import FeatureItems
from fla_llm.scoring.candidates import choose
from fla_llm.scoring.protocols import find_protocol

RunFla = Callable[..., Result]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clips in all splits."""
    from stage_two_fixtures import draw_clips, write_clips

    return write_clips(tmp_path_factory.mktemp("all"), draw_clips(), splits=("train", "dev", "test"))


@pytest.fixture(scope="module")
def finished(
    cache: Path, copying_llm: Path, diffusion_config: DiffusionConfig,
    tmp_path_factory: pytest.TempPathFactory, run_fla: RunFla,
) -> Path:  # fmt: skip
    """A run, made by the command."""
    folder = tmp_path_factory.mktemp("diffusion")
    write_config(diffusion_config, folder / "settings.yaml")
    asked = ["tune", "--decoder", "diffusion", "--features", cache, "--llm", copying_llm, "--device", "cpu"]
    asked += ["--config", folder / "settings.yaml", "--out", folder / "run", "--json"]
    planned = json.loads(run_fla(*asked, "--dry-run").stdout)
    assert (planned["train_clips"], planned["sentences"], planned["batches"]) == (4, 4, 2)
    assert not (folder / "run").exists()
    done = json.loads(run_fla(*asked).stdout)
    assert (done["train_clips"], done["dev_clips"], done["missing"]) == (4, 4, {})
    assert done["trained_parameters"] == planned["trained_parameters"]
    return folder / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_run_is_whole_and_loads_as_it_was_saved(
    finished: Path, cache: Path, run_fla: RunFla, other_modes: Callable[[Path], dict[str, str]]
) -> None:
    assert other_modes(finished) == {}
    for part in (
        *PARTS,
        "log.jsonl",
        "clips.json",
        "autoencoder/log.jsonl",
        "autoencoder/reconstructions.jsonl",
    ):
        assert (finished / part).is_file(), part
    described = json.loads((finished / "run.json").read_text())
    assert (described["decoder"], described["reconstruction"]["sentences"]) == ("diffusion", 4)
    evaluated = run_fla(
        "evaluate", finished, "--features", cache, "--split", "dev", "--device", "cpu", "--json"
    )
    said = rows(finished / "predictions-dev.jsonl")
    assert len(said) == 4
    again = json.loads(evaluated.stdout)["predictions"]
    assert [row["prediction"] for row in rows(Path(again))] == [row["prediction"] for row in said]


def test_candidates_are_chosen_without_references_and_named_by_their_seed(
    run: Path, cache: Path, run_fla: RunFla
) -> None:
    asked = ["evaluate", run, "--features", cache, "--device", "cpu", "--n-best", "3"]
    run_fla(*asked)
    run_fla(*asked, "--choose", "mbr")
    run_fla(*asked, "--seed", "1", "--limit", "2", "--set", "sampler=dpm", "--set", "guidance=0")
    first = rows(run / "predictions-test-n_best=3.jsonl")
    chosen = rows(run / "predictions-test-n_best=3-choose=mbr.jsonl")
    assert [row["n_best"] for row in first] == [row["n_best"] for row in chosen]
    protocol = find_protocol("sacrebleu")
    for plain, best in zip(first, chosen, strict=True):
        texts = [candidate["text"] for candidate in best["n_best"]]
        assert plain["prediction"] == texts[0]
        assert best["prediction"] == texts[choose(texts, how="mbr", language="de", protocol=protocol)]
    other = run / "predictions-test-limit=2-sampler=dpm-guidance=0-seed=1-n_best=3.jsonl"
    assert len(rows(other)) == 2
    scores = json.loads((run / "scores.json").read_text())["test-n_best=3-choose=mbr"]
    assert scores["candidates"]["candidates"] == 3
    assert scores["candidates"]["oracle_bleu4"] >= scores["bleu4"] - 1e-9


def test_a_cut_run_resumes_to_the_same_weights(
    finished: Path, cache: Path, copying_llm: Path, diffusion_config: DiffusionConfig, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    common: dict[str, Any] = {"llm": str(copying_llm), "config": diffusion_config, "device": "cpu"}

    def cut(items: Any, resume: bool) -> None:
        """Cut the training at the first item of the second epoch."""
        get = items.get

        def failing(self: Any, index: int, epoch: int = 0) -> Any:
            if epoch == 1:
                raise RuntimeError("cut")
            return get(self, index, epoch)

        with monkeypatch.context() as patch:
            patch.setattr(items, "get", failing)
            with pytest.raises(RuntimeError, match="cut"):
                tune_diffusion([cache], out=tmp_path / "run", resume=resume, **common)

    cut(Sentences, resume=False)
    cut(FeatureItems, resume=True)
    tune_diffusion([cache], out=tmp_path / "run", resume=True, **common)
    for part in ("autoencoder.safetensors", "denoiser.safetensors", "predictions-dev.jsonl"):
        assert (tmp_path / "run" / part).read_bytes() == (finished / part).read_bytes(), part


def test_a_poor_autoencoder_is_refused_and_a_lower_bound_trains_it_no_further(
    cache: Path, copying_llm: Path, diffusion_config: DiffusionConfig, tmp_path: Path
) -> None:
    common: dict[str, Any] = {"llm": str(copying_llm), "device": "cpu", "out": tmp_path / "run"}
    once = replace(diffusion_config.training, epochs=1)
    poor = replace(diffusion_config.autoencoder, training=once, latents=1, latent_size=1, min_bleu4=99.0)
    strict = replace(diffusion_config, autoencoder=poor, training=once)
    with pytest.raises(
        RunError, match=r"with BLEU-4 99 \(autoencoder.min_bleu4\), but reaches .*no denoiser"
    ):
        tune_diffusion([cache], config=strict, **common)
    assert not (tmp_path / "run" / "checkpoints").exists()
    loose = replace(strict, autoencoder=replace(poor, min_bleu4=0.0))
    with pytest.raises(RunError, match="these differ:\n  autoencoder.min_bleu4: was 99.0, is now 0.0"):
        tune_diffusion([cache], config=loose, resume=True, **common)
    before = (tmp_path / "run" / "autoencoder.safetensors").read_bytes()
    tuned = tune_diffusion([cache], config=loose, resume=True, allow_config_change=True, **common)
    assert tuned.reconstruction_bleu4 < 99
    assert (tmp_path / "run" / "autoencoder.safetensors").read_bytes() == before


def test_clips_of_other_tasks_are_refused(
    cache: Path, copying_llm: Path, diffusion_config: DiffusionConfig, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(FeatureItems, "tasks", ["translate", "recognise", "isolated", "isolated"])
    with pytest.raises(CacheError, match="writes sentences, but .* have the task isolated and recog"):
        tune_diffusion(
            [cache], llm=str(copying_llm), config=diffusion_config, out=tmp_path / "run", device="cpu"
        )


def test_a_resume_takes_the_sentences_it_was_begun_with(
    run: Path, cache: Path, copying_llm: Path, diffusion_config: DiffusionConfig, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("sonne im norden\n")
    own = replace(diffusion_config.autoencoder, text=str(tmp_path / "text.txt"))
    with pytest.raises(RunError, match="resumed with the 4 sentences it was begun with, but there are 5 now"):
        tune_diffusion(
            [cache], llm=str(copying_llm), config=replace(diffusion_config, autoencoder=own), out=run,
            resume=True, allow_config_change=True, device="cpu",
        )  # fmt: skip


def test_commands_for_other_runs_refuse_a_diffusion_run(
    run: Path, cache: Path, tmp_path: Path, run_fla: RunFla
) -> None:
    more = ["--features", cache, "--llm", "x", "--out", tmp_path / "out", "--device", "cpu"]
    with pytest.raises(RunError, match="draws its sentences by diffusion.*\nRun: fla evaluate"):
        run_fla("tune", "--init", run, *more)
    with pytest.raises(RunError, match="over a frozen language model, so there is nothing to merge"):
        run_fla("export", run, "--merge", "--out", tmp_path / "out")


def test_an_export_is_evaluated_like_its_run(run: Path, cache: Path, run_fla: RunFla, tmp_path: Path) -> None:
    evaluated = ["--features", cache, "--device", "cpu", "--json"]
    before = json.loads(run_fla("evaluate", run, *evaluated).stdout)
    out = tmp_path / "out"
    done = json.loads(run_fla("export", run, "--out", out, "--with-llm", *evaluated).stdout)
    assert not (out / "checkpoints").exists()
    assert (out / "base" / "model.safetensors").is_file()
    shutil.rmtree(run)
    assert done["scores"]["bleu4"] == before["bleu4"]
    card = (out / "README.md").read_text()
    assert "| trained | a diffusion decoder, on a base with quantise=none |" in card
    assert "| denoiser | " in card


def test_what_has_no_meaning_here_is_refused(run: Path, cache: Path, run_fla: RunFla, tmp_path: Path) -> None:
    asked = ["tune", "--decoder", "diffusion", "--features", cache, "--out", tmp_path / "out"]
    for more in ([], ["--llm", "x", "--train", "full"], ["--llm", "x", "--trim-vocab"]):
        assert "--decoder diffusion needs --llm" in run_fla(*asked, *more, exit_code=2).output
    with pytest.raises(ConfigError, match="drawn from noise, but are 0.5 and 0.0"):
        run_fla("evaluate", run, "--features", cache, "--device", "cpu", "--temperature", "0.5")


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_is_named(run: Path, cache: Path, run_fla: RunFla, part: str) -> None:
    (run / part).unlink()
    # Without run.json nothing says that the run is one of diffusion.
    found = "projector.safetensors" if part == "run.json" else part
    with pytest.raises(RunError, match=f"lacks .*{found}"):
        run_fla("evaluate", run, "--features", cache, "--device", "cpu")


def test_parts_of_other_settings_and_damaged_parts_are_named(run: Path, cache: Path, run_fla: RunFla) -> None:
    asked = ["evaluate", run, "--features", cache, "--device", "cpu"]
    tensors = load_file(run / "denoiser.safetensors")
    save_file(
        {name: t for name, t in tensors.items() if name != "denoiser.places"}, run / "denoiser.safetensors"
    )
    with pytest.raises(
        ModelError, match=r"denoiser.safetensors does not fit .*lacks 1 tensor \(denoiser.places"
    ):
        run_fla(*asked)
    (run / "denoiser.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="denoiser.safetensors is empty"):
        run_fla(*asked)
    described = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(described | {"streams": None}))
    with pytest.raises(RunError, match="run.json must say streams, but does not"):
        run_fla(*asked)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (AutoencoderConfig, {"latents": 0}, "'autoencoder.latents' must be at least 1, but is 0"),
        (AutoencoderConfig, {"dropout": 1.0}, "'autoencoder.dropout' must be at least 0 and below 1"),
        (AutoencoderConfig, {"latent_noise": -1.0}, "'autoencoder.latent_noise' must be at least 0"),
        (DenoiserConfig, {"layers": 0}, "'denoiser.layers' must be at least 1, but is 0"),
        (DenoiserConfig, {"fusion_layers": -1}, "'denoiser.fusion_layers' must be at least 0, but is -1"),
        (DenoiserConfig, {"pseudo_glosses": -1}, "'denoiser.pseudo_glosses' must be at least 0, but is -1"),
        (DenoiserConfig, {"hidden_size": 33}, "'denoiser.hidden_size' must be an even number, but is 33"),
        (DenoiserConfig, {"condition_dropout": 1.5}, "'denoiser.condition_dropout' must be at least 0"),
        (DenoiserConfig, {"self_condition": 2.0}, "'denoiser.self_condition' must be in 0..1, but is 2.0"),
    ],
)
def test_impossible_settings_are_refused(kind: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**settings)
