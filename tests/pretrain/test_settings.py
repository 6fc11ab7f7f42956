"""Every setting of stage one changes something: a setting that were ignored would fail here.

Settings of :class:`TrainingConfig` are held by tests/training/test_settings.py on the toy, except the bounds
of a batch.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fla_llm.configs import PRETRAIN_PRESETS
from fla_llm.core.config import config_to_dict, load_config
from fla_llm.core.errors import ConfigError, FlaError
from fla_llm.corpora.manifest import Manifest
from fla_llm.pretrain.config import PretrainConfig
from fla_llm.pretrain.data import TrainingClips, collate, training_batches
from fla_llm.pretrain.frames import FrameStore
from fla_llm.pretrain.tokenizer import EOS
from fla_llm.pretrain.train import build_model, pretrain
from fla_llm.training.batch_norm import batch_norms
from fla_llm.training.checkpoints import finished_steps
from fla_llm.training.config import TrainingConfig
from fla_llm.training.optimisers import group_rates, make_optimiser

from .conftest import make_sample
from .test_poses import CHANGES as POSE_CHANGES

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
    "training.compile": True,
    "training.total_clips": 6,
    "training.sync_batchnorm": True,
    "backbone_lr_scale": 0.5,
    "drop_frames": 0.6,
    "decoding.num_beams": 1,
    "decoding.max_new_tokens": 3,
    "decoding.length_penalty": -9.0,
    "decoding.diversity": 0.5,
    "decoding.temperature": 0.5,
    "keep_frames_gib": 0.0,
    "seed": 7,
}

REFUSED = {
    "encoder.pretrained": "not on this disk",
    "encoder.weights": "no/such/file does not exist",
    "encoder.temporal": "encoder.temporal must be true",
    "tokenizer.llm": "no/such/model",
    "decoding.diversity": "decoding.diversity must be 0",
    "decoding.temperature": "decoding.temperature must be 0",
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
    # Settings of key points have their rows in test_poses.py.
    poses = {name.replace("__", ".") for name in POSE_CHANGES} | {"encoder.kind"}
    assert own | {"training.batch_clips"} == set(CHANGES) | poses


def test_the_clips_of_a_step_are_divided_by_the_processes() -> None:
    """The paper takes eight clips over two GPUs: one GPU adds up two batches of four."""
    paper = load_config(PretrainConfig, presets=PRETRAIN_PRESETS, source="paper").training
    assert [paper.for_processes(count).accumulate for count in (1, 2)] == [2, 1]
    for count, clips in ((3, 12), (4, 16)):
        with pytest.raises(ConfigError, match=rf"total_clips must be a multiple of {clips} .*, but is 8"):
            paper.for_processes(count)


def test_a_run_adds_up_batches_to_the_clips_of_a_step(
    corpus: Manifest, tiny_config: Make, tmp_path: Path
) -> None:
    config = tiny_config(training__total_clips=8, training__select="last", training__epochs=1)
    train = replace(corpus, samples=tuple(corpus.split("train")))
    pretrain(train, config=config, out=tmp_path / "run", device="cpu")
    assert finished_steps(tmp_path / "run/checkpoints") == [2]  # twelve clips, in batches of four
    written = load_config(PretrainConfig, source=str(tmp_path / "run/config.yaml")).training
    assert (written.total_clips, written.accumulate) == (8, 2)


def test_synchronised_layers_have_the_same_weights_and_features(tiny_model: Make) -> None:
    frames = torch.zeros(4, 3, 28, 28, dtype=torch.uint8)
    own, other = (tiny_model(training__sync_batchnorm=flag).eval() for flag in (True, False))
    assert own.state_dict().keys() == other.state_dict().keys()
    norms = batch_norms(own)
    assert norms
    assert all(isinstance(layer, torch.nn.SyncBatchNorm) for layer in norms)
    with torch.no_grad():
        lengths = torch.tensor([4])
        assert torch.equal(own.encoder(frames, lengths), other.encoder(frames, lengths))


def test_synchronised_statistics_need_a_gpu_in_each_process_and_no_chunks(
    corpus: Manifest, tiny_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="sync_batchnorm must be false with frame_chunk"):
        tiny_config(training__sync_batchnorm=True, training__frame_chunk=4)
    monkeypatch.setenv("WORLD_SIZE", "2")
    config = tiny_config(training__sync_batchnorm=True)
    with pytest.raises(
        ConfigError, match="sync_batchnorm needs a GPU in each process, but the device is cpu"
    ):
        pretrain(corpus, config=config, out=tmp_path / "run", device="cpu")


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
        "accumulate": config.training.for_processes(1).accumulate,
        "layers": [type(layer).__name__ for layer in model.modules()],
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
    # Compiling takes minutes on some machines. Twice the features show that the compiled function computes.
    monkeypatch.setattr("torch.compile", lambda function: lambda frames: 2 * function(frames))
    changes = BASE | {name: CHANGES[name]}
    if name in REFUSED:
        with pytest.raises(FlaError, match=REFUSED[name]):
            observe(clips, tiny_config, changes)
    else:
        assert observe(clips, tiny_config, changes) != base
