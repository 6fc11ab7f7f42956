"""Stage one on key points: a corpus without any video, from training to the cache."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fla_llm.cache.reader import FeatureCache
from fla_llm.core.errors import ConfigError, ModelError
from fla_llm.core.files import read_json
from fla_llm.core.sample import Sample, Split
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.encoder.pose_encoder import PoseEncoder
from fla_llm.encoder.store import fingerprint, load_encoder
from fla_llm.extract.config import ExtractConfig, PosesConfig
from fla_llm.extract.extraction import extract
from fla_llm.extract.plan import Extraction
from fla_llm.extract.request import ExtractionRequest
from fla_llm.extract.shards import WHOLE
from fla_llm.extract.source import load_source
from fla_llm.pipeline.evaluate import evaluate_stage_one
from fla_llm.pipeline.evaluation import Request
from fla_llm.poses.detector import PoseDetector
from fla_llm.pretrain.config import PretrainConfig
from fla_llm.pretrain.data import TrainingClips, collate, evaluation_set, training_batches
from fla_llm.pretrain.poses import open_store
from fla_llm.pretrain.run import PretrainResult
from fla_llm.pretrain.train import build_model, pretrain
from fla_llm.training.optimisers import group_rates, make_optimiser

Make = Callable[..., PretrainConfig]
WORDS = ("regen", "sonne", "wind", "schnee")
POSES: dict[str, Any] = {"encoder__kind": "poses", "encoder__poses__width": 8, "encoder__hidden_size": 16}
OFF = {
    f"augment_poses__{name}": 0 for name in ("rotate_degrees", "scale", "noise", "lost_hands", "lost_frames")
}
CHANGES: dict[str, Any] = {
    "encoder__poses__network": "flat",
    "encoder__poses__width": 12,
    "encoder__poses__normalisation": "isotropic",
    "encoder__poses__threshold": 0.6,
    "encoder__hidden_size": 8,
    "encoder__sampling__stride": 4,
    "encoder__sampling__max_frames": 2,
    "encoder__sampling__train_phases": [1],
    "encoder__sampling__fps": 20,
    "backbone_lr_scale": 0.5,
    "drop_frames": 0.6,
    "keep_frames_gib": 0.0,
    "augment_poses__rotate_degrees": 20,
    "augment_poses__scale": 0.2,
    "augment_poses__noise": 0.1,
    "augment_poses__lost_hands": 0.9,
    "augment_poses__lost_frames": 0.9,
    "augment_poses__mirror": 1,
}


DETECTOR = PoseDetector(name="rtmlib", version="1", weights="abc")


def make_sample(root: Path, split: Split, number: int, words: list[int]) -> Sample:
    """Write a pose file in which the wrists say the words."""
    rng = np.random.default_rng(number)
    frames = 4 * len(words)
    person = np.random.default_rng(99).uniform(100, 300, (133, 2))
    points = person + rng.normal(0, 2, (frames, 133, 2))
    for index, word in enumerate(words):
        points[4 * index : 4 * index + 4, 9:11] = (80 + 240 * (word // 2), 80 + 240 * (word % 2))
    scores = rng.uniform(0.4, 1, (frames, 133))
    name = f"{split}/{number}"
    (root / split).mkdir(parents=True, exist_ok=True)
    np.savez(root / f"{name}.npz", keypoints=points, scores=scores, size=np.array([640, 400]))
    text = " ".join(WORDS[word] for word in words)
    return Sample(
        id=name, split=split, poses=f"{name}.npz", text=text, language="de", num_frames=frames, fps=25.0
    )


@pytest.fixture(scope="session")
def pose_corpus(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Return clips with pose files alone, one of which shows no body."""
    root = tmp_path_factory.mktemp("poses")
    sentences = [
        [first, (first + shift) % 4, first][: 2 + shift % 2] for first in range(4) for shift in (1, 2)
    ]
    samples = [make_sample(root, "train", number, words) for number, words in enumerate(sentences)]
    samples += [make_sample(root, "dev", number, words) for number, words in enumerate(sentences[::3])]
    np.savez(root / "nobody.npz", keypoints=np.zeros((8, 133, 3)))
    nobody = replace(samples[0], id="nobody", poses="nobody.npz")
    manifest = Manifest(corpus="wrists", root=root, samples=(*samples, nobody), detector=DETECTOR)
    write_manifest(root / "manifest.jsonl", manifest)
    return manifest


@pytest.fixture(scope="session")
def pose_run(
    pose_corpus: Manifest, tiny_config: Make, tmp_path_factory: pytest.TempPathFactory
) -> PretrainResult:
    out = tmp_path_factory.mktemp("pose-runs") / "stage1"
    return pretrain(pose_corpus, config=tiny_config(**POSES, training__epochs=1), out=out, device="cpu")


