"""The order of a folder's pictures: that of their numbers, total, and the same for every listing."""

import random
from pathlib import Path

import pytest
from PIL import Image

from fla_llm.video import Clip, count_frames, decode_all
from fla_llm.video.picture_order import in_natural_order


@pytest.mark.parametrize(
    "names",
    [
        ["f1", "f2", "f10", "f100"],
        ["images0001", "images0002", "images0010"],
        ["-2", "-1", "0", "1", "10"],
        ["t_-10", "t_-9", "t_0", "t_3"],
        ["frame-1", "frame-2", "frame-10"],  # the hyphen separates
        ["frame--1", "frame-0", "frame-1"],
        ["2024-01-05", "2024-01-06", "2024-02-01"],
        ["0", "0.25", "0.5", "1", "1.75", "10"],
        ["-0.5", "-0.25", "0.0", "0.5", "1.0", "1.25"],
        ["0.90", "0.95", "1.00", "1.05"],
        ["a1.9", "a1.10", "a1.11"],  # the point separates
        ["x.mp4.9", "x.mp4.10"],
        ["1", "1²3", "①"],
        ["a٢", "a٣"],
        ["1_9", "1_10", "2_1"],
        ["", "1", "a", "a1", "b"],
        ["01", "1", "2"],
        ["9" * 200, "1" + "0" * 200],
    ],
)
def test_numbers_count_as_numbers(names: list[str]) -> None:
    shuffled = [Path(f"{name}.png") for name in names if name]
    random.Random(0).shuffle(shuffled)
    assert [path.stem for path in in_natural_order(shuffled)] == [name for name in names if name]


def test_any_names_have_one_order() -> None:
    draw = random.Random(1)
    for _ in range(300):
        names = {"".join(draw.choices("0019.-_aé²①٣\udcff ", k=draw.randint(1, 7))) for _ in range(8)}
        files = [Path(f"x{name}.png") for name in names] + [Path(f"{name}.png") for name in names]
        ordered = in_natural_order(files)
        draw.shuffle(files)
        assert in_natural_order(files) == ordered
        assert sorted(ordered) == sorted(files)


def test_folder_with_odd_names_is_read_in_order(tmp_path: Path) -> None:
    for value, name in enumerate(["-1", "0", "0.5", "1", "1²3", "①"]):
        Image.new("L", (8, 8), 40 * value).save(tmp_path / f"{name}.png")
    clip = Clip(path=tmp_path)
    assert count_frames(clip) == 6
    assert decode_all(clip, size=8)[:, 0, 0, 0].tolist() == [0, 40, 80, 120, 160, 200]
