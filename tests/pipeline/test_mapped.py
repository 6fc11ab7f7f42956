"""Runs on a mapped stream translate videos: the stream comes from the encoder of pictures and the mapper."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from fla_llm.core.errors import CacheError, ModelError
from fla_llm.pipeline.translator import Translator

Fla = Callable[..., Result]


@pytest.fixture(scope="module")
def mapped(run_fla: Fla, house: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mapped cache. Features of another level stand in for descriptions: they have the same steps."""
    folder = tmp_path_factory.mktemp("mapped")
    run_fla(
        "extract", "--ckpt", house / "stage1", "--level", "frame", "--manifest", house / "manifest.jsonl",
        "--out", folder / "other", "--set", "workers=0", "--device", "cpu",
    )  # fmt: skip
    run_fla(
        "map", "--from", house / "cache", "--to", folder / "other", "--out", folder / "cache",
        "--device", "cpu", "--set", "epochs=1", "--set", "hidden_size=8",
    )  # fmt: skip
    return folder / "cache"


def tune(run_fla: Fla, house: Path, out: Path, *caches: Path) -> Path:
    features = [word for cache in caches for word in ("--features", cache)]
    run_fla(
        "tune", *features, "--llm", house / "llm", "--out", out, "--device", "cpu",
        "--set", "projector.hidden_size=8", "--set", "lora.rank=2", "--set", "training.epochs=1",
        "--set", "training.warmup_share=0", "--set", "decoding={num_beams: 1, max_new_tokens: 6}",
    )  # fmt: skip
    return out


def sentences(run_fla: Fla, run: Path, *caches: Path) -> list[str]:
    features = [word for cache in caches for word in ("--features", cache)]
    run_fla("evaluate", run, *features, "--split", "test", "--device", "cpu")
    lines = (run / "predictions-test.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["prediction"] for line in lines]


def paths_of_test(house: Path) -> list[str]:
    rows = [json.loads(line) for line in (house / "manifest.jsonl").read_text().splitlines()[1:]]
    return [row["video"] for row in rows if row["split"] == "test"]


@pytest.fixture(scope="module")
def run(run_fla: Fla, house: Path, mapped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tune(run_fla, house, tmp_path_factory.mktemp("joint") / "run", house / "cache", mapped)


def test_videos_have_the_sentences_of_the_caches(
    run_fla: Fla, house: Path, mapped: Path, run: Path, tmp_path: Path
) -> None:
    expected = sentences(run_fla, run, house / "cache", mapped)
    run_fla("export", run, "--out", tmp_path / "model", "--ckpt", house / "stage1")
    shutil.move(mapped, tmp_path / "hidden")  # neither the cache nor the run is needed
    try:
        translator = Translator.from_pretrained(tmp_path / "model", device="cpu")
        videos = [house / "corpus" / row for row in paths_of_test(house)]
        assert translator.translate(videos) == expected
    finally:
        shutil.move(tmp_path / "hidden", mapped)


def test_a_run_on_the_mapped_stream_alone_translates_too(
    run_fla: Fla, house: Path, mapped: Path, tmp_path: Path
) -> None:
    run = tune(run_fla, house, tmp_path / "run", mapped)
    expected = sentences(run_fla, run, mapped)
    translator = Translator(run, ckpt=house / "stage1", device="cpu")
    assert translator.translate([house / "corpus" / row for row in paths_of_test(house)]) == expected
    other = Path(shutil.copytree(house / "stage1" / "encoder", tmp_path / "other"))
    (other / "config.json").write_text((other / "config.json").read_text() + "\n")
    with pytest.raises(CacheError, match="features must come from encoder"):
        Translator(run, ckpt=other, device="cpu")


def test_a_run_without_its_mapper_or_with_another_is_refused(house: Path, run: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(run, tmp_path / "run"))
    weights = broken / "mapper-2" / "mapper.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError, match="must hold the mapper of stream 2, but holds another"):
        Translator(broken, ckpt=house / "stage1", device="cpu")
    shutil.rmtree(broken / "mapper-2")
    with pytest.raises(ModelError, match="must hold a mapper, but lacks mapper.json"):
        Translator(broken, ckpt=house / "stage1", device="cpu")