def test_a_run_leaves_an_encoder_and_names_clips_without_a_body(pose_run: PretrainResult) -> None:
    assert isinstance(load_encoder(pose_run.run), PoseEncoder)
    assert [clip.id for clip in pose_run.unreadable] == ["nobody"]
    assert "must show at least 4 points of the body" in pose_run.unreadable[0].reason
    assert pose_run.dev is not None


def test_stage_one_is_evaluated_on_poses(pose_run: PretrainResult, pose_corpus: Manifest) -> None:
    request = Request(split="dev", device="cpu")
    found = evaluate_stage_one(pose_run.run, pose_corpus.root / "manifest.jsonl", request=request)
    assert found.coverage.clips == 3
    assert not found.coverage.missing


def test_a_run_knows_the_detector_of_its_key_points(
    pose_run: PretrainResult, pose_corpus: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert PoseDetector(**read_json(pose_run.run / "run.json")["manifest"]["detector"]) == DETECTOR
    request = Request(split="dev", device="cpu")
    for version in ("1", "2"):
        assert not caplog.records
        other = replace(pose_corpus, detector=replace(DETECTOR, version=version))
        write_manifest(tmp_path / f"{version}.jsonl", other)
        evaluate_stage_one(pose_run.run, tmp_path / f"{version}.jsonl", request=request)
    assert "trained on key points of rtmlib 1 with weights abc, and is given those of rtmlib 2" in caplog.text


@pytest.mark.parametrize("folder", [".", "encoder"])
def test_an_extraction_is_told_of_another_detector(
    pose_run: PretrainResult,
    pose_corpus: Manifest,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    folder: str,
) -> None:
    for version in ("1", "2"):
        assert not caplog.records
        file = tmp_path / f"{version}.jsonl"
        write_manifest(file, replace(pose_corpus, detector=replace(DETECTOR, version=version)))
        request = ExtractionRequest(manifest=file, ckpt=pose_run.run / folder, out=tmp_path / version)
        request.check((WHOLE,), device=torch.device("cpu"))
    assert "trained on key points of rtmlib 1 with weights abc, and is given those of rtmlib 2" in caplog.text


@pytest.mark.parametrize("level", ["sign", "frame"])
def test_the_cache_holds_live_features(
    pose_run: PretrainResult, pose_corpus: Manifest, tmp_path: Path, level: Any
) -> None:
    config = ExtractConfig(level=level, workers=0, threads=1)
    encoder, digest = load_source(ckpt=pose_run.run, encoder=None, config=config)
    plan = Extraction(
        manifest=pose_corpus, encoder=encoder, fingerprint=digest, out=tmp_path, config=config,
        device=torch.device("cpu"),
    )  # fmt: skip
    result = extract(plan)
    assert [clip.id for clip in result.rejected] == ["nobody"]
    cache = FeatureCache(tmp_path, "dev")
    store = open_store(pose_corpus, load_encoder(pose_run.run).config)
    sample = pose_corpus.split("dev")[0]
    with torch.no_grad():
        live = encoder.unit_features(torch.from_numpy(store.read(sample, phase=0)))
        live = encoder.sign_features(live) if level == "sign" else live
    np.testing.assert_array_equal(cache[0], live.half().numpy())
    assert cache.provenance.encoder_fingerprint == fingerprint(pose_run.run)
    assert cache.provenance.preprocessing["poses"]["width"] == 8
    assert "frame_version" not in cache.provenance.preprocessing


@pytest.mark.parametrize(
    ("name", "value"),
    [("normalisation", "isotropic"), ("threshold", 0.6), ("frame_stride", 2), ("max_frames", 3)],
)
def test_key_points_are_features_without_any_training(
    pose_corpus: Manifest, tmp_path: Path, name: str, value: Any
) -> None:
    caches = []
    for number, how in enumerate((PosesConfig(), PosesConfig(**{name: value}))):
        config = ExtractConfig(workers=0, threads=1, poses=how)
        encoder, digest = load_source(ckpt=None, encoder="poses", config=config)
        plan = Extraction(
            manifest=pose_corpus, encoder=encoder, fingerprint=digest, out=tmp_path / str(number),
            splits=("dev",), config=config, device=torch.device("cpu"),
        )  # fmt: skip
        extract(plan)
        caches.append(FeatureCache(plan.out, "dev"))
    plain, changed = caches
    store = open_store(pose_corpus, PosesConfig().encoder)
    frames = store.read(pose_corpus.split("dev")[0], phase=0)
    np.testing.assert_array_equal(plain[0], frames.reshape(-1, 207).astype("f2"))
    assert plain.provenance.level == "frame"
    assert not np.array_equal(plain[0], changed[0])
    assert plain.fingerprint != changed.fingerprint


def test_untrained_key_points_have_no_level_sign() -> None:
    config = ExtractConfig(level="sign")
    with pytest.raises(ModelError, match=r"level must be frame.*\n.*fla pretrain"):
        load_source(ckpt=None, encoder="poses", config=config)[0].require_temporal()


@pytest.mark.parametrize(
    "setting", [{"frame_batch": 8}, {"views": 1}, {"keep_partial": True}, {"compile": True}]
)
def test_settings_of_videos_are_refused(
    pose_run: PretrainResult, pose_corpus: Manifest, tmp_path: Path, setting: dict[str, Any]
) -> None:
    config = ExtractConfig(workers=0, **setting)
    encoder, digest = load_source(ckpt=pose_run.run, encoder=None, config=config)
    plan = Extraction(
        manifest=pose_corpus, encoder=encoder, fingerprint=digest, out=tmp_path, config=config,
        device=torch.device("cpu"),
    )  # fmt: skip
    with pytest.raises(ConfigError, match=f"{next(iter(setting))} must be .* for an encoder of poses"):
        assert plan.plans


def observe(manifest: Manifest, config: PretrainConfig) -> dict[str, Any]:
    """Return what a run of these settings works on."""
    samples = manifest.split("train")[:3]
    store = open_store(manifest, config.encoder)
    store.keep(samples, phases=config.encoder.sampling.phases, gib=config.keep_frames_gib)
    model = build_model(samples, config)
    items = TrainingClips(samples, store=store, tokenizer=model.tokenizer, config=config)
    batch = collate([items.get(index, epoch=1) for index in range(3)])
    return {
        "kept": store.filled_gib,
        "batches": training_batches(items).batches,
        "frames": batch["frames"].tolist(),
        "rates": group_rates(make_optimiser(model.parameter_groups(), config.training)),
        "weights": {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()},
    }


@pytest.fixture(scope="module")
def base(pose_corpus: Manifest, tiny_config: Make) -> dict[str, Any]:
    return observe(pose_corpus, tiny_config(**POSES, **OFF))


@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_changes_something(
    name: str, base: dict[str, Any], pose_corpus: Manifest, tiny_config: Make
) -> None:
    changes = {**POSES, **OFF, name: CHANGES[name]}
    assert observe(pose_corpus, tiny_config(**changes)) != base


def test_the_kernel_of_a_flat_network_changes_something(pose_corpus: Manifest, tiny_config: Make) -> None:
    flat = {**POSES, **OFF, "encoder__poses__network": "flat"}
    narrow, wide = (observe(pose_corpus, tiny_config(**flat, encoder__kernel_size=size)) for size in (3, 5))
    assert narrow["weights"] != wide["weights"]
    assert tiny_config(**flat).encoder.settings["kernel_size"] == 5
    assert "kernel_size" not in tiny_config(**POSES).encoder.settings


@pytest.mark.parametrize("setting", [{"training__frame_chunk": 8}, {"training__compile": True}])
def test_settings_of_a_backbone_are_refused(tiny_config: Make, setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"training\.frame_chunk must be null and training\.compile false"):
        tiny_config(**POSES, **setting)


def test_kept_key_points_are_those_of_the_files(pose_corpus: Manifest, tiny_config: Make) -> None:
    config = tiny_config(**POSES)
    kept, plain = open_store(pose_corpus, config.encoder), open_store(pose_corpus, config.encoder)
    samples = pose_corpus.split("train")
    kept.keep(samples, phases=(0, 1), gib=1.0)
    assert kept.filled_gib > 0
    for phase in (0, 1):
        np.testing.assert_array_equal(kept.read(samples[1], phase=phase), plain.read(samples[1], phase=phase))


def test_training_draws_from_seed_epoch_and_id(pose_corpus: Manifest, tiny_config: Make) -> None:
    config = tiny_config(**POSES)
    samples = pose_corpus.split("train")[:2]
    model = build_model(samples, config)
    clips = TrainingClips(
        samples, store=open_store(pose_corpus, config.encoder), tokenizer=model.tokenizer, config=config
    )
    first, again, other = (clips.get(0, epoch)["frames"].tolist() for epoch in (1, 1, 2))
    assert first == again != other


def test_one_batch_can_be_learned(pose_corpus: Manifest, tiny_config: Make) -> None:
    config = tiny_config(**POSES, **OFF, translator__label_smoothing=0, translator__dropout=0)
    samples = pose_corpus.split("train")[:4]
    model = build_model(samples, config).train()
    clips = TrainingClips(
        samples, store=open_store(pose_corpus, config.encoder), tokenizer=model.tokenizer, config=config
    )
    batch = collate([clips.get(index, epoch=1) for index in range(4)])
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        loss = model(**batch)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1
    evaluation = evaluation_set(samples, store=open_store(pose_corpus, config.encoder), config=config)
    assert len(evaluation.references) == 4
