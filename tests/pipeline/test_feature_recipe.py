"""A video is seen as the features of a run were made, whatever the extraction was told."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result

from fla_llm.cache.reader import FeatureCache
from fla_llm.core.errors import CacheError
from fla_llm.encoder.model import VisualEncoder
from fla_llm.encoder.store import load_encoder
from fla_llm.finetune.streams import Stream, StreamRecord, warn_of_mixed_origins, warn_of_other_origins
from fla_llm.pipeline.feature_recipe import recipe_of
from fla_llm.pipeline.translate import encode_videos
from fla_llm.poses.detector import PoseDetector
from fla_llm.video import Clip

Fla = Callable[..., Result]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def encoder(house: Path) -> VisualEncoder:
    """The encoder of stage one."""
    return load_encoder(house / "stage1")


@pytest.fixture(scope="module", params=["fps=7", "phase=1"])
def cache(request: pytest.FixtureRequest, run_fla: Fla, house: Path, tmp_path_factory) -> FeatureCache:
    """Test clips that were looked at otherwise than the encoder would."""
    out = tmp_path_factory.mktemp("cache")
    run_fla(
        "extract", "--ckpt", house / "stage1", "--manifest", house / "manifest.jsonl", "--out", out,
        "--split", "test", "--set", "workers=0", "--set", "frame_batch=5", "--set", request.param,
        "--device", "cpu",
    )  # fmt: skip
    return FeatureCache(out, "test")


@pytest.fixture
def record(cache: FeatureCache) -> StreamRecord:
    """What a run would keep of the cache."""
    return Stream([cache]).record


def changed(record: StreamRecord, **preprocessing: object) -> StreamRecord:
    made = record.made_by[0]
    return replace(record, made_by=(made | {"preprocessing": made["preprocessing"] | preprocessing},))


def test_translates_features_are_the_cached_ones_bit_for_bit(
    house: Path, encoder: VisualEncoder, cache: FeatureCache, record: StreamRecord
) -> None:
    kept = StreamRecord.from_dict(json.loads(json.dumps(record.to_dict())))
    recipe = recipe_of(house, kept, encoder=encoder, device=CPU)
    assert recipe.frame_batch == 5
    manifest = [json.loads(line) for line in (house / "manifest.jsonl").read_text().splitlines()[1:]]
    rows = {row["id"]: house / "corpus" / row["video"] for row in manifest if row["split"] == "test"}
    faults: dict[int, str] = {}
    videos = [Clip(path=rows[row.id]) for row in cache.rows]
    found = list(encode_videos(encoder, videos, recipe=recipe, device=CPU, faults=faults))
    assert not faults
    for index, (_, features) in enumerate(found):
        assert np.array_equal(features, cache[index])
    own = replace(recipe, sampling=encoder.config.sampling, phase=0)
    plain = [array for _, array in encode_videos(encoder, videos, recipe=own, device=CPU, faults=faults)]
    assert any(not np.array_equal(array, cache[index]) for index, array in enumerate(plain))


def test_a_run_says_the_same_of_a_video_and_of_its_features(
    run_fla: Fla, house: Path, cache: FeatureCache, record: StreamRecord, tmp_path: Path
) -> None:
    run = shutil.copytree(house / "stage2", tmp_path / "run")
    described = json.loads((run / "run.json").read_text())
    assert described["streams"][0]["made_by"][0]["preprocessing"]["sampling"]["stride"] == 4
    (run / "run.json").write_text(json.dumps(described | {"streams": [record.to_dict()]}))
    run_fla("evaluate", run, "--features", cache.folder, "--device", "cpu")
    rows = [json.loads(line) for line in (run / "predictions-test.jsonl").read_text().splitlines()]
    videos = sorted((house / "corpus" / "videos" / "test").iterdir())
    said = run_fla("translate", *videos, "--run", run, "--ckpt", house / "stage1", "--device", "cpu")
    expected = [row["prediction"] for row in sorted(rows, key=lambda row: row["id"])]
    assert said.stdout.splitlines() == expected


def test_a_run_without_the_record_sees_as_its_encoder(
    house: Path, encoder: VisualEncoder, record: StreamRecord
) -> None:
    recipe = recipe_of(house, replace(record, made_by=()), encoder=encoder, device=CPU)
    assert (recipe.sampling, recipe.phase, recipe.level) == (encoder.config.sampling, 0, "sign")
    bare = replace(record, made_by=(record.made_by[0] | {"preprocessing": {}},))
    assert recipe_of(house, bare, encoder=encoder, device=CPU).sampling == encoder.config.sampling


def test_another_kind_of_device_computes_in_its_own_way(
    house: Path, encoder: VisualEncoder, record: StreamRecord
) -> None:
    other = record.made_by[0] | {"device_kind": "cuda", "compute_dtype": "bfloat16", "frame_batch": 512}
    recipe = recipe_of(house, replace(record, made_by=(other,)), encoder=encoder, device=CPU)
    assert recipe.frame_batch == 32


def test_what_the_encoder_cannot_reproduce_is_refused(
    house: Path, encoder: VisualEncoder, record: StreamRecord
) -> None:
    def refuse(record: StreamRecord, says: str) -> None:
        with pytest.raises(CacheError, match=says):
            recipe_of(house, record, encoder=encoder, device=CPU)

    refuse(changed(record, fit="stretch"), "must have fit 'stretch', .* but has 'crop'")
    pose = replace(record, made_by=(record.made_by[0] | {"level": "pose"},))
    refuse(pose, "features of level pose, .* but gives sign and frame")
    both = replace(record, made_by=(*record.made_by, *changed(record, phase=3).made_by))
    refuse(both, "made in one way to translate videos, but was tuned on phase [01] and 3")


def test_the_detector_of_key_points_is_known_and_compared(
    house: Path, encoder: VisualEncoder, record: StreamRecord, caplog: pytest.LogCaptureFixture
) -> None:
    detector = PoseDetector(name="mediapipe", version="0.10.21")
    first = changed(record, poses={}, detector=asdict(detector))
    assert recipe_of(house, first, encoder=encoder, device=CPU).detectors == (detector,)
    assert recipe_of(house, record, encoder=encoder, device=CPU).detectors == ()
    warn_of_other_origins(first, first)
    assert not caplog.records
    warn_of_other_origins(first, changed(record, poses={}))
    assert (
        "key points of an unrecorded detector, those of training from key points of mediapipe" in caplog.text
    )


def test_it_is_told_where_features_come_from_small_copies(
    house: Path, encoder: VisualEncoder, record: StreamRecord, caplog: pytest.LogCaptureFixture
) -> None:
    small = changed(record, copies={"size": 256, "crf": 20})
    recipe_of(house, small, encoder=encoder, device=CPU)
    assert "tuned on features of small copies (fla shrink, 256 pixels)" in caplog.text
    caplog.clear()
    warn_of_other_origins(record, record)
    warn_of_mixed_origins(record)
    warn_of_other_origins(replace(record, made_by=()), small)  # an older run does not say
    recipe_of(house, record, encoder=encoder, device=CPU)
    assert not caplog.records
    warn_of_other_origins(record, small)
    assert "made from small copies of 256 pixels (crf 20), those of training from the prepared" in caplog.text
    warn_of_mixed_origins(replace(record, made_by=(*record.made_by, *small.made_by)))
    assert "from small copies of 256 pixels (crf 20) and from the prepared videos" in caplog.text
