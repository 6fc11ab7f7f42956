"""A diffusion run on a cache of stage one translates videos as it translates their features."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import Result
from diffusion_fixtures import small

from fla_llm.cache.reader import FeatureCache
from fla_llm.core.config import write_config
from fla_llm.core.errors import RunError
from fla_llm.demo.config import SmallLlmConfig
from fla_llm.demo.small_llm import make_small_llm
from fla_llm.diffusion.config import DiffusionConfig
from fla_llm.diffusion.store import load_diffusion
from fla_llm.pipeline.cache_models import batch_of
from fla_llm.pipeline.translator import Translator

RunFla = Callable[..., Result]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def diffusion_run(
    house: Path, run_fla: RunFla, diffusion_config: DiffusionConfig, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run of one epoch on the cache of the house, over a small encoder-decoder."""
    folder = tmp_path_factory.mktemp("diffusion")
    sentences = [json.loads(line)["text"] for line in (house / "manifest.jsonl").read_text().splitlines()[1:]]
    shape = SmallLlmConfig(kind="seq2seq", hidden_size=64, layers=1, steps=2)
    make_small_llm(sentences, folder / "llm", config=shape)
    # With pseudo-glosses, because the sentence that they are learned from is not there for a video.
    denoiser = replace(diffusion_config.denoiser, pseudo_glosses=2)
    config = replace(small(diffusion_config, epochs=1), denoiser=denoiser)
    write_config(config, folder / "settings.yaml")
    run_fla(
        "tune", "--decoder", "diffusion", "--features", house / "cache", "--llm", folder / "llm", "--out",
        folder / "run", "--config", folder / "settings.yaml", "--device", "cpu",
    )  # fmt: skip
    return folder / "run"


def test_a_video_is_translated_as_its_features_are(house: Path, run_fla: RunFla, diffusion_run: Path) -> None:
    cache = FeatureCache(house / "cache", "test")
    model = load_diffusion(diffusion_run, device=CPU)
    batch = batch_of(model, [(cache[0],)], language="en", task="translate", names=["a"])
    (expected,) = model.translate(batch, model.config.decoding)
    video = next((house / "corpus" / "videos" / "test").glob("*0000.mp4"))
    said = run_fla("translate", "--run", diffusion_run, "--ckpt", house / "stage1", video, "--device", "cpu")
    assert said.stdout == f"{expected}\n"
    # The settings of the sampler can be changed here too.
    translator = Translator(
        diffusion_run, ckpt=house / "stage1", decoding=(None, ("steps=2", "seed=5")), device="cpu"
    )
    assert (translator.decoding.steps, translator.decoding.seed) == (2, 5)
    assert isinstance(translator(video), str)


def test_two_levels_of_one_encoder_are_evaluated_but_not_translated(
    house: Path, run_fla: RunFla, diffusion_run: Path, tmp_path: Path
) -> None:
    frame, run = tmp_path / "frame", tmp_path / "run"
    run_fla(
        "extract", "--ckpt", house / "stage1", "--manifest", house / "manifest.jsonl", "--out", frame,
        "--level", "frame", "--set", "workers=0",
    )  # fmt: skip
    both = ["--features", house / "cache", "--features", frame]
    run_fla(
        "tune", "--decoder", "diffusion", *both, "--llm", diffusion_run.parent / "llm", "--out", run,
        "--config", diffusion_run.parent / "settings.yaml", "--device", "cpu",
    )  # fmt: skip
    scores = json.loads(run_fla("evaluate", run, *both, "--device", "cpu", "--json").stdout)
    assert scores["count"] == 4
    with pytest.raises(RunError, match="on one level of features .* on frame and sign"):
        run_fla("translate", "--run", run, "--ckpt", house / "stage1", "a.mp4", "--device", "cpu")
