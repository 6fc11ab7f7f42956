"""A tiny random LLaVA in a folder, as a hub would give it, and a manifest of tiny clips."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from fla_llm.cli import fla
from fla_llm.core.sample import Sample
from fla_llm.corpora.manifest import Manifest, write_manifest

NUM_FRAMES = {"train": (3, 4, 2), "dev": (2, 1)}
WORDS = ("hand", "moves", "up", "down", "left", "right", "face", "open", "flat", "the", "user", "assistant")
SETTINGS = ("frame_stride=1", "batch=2", "max_tokens=3", "precision=fp32")
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }} {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %} {{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %} assistant{% endif %}"
)


class Described(NamedTuple):
    """End of a run."""

    exit_code: int
    result: dict[str, Any]
    log: str


@pytest.fixture(scope="session")
def vlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a LLaVA with random weights: 16 pixels a side, four image tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    folder = tmp_path_factory.mktemp("vlm")
    vocabulary = {
        word: number for number, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", "<image>", *WORDS])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )  # fmt: skip
    side = {"height": 16, "width": 16}
    pictures = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=side)
    LlavaProcessor(
        image_processor=pictures, tokenizer=fast, patch_size=8, vision_feature_select_strategy="default",
        chat_template=TEMPLATE, num_additional_image_tokens=1,
    ).save_pretrained(folder)  # fmt: skip
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=16,
            patch_size=8, projection_dim=16,
        ),
        text_config=LlamaConfig(
            vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=1,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, pad_token_id=0,
            bos_token_id=1, eos_token_id=2,
        ),
        image_token_index=vocabulary["<image>"],
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = LlavaForConditionalGeneration(config)
        # Larger weights: tiny random models otherwise say the same of every picture.
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.data.mul_(12)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frame folders ``train0``, ... of random pictures, 18 x 24 pixels."""
    root, generator = tmp_path_factory.mktemp("videos"), np.random.default_rng(0)
    for split, counts in NUM_FRAMES.items():
        for number, count in enumerate(counts):
            (folder := root / f"{split}{number}").mkdir()
            for frame in range(count):
                pixels = generator.integers(0, 256, (3, 4, 3), dtype=np.uint8).repeat(6, 0).repeat(6, 1)
                Image.fromarray(pixels).save(folder / f"images{frame:04}.png")
    return root


@pytest.fixture(scope="session")
def manifest(videos: Path) -> Manifest:
    samples = [
        Sample(
            id=f"{split}/{number}", split=split, video=f"{split}{number}", text=f"Satz {number}",
            language="de", num_frames=count, fps=25.0,
        )
        for split, counts in NUM_FRAMES.items()
        for number, count in enumerate(counts)
    ]  # fmt: skip
    return write_manifest(
        videos / "manifest.jsonl", Manifest(corpus="tiny", root=videos, samples=tuple(samples))
    )


def run_describe(
    manifest: Manifest, vlm: Path, out: Path, *options: str, settings: Sequence[str] = ()
) -> Described:
    given = ["describe", str(manifest.source), "--model", str(vlm), "--out", str(out), "--device", "cpu"]
    chosen = [word for setting in (*SETTINGS, *settings) for word in ("--set", setting)]
    result = CliRunner().invoke(fla, [*given, *chosen, "--json", *options], catch_exceptions=False)
    return Described(result.exit_code, json.loads(result.stdout), result.stderr)


@pytest.fixture
def describe(manifest: Manifest, vlm: Path, tmp_path: Path) -> Callable[..., Described]:
    """Run ``fla describe`` here; return the exit code, the JSON result and what was logged."""

    def run(*options: str, out: Path = tmp_path / "descriptions", settings: Sequence[str] = ()) -> Described:
        return run_describe(manifest, vlm, out, *options, settings=settings)

    return run


@pytest.fixture(scope="session")
def described(
    manifest: Manifest, vlm: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Described]:
    """A folder of descriptions, for tests that change nothing there, and the end of its run."""
    out = tmp_path_factory.mktemp("described") / "descriptions"
    return out, run_describe(manifest, vlm, out)
