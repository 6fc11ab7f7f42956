"""Every setting of stage one changes something: a setting that were ignored would fail here.

Settings of :class:`TrainingConfig` are held by tests/training/test_settings.py on the toy, except the bounds
of a batch.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import torch

from fla_llm.core.config import config_to_dict
from fla_llm.core.errors import FlaError
from fla_llm.corpora.manifest import Manifest
from fla_llm.pretrain.config import PretrainConfig
from fla_llm.pretrain.data import TrainingClips, collate, training_batches
from fla_llm.pretrain.frames import FrameStore
from fla_llm.pretrain.tokenizer import EOS
from fla_llm.pretrain.train import build_model
from fla_llm.training.config import TrainingConfig
from fla_llm.training.optimisers import group_rates, make_optimiser

from .conftest import make_sample

Make = Callable[..., Any]
BASE: dict[str, Any] = {
    # So that each of the others has something to change.
    "augment.probability": 1.0, "augment.rotate_degrees": 20.0, "training.batch_clips": 3,
    "decoding.num_beams": 4, "decoding.max_new_tokens": 8, "tokenizer.vocab_size": 30,
}  # fmt: skip
CHANGES: dict[str, Any] = {
    "encoder.backbone": "test_efficientnet",
    "encoder.pretrained": True,
    "encoder.weights": "no/such/file",
    "encoder.pool": "avg",
    "encoder.output_stride": 16,
    "encoder.temporal": False,
    "encoder.hidden_size": 16,
    "encoder.kernel_size": 3,
    "encoder.image_size": 24,
    "encoder.resize_size": 36,
    "encoder.fit": "stretch",
    "encoder.mean": [0.1, 0.2, 0.3],
    "encoder.std": [0.1, 0.2, 0.3],
    "encoder.scales": [1, 2],
    "encoder.sampling.stride": 4,
    "encoder.sampling.max_frames": 2,
    "encoder.sampling.train_phases": [1],
    "encoder.sampling.fps": 20,
    "translator.encoder_layers": 2,
    "translator.decoder_layers": 2,
    "translator.heads": 4,
    "translator.hidden_size": 16,
    "translator.ffn_size": 32,
    "translator.dropout": 0.0,
    "translator.label_smoothing": 0.0,
    "translator.positions": 30,
    "tokenizer.kind": "unigram",
    "tokenizer.vocab_size": 24,
    "tokenizer.llm": "no/such/model",
    "augment.rotate_degrees": 0.0,
    "augment.scale": 0.0,
    "augment.translate": 0.0,
    "augment.brightness": 0.0,
    "augment.contrast": 0.0,
    "augment.probability": 0.0,
    "training.batch_clips": 2,
    "training.batch_steps": 8,
    "training.frame_chunk": 5,
    "backbone_lr_scale": 0.5,
    "decoding.num_beams": 1,
    "decoding.max_new_tokens": 3,
    "decoding.length_penalty": -9.0,
    "decoding.diversity": 0.5,
    "keep_frames_gib": 0.0,
    "seed": 7,
}

REFUSED = {
    "encoder.pretrained": "not on this disk",
    "encoder.weights": "no/such/file does not exist",
    "encoder.temporal": "encoder.temporal must be true",
    "tokenizer.llm": "no/such/model",
    "decoding.diversity": "decoding.diversity must be 0",
}
"""Settings whose other value this machine or stage one cannot follow, and what the refusal says."""


def settings_of(config: type) -> set[str]:
    """Return the dotted names of all settings of a dataclass and its groups."""
    instance = config()
    found: set[str] = set()
    for field in fields(instance):
        value = getattr(instance, field.name)
        names = settings_of(type(value)) if is_dataclass(value) and field.name != "training" else None
        found |= {field.name} if names is None else {f"{field.name}.{name}" for name in names}
    return found


def test_every_setting_has_a_row() -> None:
    training = set(config_to_dict(PretrainConfig())["training"]) - {f.name for f in fields(TrainingConfig)}
    own = settings_of(PretrainConfig) - {"training"} | {f"training.{name}" for name in training}
    assert own | {"training.batch_clips"} == set(CHANGES)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Six clips of two lengths, wider than they are high."""
    root = tmp_path_factory.mktemp("clips")
    sentences = [[n % 4, (n + 1) % 4, (n + 2) % 4][: 2 + n % 2] for n in range(6)]
    samples = [make_sample(root, "train", n, words, width=48) for n, words in enumerate(sentences)]
    return Manifest(corpus="wide", root=root, samples=tuple(samples))


def observe(manifest: Manifest, tiny_config: Make, changes: dict[str, Any]) -> dict[str, Any]:
    """Return what a run of these settings works on: batches, weights, rates, a loss, translations."""
    config = tiny_config(**{name.replace(".", "__"): value for name, value in changes.items()})
    samples = manifest.split("train")
    store = FrameStore(manifest, config.encoder)
    store.keep(samples, phases=config.encoder.sampling.phases, gib=config.keep_frames_gib)
    model = build_model(samples, config)
    items = TrainingClips(samples, store=store, tokenizer=model.tokenizer, config=config)
    batch = collate([items.get(index, epoch=1) for index in range(3)])
    torch.manual_seed(0)
    loss = model(**batch)["loss"].item()
    model.translator.final_logits_bias[0, EOS] = 2.75  # sentences end at different lengths
    with torch.no_grad():
        said = model.eval().translate(batch, config.decoding)
    return {
        "kept": store.filled_gib,
        "batches": training_batches(items).batches,
        "frames": batch["frames"].tolist(),
        "rates": group_rates(make_optimiser(model.parameter_groups(), config.training)),
        "weights": {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()},
        "loss": loss,
        "said": said,
    }


@pytest.fixture(scope="module")
def base(clips: Manifest, tiny_config: Make) -> dict[str, Any]:
    return observe(clips, tiny_config, BASE)


def test_what_is_observed_is_repeated(base: dict[str, Any], clips: Manifest, tiny_config: Make) -> None:
    assert observe(clips, tiny_config, BASE) == base


@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_changes_something(
    name: str, base: dict[str, Any], clips: Manifest, tiny_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    changes = BASE | {name: CHANGES[name]}
    if name in REFUSED:
        with pytest.raises(FlaError, match=REFUSED[name]):
            observe(clips, tiny_config, changes)
    else:
        assert observe(clips, tiny_config, changes) != base
