"""Both stages on a CUDA device, by the commands."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from house_fixtures import TINY_ENCODER, TINY_TRAINING, TINY_TRANSLATOR, settings

Fla = Callable[..., Result]
DEVICE = "cuda"
SMALL = ("projector.hidden_size=16", "lora.rank=2", "training.batch_tokens=160")


@pytest.mark.cuda
def test_both_stages_lead_from_a_manifest_to_sentences(run_fla: Fla, house: Path, tmp_path: Path) -> None:
    def run(*arguments: str | Path) -> Result:
        return run_fla(*arguments, "--device", DEVICE)

    manifest, one, cache, two = (
        house / "manifest.jsonl",
        tmp_path / "one",
        tmp_path / "cache",
        tmp_path / "two",
    )
    # Chunks and workers take ways of their own to a GPU: pinned memory, and a second forward pass.
    more = ("training.batch_steps=80", "training.frame_chunk=20", "training.workers=1")
    run(
        "pretrain", "--manifest", manifest, "--out", one,
        *settings(TINY_ENCODER, TINY_TRANSLATOR, TINY_TRAINING, more),
    )  # fmt: skip
    run("extract", "--ckpt", one, "--manifest", manifest, "--out", cache, "--set", "workers=0")
    features = ("--features", cache, "--llm", house / "llm", *settings(TINY_TRAINING, SMALL))
    run("tune", *features, "--out", two)
    for folder, source in ((one, ("--manifest", manifest)), (two, ("--features", cache))):
        scores = json.loads(run("evaluate", folder, *source, "--json").stdout)
        assert (scores["count"], len(scores["missing"])) == (4, 0)
    video = next((house / "corpus" / "videos" / "test").iterdir())
    assert len(run("translate", video, "--run", two, "--ckpt", one).stdout.splitlines()) == 1


@pytest.mark.cuda
def test_a_probe_measures_a_step_and_a_search(run_fla: Fla, house: Path) -> None:
    found = run_fla(
        "plan", "--probe", "--features", house / "cache", "--llm", house / "llm", "--json",
        "--device", DEVICE, *settings(TINY_TRAINING, SMALL),
    )  # fmt: skip
    plan = json.loads(found.stdout)
    assert 0 < plan["probed_bytes"] < 2 * plan["bytes"]
