"""True key points of the demo: what is drawn is what the key points say."""

import random
from pathlib import Path

import numpy as np
import pytest

from fla_llm.core.sample import Sample
from fla_llm.corpora.manifest import Manifest
from fla_llm.demo.corpus import DemoConfig, clip_poses, plan_clips
from fla_llm.demo.figure import draw_clip
from fla_llm.demo.key_points import key_points, write_key_points
from fla_llm.demo.sign_forms import ROLE_FORMS as SIGN_FORMS
from fla_llm.demo.signers import SIGNERS, Signer
from fla_llm.demo.signs import HandPose, sentence_poses
from fla_llm.poses.layouts import SLICES
from fla_llm.poses.normalise import normalise
from fla_llm.poses.reading import read_poses

SIZE = 128


@pytest.mark.parametrize("signer", SIGNERS, ids=lambda signer: signer.name)
def test_hands_are_drawn_where_the_key_points_are(signer: Signer) -> None:
    sign = sorted(SIGN_FORMS)[0]
    poses = sentence_poses([sign], tempo=1.0, rng=random.Random(0))
    clip, frames = key_points(signer, poses, fps=12.5), draw_clip(signer, poses, size=SIZE).astype(int)
    assert len(clip) == len(frames)
    moved = np.abs(frames - frames[0]).sum(-1) > 60  # (T, H, W)
    for index in range(1, len(frames)):
        for wrist in (9, 10):
            distance = np.linalg.norm(clip.points[index, wrist] - clip.points[0, wrist]) * SIZE
            x, y = (clip.points[index, wrist] * SIZE).astype(int)
            if distance > 12 and 0 <= x < SIZE and 0 <= y < SIZE:
                assert moved[index, max(0, y - 6) : y + 7, max(0, x - 6) : x + 7].any()


def test_key_points_are_of_a_body_with_two_hands() -> None:
    poses = sentence_poses(sorted(SIGN_FORMS)[:3], tempo=1.0, rng=random.Random(0))
    found = normalise(key_points(SIGNERS[0], poses, fps=12.5), method="uni-sign", threshold=0.3)
    assert (found[..., 2] > 0).all()
    assert found[:, SLICES["body"], :2].max() == pytest.approx(1)
    for hand in ("left", "right"):
        assert 0.05 < np.abs(found[:, SLICES[hand], :2]).max() < 0.6


def test_every_handshape_has_points_of_its_own() -> None:
    shapes = ("fist", "flat", "point", "vee", "spread", "ring", "ell", "horns")
    hands = [HandPose(x=-0.4, y=0.2, degrees=-90.0, handshape=shape) for shape in shapes]
    clip = key_points(SIGNERS[0], [(hand, hand.mirrored()) for hand in hands], fps=12.5)
    right = clip.points[:, 112:133]
    for first in range(len(shapes)):
        for second in range(first):
            assert np.abs(right[first] - right[second]).max() > 0.02


def test_the_demo_corpus_has_pose_files_beside_its_videos(tmp_path: Path) -> None:
    sizes = DemoConfig(train_clips=2, single_sign_clips=1, dev_clips=1, test_clips=1, image_size=16)
    plans = plan_clips(sizes, seed=0)
    samples = tuple(
        Sample(
            id=plan.id, split=plan.split, video=plan.video, text=plan.text, language="en", fps=sizes.fps,
            num_frames=len(clip_poses(plan)[1]),
        )
        for plan in plans
    )  # fmt: skip
    manifest = write_key_points(Manifest(corpus="demo", root=tmp_path, samples=samples), config=sizes, seed=0)
    assert len(manifest.samples) == 4
    for sample in manifest.samples:
        clip = read_poses(manifest.file(sample, "poses"))
        assert (len(clip), clip.fps, clip.aspect) == (sample.num_frames, sizes.fps, 1.0)
