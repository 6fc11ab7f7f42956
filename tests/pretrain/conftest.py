"""A corpus of squares: where the bright square stands says which word is signed; and a model of that size."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fla_llm.core.config import config_from_dict, config_to_dict, load_config
from fla_llm.core.sample import Sample, Split
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.pretrain.config import PretrainConfig
from fla_llm.pretrain.run import PretrainResult
from fla_llm.pretrain.train import build_model, pretrain

SIDE = 32
WORDS = ("regen", "sonne", "wind", "schnee")
FRAMES_PER_WORD = 4

SETTINGS: dict[str, Any] = {
    "encoder": {
        "backbone": "test_resnet",
        "pool": "grid-2",
        "output_stride": 8,
        "hidden_size": 32,
        "image_size": 28,
        "resize_size": 32,
        "sampling": {"stride": 2, "max_frames": 20},
    },
    "translator": {
        "encoder_layers": 1,
        "decoder_layers": 1,
        "heads": 2,
        "hidden_size": 32,
        "ffn_size": 64,
        "positions": 24,
    },
    "tokenizer": {"vocab_size": 40},
    "augment": {"rotate_degrees": 5},
    "training": {
        "epochs": 2,
        "batch_clips": 4,
        "batch_steps": 200,
        "learning_rate": 1e-3,
        "weight_decay": 0.01,
        "warmup_share": 0.1,
        "precision": "fp32",
        "save_every_steps": 1,
    },
    "decoding": {"num_beams": 2, "max_new_tokens": 8},
}


def write_video(path: Path, words: Sequence[int], *, width: int = SIDE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = width, SIDE
        stream.pix_fmt = "yuv420p"
        for word in words:
            top, left = 16 * (word // 2), 16 * (word % 2)
            for frame in range(FRAMES_PER_WORD):
                picture = np.full((SIDE, width, 3), 20 + 20 * frame, np.uint8)
                picture[top : top + 16, left : left + 16] = 220
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def make_sample(root: Path, split: Split, number: int, words: Sequence[int], *, width: int = SIDE) -> Sample:
    name = f"{split}/{number}"
    write_video(root / f"{name}.mp4", words, width=width)
    text = " ".join(WORDS[word] for word in words)
    frames = FRAMES_PER_WORD * len(words)
    return Sample(
        id=name, split=split, video=f"{name}.mp4", text=text, language="de", num_frames=frames, fps=25.0
    )


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    root = tmp_path_factory.mktemp("corpus")
    sentences = [
        [first, (first + shift) % 4, *([first] * (shift > 2))] for first in range(4) for shift in (1, 2, 3)
    ]
    samples = [make_sample(root, "train", number, words) for number, words in enumerate(sentences)]
    samples += [make_sample(root, "dev", number, words) for number, words in enumerate(sentences[::4])]
    manifest = Manifest(corpus="squares", root=root, samples=tuple(samples))
    write_manifest(root / "manifest.jsonl", manifest)
    return manifest


def tiny(**changes: Any) -> PretrainConfig:
    """The tiny settings; ``training__epochs=3`` changes one of a group."""
    base = config_from_dict(PretrainConfig, SETTINGS, origin="the tests")
    overrides = [f"{name.replace('__', '.')}={value}" for name, value in changes.items()]
    return load_config(PretrainConfig, base=base, overrides=overrides)


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., PretrainConfig]:
    return tiny


@pytest.fixture
def tiny_model(corpus: Manifest) -> Callable[..., Any]:
    return lambda **changes: build_model(corpus.split("train"), tiny(**changes))


@pytest.fixture(scope="session")
def trained(corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> PretrainResult:
    return pretrain(corpus, config=tiny(), out=tmp_path_factory.mktemp("runs") / "stage1", device="cpu")


@pytest.fixture(scope="session")
def tiny_yaml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import yaml

    path = tmp_path_factory.mktemp("settings") / "tiny.yaml"
    path.write_text(yaml.safe_dump(config_to_dict(tiny())))
    return path
