"""The demo's summary holds every figure that is promised, at a size that teaches nothing."""

import json
from pathlib import Path

import pytest

from fla_llm.core.errors import ConfigError, RunError
from fla_llm.demo.config import load_demo_config
from fla_llm.demo.run import describe_plan, run_demo

TINY = [
    "corpus={train_clips: 8, single_sign_clips: 2, dev_clips: 2, test_clips: 3, image_size: 32}",
    "pretrain.encoder={backbone: test_resnet, image_size: 32, resize_size: 32, output_stride: null}",
    "pretrain.translator={encoder_layers: 1, decoder_layers: 1, heads: 2, hidden_size: 16, ffn_size: 16}",
    "pretrain.training.epochs=1", "pretrain.decoding.max_new_tokens=4", "extract.workers=0",
    "llm={hidden_size: 64, layers: 1, steps: 1}", "text_sentences=20",
    "tune.training.epochs=1", "tune.decoding.max_new_tokens=4", "tune.projector.hidden_size=16",
]  # fmt: skip


def test_the_summary_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    summary = run_demo(out, config=load_demo_config(None, TINY), device="cpu")
    figures = json.loads((out / "summary.json").read_text())
    assert figures == json.loads(json.dumps(summary.figures))
    assert (figures["train_clips"], figures["test_clips"]) == (8, 3)
    for scores in (figures["stage_one"]["test"], figures["test"], figures["test_shuffled"]):
        assert 0 <= scores["bleu4"] <= 100
    steps = {"prepare", "pretrain", "extract", "llm", "tune", "evaluate", "translate"}
    assert figures["seconds"].keys() == steps
    assert str(out / "stage1" / "encoder") in summary.text
    with pytest.raises(RunError, match="is not empty"):
        run_demo(out, config=load_demo_config(None, TINY), device="cpu")


def test_the_plan_says_what_would_be_done(tmp_path: Path) -> None:
    plan = describe_plan(load_demo_config(None, TINY), tmp_path)
    assert "8 + 2 + 3 clips" in plan
    assert "nf4 + LoRA" in plan


def test_one_seed_serves_every_stage() -> None:
    config = load_demo_config(None, ["seed=7"])
    assert (config.seed, config.pretrain.seed, config.tune.seed) == (7, 7, 7)


def test_a_misspelt_setting_is_refused() -> None:
    expected = "unknown key 'pretrain.training.epoch'. Did you mean 'pretrain.training.epochs'"
    with pytest.raises(ConfigError, match=expected):
        load_demo_config(None, ["pretrain.training.epoch=3"])
