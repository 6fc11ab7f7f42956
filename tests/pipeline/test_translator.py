"""A model folder needs nothing else, and a translator stays loaded."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import Result

from fla_llm.core.errors import CacheError, ConfigError, DataError
from fla_llm.core.files import read_json, write_json
from fla_llm.pipeline.translator import Translator

Fla = Callable[..., Result]


@pytest.fixture(scope="session")
def model_folder(run_fla: Fla, house: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with everything, in another place than where it was written."""
    folder = tmp_path_factory.mktemp("export")
    run_fla("export", house / "stage2", "--out", folder / "a", "--ckpt", house / "stage1", "--with-llm")
    return Path(shutil.move(folder / "a", folder / "b"))


@pytest.fixture(scope="session")
def translator(model_folder: Path) -> Translator:
    return Translator.from_pretrained(model_folder, device="cpu")


@pytest.fixture
def videos(house: Path) -> list[Path]:
    return sorted((house / "corpus" / "videos" / "test").iterdir())


def test_a_moved_model_folder_translates_as_the_run_does(
    run_fla: Fla, house: Path, model_folder: Path, videos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ("--run", house / "stage2", "--ckpt", house / "stage1")
    expected = run_fla("translate", *videos, *run, "--device", "cpu").stdout
    hidden = house.with_name("hidden")
    house.rename(hidden)  # neither run, nor encoder, nor language model is where it was
    try:
        moved = [hidden / video.relative_to(house) for video in videos]
        found = run_fla("translate", *moved, "--model", model_folder, "--device", "cpu").stdout
    finally:
        hidden.rename(house)
    assert found == expected
    assert "fla translate VIDEO --model DIR" in (model_folder / "README.md").read_text()
    assert not list(model_folder.rglob("*.py"))


def test_the_encoder_must_be_that_of_the_features(run_fla: Fla, house: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(house / "stage1" / "encoder", tmp_path / "other"))
    config = other / "config.json"
    config.write_text(config.read_text() + "\n")
    with pytest.raises(CacheError, match="The features must come from encoder"):
        run_fla("export", house / "stage2", "--out", tmp_path / "out", "--ckpt", other)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("given", [[], ["--run"], ["--model", "--run"], ["--model", "--run", "--ckpt"]])
def test_a_translator_is_named_in_one_way(given: list[str], run_fla: Fla, house: Path) -> None:
    options = [part for name in given for part in (name, house / "stage2")]
    assert "by --model, or by --run and --ckpt" in run_fla("translate", "x.mp4", *options, exit_code=2).stderr


def test_one_video_is_translated_as_it_is_among_others(translator: Translator, videos: list[Path]) -> None:
    alone = [translator(video) for video in videos]
    assert translator.translate(videos) == alone
    assert translator.translate([]) == []


def test_frames_in_memory_are_translated_like_a_folder_of_pictures(
    translator: Translator, videos: list[Path], tmp_path: Path
) -> None:
    with av.open(str(videos[0])) as container:
        decoded = list(container.decode(video=0))
    arrays = [frame.to_ndarray(format="rgb24") for frame in decoded]
    from PIL import Image

    for number, array in enumerate(arrays):
        Image.fromarray(array).save(tmp_path / f"{number}.png")
    [expected] = translator.features([tmp_path])
    for frames in (np.stack(arrays), arrays, decoded):
        np.testing.assert_array_equal(translator.features([frames])[0], expected)
    assert translator(np.stack(arrays)) == translator(tmp_path)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (np.zeros((0, 8, 8, 3), np.uint8), "at least one frame"),
        (np.zeros((4, 8, 8, 3), np.float32), "frame 0 has shape .8, 8, 3. and dtype float32"),
        (np.zeros((4, 8, 8), np.uint8), "frame 0 has shape .8, 8. and dtype uint8"),
        (np.zeros((4, 1, 64, 3), np.uint8), "sides differ at most"),
    ],
)
def test_frames_of_another_form_are_refused(translator: Translator, frames: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        translator(frames)


def test_a_task_has_its_prompt_and_is_one_of_the_run(
    model_folder: Path, run_fla: Fla, videos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="was tuned on translate alone, but is asked to recognise glosses"):
        run_fla("translate", videos[0], "--model", model_folder, "--task", "recognise", "--device", "cpu")
    copy = Path(shutil.copytree(model_folder, tmp_path / "copy"))
    described = read_json(copy / "run.json")
    write_json(copy / "run.json", described | {"tasks": ["recognise", "translate"]})
    translator, given = Translator.from_pretrained(copy, task="recognise", device="cpu"), []

    def translate(batch: dict[str, Any], decoding: object) -> list[str]:
        given.append(batch["prompt_ids"][0].tolist())
        return ["RAIN"]

    monkeypatch.setattr(translator.model, "translate", translate)
    assert translator(videos[0]) == "RAIN"
    codec, language = translator.model.codec, translator.language
    assert given == [codec.prompt_ids(language, "recognise")]
    assert given != [codec.prompt_ids(language)]
