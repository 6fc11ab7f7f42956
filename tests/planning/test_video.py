"""Stage one and extraction: published costs of backbones, exact steps, hours with their range."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from fla_llm.cli import fla
from fla_llm.core.errors import ConfigError
from fla_llm.core.sample import Sample
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.encoder.config import EncoderConfig
from fla_llm.planning.hours import EFFICIENCY, TFLOPS, card_name, check_card, estimate_hours
from fla_llm.planning.saved_bytes import SavedBytes
from fla_llm.planning.video_plan import measure_frame

SMALL = (
    "encoder.backbone=test_resnet", "encoder.image_size=32", "encoder.resize_size=32",
    "translator={encoder_layers: 1, decoder_layers: 1, heads: 2, hidden_size: 16}", "translator.ffn_size=32",
    "tokenizer.vocab_size=50", "training.epochs=3", "training.batch_clips=2", "training.batch_steps=40",
    "training.accumulate=2",
)  # fmt: skip

CHUNKS = ((), ("--set", "training.frame_chunk=8"))


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    def sample(number: int, split: Any) -> Sample:
        text, video = "morgen sonne", f"{split}-{number}.mp4"
        return Sample(
            id=f"{split}-{number}",
            split=split,
            video=video,
            text=text,
            language="de",
            num_frames=40,
            fps=25.0,
        )

    samples = (*(sample(n, "train") for n in range(5)), *(sample(n, "dev") for n in range(2)))
    path = tmp_path / "manifest.jsonl"
    write_manifest(path, Manifest(corpus="toy", root=tmp_path, samples=samples))
    return path


def plan(stage: str, manifest: Path, *more: str) -> tuple[int, dict[str, Any]]:
    settings = [word for setting in SMALL for word in ("--set", setting)]
    arguments = [
        "plan",
        "--stage",
        stage,
        "--manifest",
        str(manifest),
        *settings,
        "--device",
        "cpu",
        "--json",
    ]
    done = CliRunner().invoke(fla, [*arguments, *more], catch_exceptions=False)
    return done.exit_code, json.loads(done.stdout)


@pytest.mark.parametrize(
    ("backbone", "mib", "gflop"), [("resnet18", 11.3, 3.63), ("vit_small_patch16_224", 31.8, 9.2)]
)
def test_a_frame_costs_what_is_known_of_its_backbone(backbone: str, mib: float, gflop: float) -> None:
    cost = measure_frame(EncoderConfig(backbone=backbone), dtype=torch.bfloat16)
    assert cost.saved / 2**20 == pytest.approx(mib, rel=0.1)  # of a real step in bf16
    assert cost.flops / 1e9 == pytest.approx(gflop, rel=0.05)  # twice the multiplications that timm lists


def test_saved_bytes_of_a_frame_are_those_of_real_frames() -> None:
    from fla_llm.encoder.model import VisualEncoder

    config = EncoderConfig(backbone="test_resnet", image_size=64, resize_size=64)
    encoder = VisualEncoder(config).train()
    saved = {}
    for frames in (2, 3):
        saved[frames] = SavedBytes([*encoder.parameters(), *encoder.buffers()])
        with saved[frames]:
            encoder.frame_features(torch.zeros(frames, 3, 64, 64, dtype=torch.uint8))
    cost = measure_frame(config, dtype=torch.float32)
    assert cost.saved == pytest.approx(saved[3].total - saved[2].total, rel=0.02)


def test_stage_one_has_the_steps_and_the_frames_of_its_batches(manifest: Path) -> None:
    code, found = plan("pretrain", manifest, "--vram", "8", "--gpu", "RTX 3090")
    assert code == 0
    assert found["steps_per_epoch"] == 2  # five clips of ten frames, two at a time, two batches a step
    assert found["epochs"] == 3
    assert "activations of 20 frames" in found["parts"]
    assert found["bytes"] == sum(found["parts"].values())
    low, high = found["hours"]
    assert high / low == pytest.approx(EFFICIENCY[1] / EFFICIENCY[0])
    assert "estimate" in found["hours_from"]


def test_in_chunks_stage_one_keeps_the_activations_of_a_chunk_and_computes_more(manifest: Path) -> None:
    room = ("--vram", "8", "--gpu", "RTX 3090")
    (_, whole), (_, chunked) = (plan("pretrain", manifest, *room, *more) for more in CHUNKS)
    assert "activations of 7 frames" in chunked["parts"]  # 20 frames in three chunks
    saved = [found["parts"][f"activations of {n} frames"] for found, n in ((whole, 20), (chunked, 7))]
    assert saved[0] / saved[1] == pytest.approx(20 / 7)
    assert chunked["hours"][0] / whole["hours"][0] == pytest.approx(4 / 3)


def test_an_extraction_looks_at_the_frames_of_all_splits(manifest: Path) -> None:
    code, found = plan("extract", manifest, "--vram", "0.1")
    assert code == 1
    assert found["steps_per_epoch"] == 7 * 10
    assert found["hours"] is None
    assert "give --gpu" in found["hours_from"]
    assert found["remedies"]


def test_hours_are_flops_over_throughput() -> None:
    found = estimate_hours(
        TFLOPS["A100"] * 1e12 * 3600, card="NVIDIA A100-SXM4-80GB", steps=5, epochs=2, left_out="x"
    )
    assert (found.low, found.high) == pytest.approx((2 / EFFICIENCY[1], 2 / EFFICIENCY[0]))


def test_a_card_is_known_by_its_longest_name() -> None:
    assert card_name("NVIDIA A10") == "A10"
    assert card_name("NVIDIA L40S") == "L40S"
    with pytest.raises(ConfigError, match="--gpu must be one of T4, .*, but is Voodoo"):
        check_card("Voodoo")
