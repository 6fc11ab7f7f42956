"""One line for each video, whatever is wrong with some of them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from click.testing import Result

from fla_llm.encoder.model import VisualEncoder
from fla_llm.encoder.store import load_encoder
from fla_llm.finetune.positions import source_positions
from fla_llm.finetune.store import load_stage_two
from fla_llm.pipeline.feature_recipe import FeatureRecipe
from fla_llm.pipeline.translate import encode_videos
from fla_llm.video import Clip

Fla = Callable[..., Result]


@pytest.fixture
def videos(house: Path) -> list[Path]:
    return sorted((house / "corpus" / "videos" / "test").iterdir())


@pytest.fixture
def translate(run_fla: Fla, house: Path) -> Callable[..., Result]:
    def call(*paths: str | Path, exit_code: int = 0) -> Result:
        options = ("--run", house / "stage2", "--ckpt", house / "stage1", "--set", "num_beams=1")
        return run_fla("translate", *paths, *options, exit_code=exit_code)

    return call


def test_every_input_gives_a_line(
    translate: Callable[..., Result], videos: list[Path], tmp_path: Path
) -> None:
    sound = translate(*videos).stdout
    assert len(sound.splitlines()) == len(videos)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "empty").mkdir()
    bad = [tmp_path / name for name in ("broken.mp4", "nowhere.mp4", "empty")]
    mixed = [bad[0], videos[0], bad[1], bad[2], *videos[1:], bad[0]]
    done = translate(*mixed, exit_code=1)
    lines = done.stdout.splitlines()
    assert [bool(line) for line in lines] == [path not in bad for path in mixed]
    assert [line for line in lines if line] == sound.splitlines()
    for path in bad:
        assert any(line.startswith("fla: ") and str(path) in line for line in done.stderr.splitlines())
    assert translate(*bad, exit_code=1).stdout == "\n\n\n"


def test_a_folder_of_videos_is_each_of_them(
    translate: Callable[..., Result], videos: list[Path], tmp_path: Path
) -> None:
    for number, video in enumerate(videos):
        shutil.copyfile(video, tmp_path / f"{9 + number}.mp4")  # 9 before 10
    (tmp_path / "notes.txt").touch()
    done = translate(tmp_path)
    assert done.stdout == translate(*videos).stdout
    assert "notes.txt is passed over" in done.stderr


def encoded(
    encoder: VisualEncoder, videos: list[Path], *, faults: dict[int, str] | None = None
) -> dict[int, np.ndarray]:
    recipe = FeatureRecipe(sampling=encoder.config.sampling, frame_batch=4, dtype=torch.float32)
    found = {} if faults is None else faults
    clips = [Clip(path=video) for video in videos]
    return dict(encode_videos(encoder, clips, recipe=recipe, device=torch.device("cpu"), faults=found))


def test_a_video_that_is_too_long_stops_no_other(run_fla: Fla, house: Path, run: Path) -> None:
    videos = sorted((house / "corpus" / "videos" / "train").iterdir())
    steps = {
        videos[number]: len(features)
        for number, features in encoded(load_encoder(house / "stage1"), videos).items()
    }
    ordered = sorted(steps, key=steps.__getitem__)
    short, long = ordered[0], ordered[-1]
    assert steps[short] < steps[long]
    settings = yaml.safe_load((run / "config.yaml").read_text())
    # The corpus has no "~", so each is a token of its own.
    (run / "config.yaml").write_text(yaml.safe_dump(settings | {"prompt": "~"}))
    model = load_stage_two(run, device="cpu")
    needed = source_positions(model, [[steps[long]]], languages=["en"], tasks=["translate"])[0]
    room = model.language_model.model.config.max_position_embeddings - needed
    (run / "config.yaml").write_text(yaml.safe_dump(settings | {"prompt": "~" * (room + 2)}))
    asked = ("--run", run, "--ckpt", house / "stage1", "--set", "num_beams=1", "--set", "max_new_tokens=2")
    done = run_fla("translate", long, short, *asked, exit_code=1)
    assert len(done.stdout.splitlines()) == 2
    assert done.stdout.splitlines()[0] == ""
    assert done.stderr.count("fla: ") == 1
    assert f"Clip '{long}' must fit into the language model's positions (1024), but needs 1025" in done.stderr


def test_features_beyond_float16_stop_no_other(house: Path, videos: list[Path]) -> None:
    encoder, faults = load_encoder(house / "stage1"), dict[int, str]()
    largest = {number: float(array.max()) for number, array in encoded(encoder, videos).items()}
    first, second = sorted(largest, key=largest.__getitem__)[:-3:-1]
    assert largest[second] < largest[first]
    ordered = [
        videos[second],
        videos[first],
        *(video for video in videos if video not in (videos[first], videos[second])),
    ]
    assert encoder.temporal is not None
    with torch.no_grad():  # ReLU comes after it: all features grow alike
        factor = 65504 / (largest[first] * largest[second]) ** 0.5
        encoder.temporal.norm.weight *= factor
        encoder.temporal.norm.bias *= factor
    found = encoded(encoder, ordered, faults=faults)
    assert list(found) == [0, 2, 3]
    assert list(faults) == [1]
    assert f"clip {ordered[1]!r} must give features of at most 65504" in faults[1]
    for number, array in found.items():
        assert np.array_equal(array, encoded(encoder, [ordered[number]])[0])


def test_json_names_each_video(run_fla: Fla, house: Path, videos: list[Path], tmp_path: Path) -> None:
    arguments = ("--run", house / "stage2", "--ckpt", house / "stage1", "--json")
    done = json.loads(run_fla("translate", tmp_path / "no", *videos, *arguments, exit_code=1).stdout)
    assert [row["video"] for row in done["translations"]] == list(map(str, videos))
    assert len(done["faults"]) == 1
