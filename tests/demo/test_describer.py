"""True descriptions of the demo say what is drawn, and no more."""

from dataclasses import replace
from pathlib import Path

import pytest

from fla_llm.core.sample import Sample
from fla_llm.corpora.descriptions import Descriptions
from fla_llm.corpora.manifest import Manifest
from fla_llm.demo.corpus import DemoConfig, clip_poses, plan_clips
from fla_llm.demo.describer import describe_frame, write_true_descriptions
from fla_llm.demo.signs import DIRECTIONS, LOCATIONS, RESTING_BODY, HandPose

SIZES = DemoConfig(train_clips=6, single_sign_clips=2, dev_clips=2, test_clips=3)


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    samples = tuple(
        Sample(
            id=plan.id, split=plan.split, video="v.mp4", text="x", language="en", fps=12.5,
            num_frames=len(clip_poses(plan)[1]),
        )
        for plan in plan_clips(SIZES, seed=3)
    )  # fmt: skip
    return Manifest(corpus="demo", root=Path("."), samples=samples)


@pytest.mark.parametrize("place", sorted(LOCATIONS))
@pytest.mark.parametrize("pointing", sorted(DIRECTIONS))
def test_shape_direction_place_and_movement_are_named(place: str, pointing: str) -> None:
    x, y = LOCATIONS[place]
    hand = HandPose(x=x, y=y, degrees=DIRECTIONS[pointing] + 360, handshape="vee")
    said = describe_frame((hand, RESTING_BODY[1]), (replace(hand, y=y + 0.1), RESTING_BODY[1]))
    assert said.startswith(
        f"right hand shape vee fingers {pointing} at {place} moving down . left hand shape fist"
    )
    assert said.endswith("at rest moving still")


def test_both_hands_of_a_mirrored_sign_are_described_alike() -> None:
    hand = HandPose(x=-0.4, y=0.1, degrees=-90, handshape="flat")
    pose = (hand, hand.mirrored())
    right, left = describe_frame(pose, pose).split(" . ")
    assert right.removeprefix("right") == left.removeprefix("left")


def test_files_are_those_of_fla_describe(manifest: Manifest, tmp_path: Path) -> None:
    write_true_descriptions(tmp_path / "true", manifest, config=SIZES, seed=3, stride=2)
    found = Descriptions(tmp_path / "true")
    assert found.header["settings"]["frame_stride"] == 2
    for sample in manifest.samples:
        assert list(found.read(sample.split, sample.id)) == list(range(0, sample.num_frames, 2))
    # As many clips, but no sentence: descriptions are of frames alone.
    assert "x" not in {
        word for sample in manifest.samples for word in found.read(sample.split, sample.id)[0].split()
    }


def test_shuffled_descriptions_are_of_another_clip_of_the_split(manifest: Manifest, tmp_path: Path) -> None:
    for name, shuffled in (("true", False), ("shuffled", True)):
        write_true_descriptions(tmp_path / name, manifest, config=SIZES, seed=3, stride=1, shuffled=shuffled)
    true, other = Descriptions(tmp_path / "true"), Descriptions(tmp_path / "shuffled")
    for sample in manifest.samples:
        key = (sample.split, sample.id)
        assert list(other.read(*key)) == list(true.read(*key))
        assert set(other.read(*key).values()) != set(true.read(*key).values())
        own = {
            text
            for split, id in true.clips
            if split == sample.split
            for text in true.read(split, id).values()
        }
        assert set(other.read(*key).values()) <= own
