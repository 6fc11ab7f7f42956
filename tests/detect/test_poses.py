"""``fla poses``: every clip has a pose file with all of its frames, or is listed with the reason."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fla_llm import cli
from fla_llm.cache.reader import FeatureCache
from fla_llm.core.errors import ConfigError, DataError
from fla_llm.corpora.config import PrepareConfig
from fla_llm.corpora.manifest import read_manifest, write_manifest
from fla_llm.corpora.prepare import prepare
from fla_llm.poses.detector import PoseDetector, read_detector
from fla_llm.poses.layouts import SLICES
from fla_llm.poses.reading import read_poses

from .conftest import CRASH, HANG, NO_HANDS, NOBODY, Run

Detect = Callable[..., Run]
WriteClips = Callable[..., Path]
PATIENCE_SECONDS = 60
FOUND_BY = PoseDetector(name="mediapipe", version="0")
"""The version of the stand-in."""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.npz")}


def test_every_clip_has_a_file_that_later_commands_read(
    manifest: Path, detect: Detect, tmp_path: Path, run_fla: Callable[..., object]
) -> None:
    done = detect(manifest)
    assert (done.exit_code, done.result["missing"], done.result["awaited"]) == (0, [], 0)
    assert done.result["frames_with"] == {"body": 7, "left": 7, "right": 7, "face": 7}
    found = read_manifest(tmp_path / "poses/manifest.jsonl")
    assert found.detector == FOUND_BY
    for sample in found.samples:
        clip = read_poses(found.file(sample, "poses"))
        assert (len(clip), clip.layout.name, clip.fps) == (sample.num_frames, "mediapipe", 25)
        assert clip.aspect == 24 / 16
        # Of MediaPipe's landmark 11, the left shoulder, in each frame since the beginning of the clip.
        np.testing.assert_allclose(
            clip.points[:, 11, 0], [0.011 + n / 100 for n in range(1, 1 + len(clip))], atol=1e-6
        )
        assert (clip.scores[:, :33] == 0.5).all()
        assert (clip.scores[:, 33:] == 1).all()
    run_fla(
        "extract", "--encoder", "poses", "--manifest", tmp_path / "poses/manifest.jsonl",
        "--out", tmp_path / "cache", "--set", "workers=0",
    )  # fmt: skip
    made = FeatureCache(tmp_path / "cache", "train").provenance.preprocessing
    assert PoseDetector(**made["detector"]) == FOUND_BY


def test_a_table_beside_the_pose_files_knows_their_detector(
    manifest: Path, detect: Detect, tmp_path: Path
) -> None:
    detect(manifest)
    table, poses = tmp_path / "table.csv", tmp_path / "poses"
    table.write_text("id,split,text,poses\na,train,One.,\nc,train,Two.,\n")
    config = PrepareConfig(poses=str(poses), fps=25)
    assert prepare("table", table, config=config).manifest.detector == FOUND_BY
    # A pose file from elsewhere: nothing is said of any.
    shutil.copy(poses / "train/a.npz", tmp_path / "own.npz")
    table.write_text("id,split,text,poses\na,train,One.,own.npz\nc,train,Two.,\n")
    assert prepare("table", table, config=config).manifest.detector is None
    (poses / "poses.json").write_text('{"format": "fla-poses-1", "detector": "mediapipe"}')
    with pytest.raises(DataError, match=r"poses\.json must name the detector and its version"):
        read_detector(poses)


def test_clips_without_a_video_keep_pose_files_of_an_unknown_detector(
    manifest: Path, detect: Detect, tmp_path: Path
) -> None:
    found = read_manifest(manifest)
    (first, *others) = found.samples
    np.savez(tmp_path / "own.npz", keypoints=np.ones((2, 133, 3)))
    samples = (replace(first, video=None, poses="own.npz"), *others)
    write_manifest(manifest, replace(found, samples=samples))
    detect(manifest)
    now = read_manifest(tmp_path / "poses/manifest.jsonl")
    assert (now.detector, now.samples[0].poses) == (None, "own.npz")


def test_a_clip_without_a_body_or_frame_is_listed_and_the_others_are_made(
    write_clips: WriteClips, detect: Detect, tmp_path: Path
) -> None:
    manifest = write_clips({"nobody": [NOBODY, NOBODY], "torn": [1, 2], "no hands": [NO_HANDS], "../x": [1]})
    (tmp_path / "videos/1/images1.png").write_bytes(b"no picture")
    done = detect(manifest)
    reasons = {clip["id"]: clip["reason"] for clip in done.result["missing"]}
    assert done.exit_code == 1
    assert reasons.keys() == {"nobody", "torn", "../x"}
    assert "the detector found no signer" in reasons["nobody"]
    assert "images1.png cannot be read as a picture" in reasons["torn"]
    assert contents(tmp_path / "poses").keys() == {"train/nobody.npz", "train/no hands.npz"}
    assert done.result["frames_with"] == {"body": 1, "left": 0, "right": 0, "face": 1}
    # The next run makes what failed, once the cause is gone, and says again which clip shows no body.
    Image.new("RGB", (24, 16), (2, 0, 0)).save(tmp_path / "videos/1/images1.png")
    again = detect(manifest)
    assert {clip["id"] for clip in again.result["missing"]} == {"nobody", "../x"}
    assert (again.result["clips"], again.result["earlier"]) == (3, 2)


def test_a_video_of_other_length_than_the_manifest_says_is_listed(
    manifest: Path, detect: Detect, tmp_path: Path
) -> None:
    (tmp_path / "videos/2/images1.png").unlink()
    (missing,) = detect(manifest).result["missing"]
    assert missing["id"] == "c"
    assert "the manifest says 3 frames, but the video has 2" in missing["reason"]


def test_a_detector_that_dies_or_hangs_costs_its_clip_alone(write_clips: WriteClips, detect: Detect) -> None:
    manifest = write_clips({"crash": [1, CRASH], "hang": [HANG], "fine": [1]})
    done = detect(manifest, timeout_seconds=0.5)
    reasons = {clip["id"]: clip["reason"] for clip in done.result["missing"]}
    assert "failed at frame 1: it ended with exit code 3" in reasons["crash"]
    assert reasons["crash"].endswith("out of luck")
    assert "failed at frame 0: it took too long" in reasons["hang"]
    assert (done.exit_code, done.result["clips"]) == (1, 1)


def test_a_detector_that_dies_at_every_clip_ends_the_run(write_clips: WriteClips, detect: Detect) -> None:
    manifest = write_clips({str(number): [CRASH] for number in range(5)})
    with pytest.raises(ConfigError, match="failed at 3 clips one after the other"):
        detect(manifest)


def test_a_killed_run_goes_on_to_the_same_files(
    write_clips: WriteClips, detect: Detect, environment: Path, tmp_path: Path
) -> None:
    manifest = write_clips({str(number): [number + 1] * 4 for number in range(6)})
    detect(manifest, out=tmp_path / "whole")
    whole, killed = contents(tmp_path / "whole"), tmp_path / "killed"
    earlier = {path.name for path in (environment / "pids").iterdir()}
    for count in (1, 3):
        pid = os.fork()
        if pid == 0:
            signal.alarm(PATIENCE_SECONDS)
            detect(manifest, out=killed)
            os._exit(0)
        while len(contents(killed)) < count:
            time.sleep(0.001)
        os.kill(pid, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        assert not (killed / "manifest.jsonl").exists()
    for path in (environment / "pids").iterdir():
        if path.name not in earlier:
            wait_for_the_end(int(path.name))
    before = {path: path.stat().st_mtime_ns for path in killed.rglob("*.npz")}
    done = detect(manifest, out=killed)
    assert 3 <= done.result["earlier"] == len(before) < 6
    assert contents(killed) == whole
    assert before == {path: path.stat().st_mtime_ns for path in before}


def wait_for_the_end(pid: int) -> None:
    """Wait until a detector whose parent was killed has ended by itself."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while Path(f"/proc/{pid}/stat").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_signal_ends_the_run_and_the_detector_at_once(
    write_clips: WriteClips, environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write_clips({"fine": [1], "hang": [HANG]})
    earlier = {path.name for path in (environment / "pids").iterdir()}
    words = ["fla", "poses", manifest, "--out", tmp_path / "poses", "--environment", environment]
    monkeypatch.setattr("sys.argv", [str(word) for word in words])
    pid = os.fork()
    if pid == 0:
        signal.alarm(PATIENCE_SECONDS)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        os._exit(int(ended.value.code or 0))
    while not contents(tmp_path / "poses"):
        time.sleep(0.001)
    begin = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 143
    assert time.monotonic() - begin < 30  # the stand-in sleeps for a minute
    (detector,) = {path.name for path in (environment / "pids").iterdir()} - earlier
    wait_for_the_end(int(detector))


def test_a_manifest_without_clips_or_videos_is_refused(
    manifest: Path, detect: Detect, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="must have clips in dev, but has none"):
        detect(manifest, "--split", "dev")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(DataError, match="videos/0 must exist, but no video does.\nGive --root"):
        detect(manifest, "--root", str(tmp_path / "elsewhere"))


def test_shards_make_the_files_and_the_manifest_of_one_run(
    manifest: Path, detect: Detect, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    detect(manifest, out=whole, workers=2)
    first = detect(manifest, "--shard", "1/2", out=parts)
    assert (first.result["clips"], first.result["awaited"]) == (2, 2)
    assert first.exit_code == 0
    last = detect(manifest, "--shard", "0/2", out=parts)
    assert (last.result["clips"], last.result["awaited"]) == (2, 0)
    assert contents(parts) == contents(whole)
    made = [(folder / "manifest.jsonl").read_text() for folder in (whole, parts)]
    assert made[0].replace("whole", "parts") == made[1]


def test_a_trial_has_a_manifest_of_its_own(manifest: Path, detect: Detect, tmp_path: Path) -> None:
    detect(manifest, "--limit", "1")
    assert [path.name for path in (tmp_path / "poses").glob("*.jsonl")] == ["manifest-first-1.jsonl"]
    assert detect(manifest, "--dry-run").result["clips"] == 3
    assert detect(manifest).result["earlier"] == 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("min_detection_confidence", 0.4),
        ("min_tracking_confidence", 0.6),
        ("longest_side", 12),
        ("layout", "uni-sign"),
    ],
)
def test_a_setting_changes_the_points_and_a_folder_has_one(
    manifest: Path, detect: Detect, tmp_path: Path, setting: str, value: object
) -> None:
    detect(manifest, "--limit", "1")
    with pytest.raises(DataError, match=rf"settings.{setting} is .* there and would be '?{value}'? now"):
        detect(manifest, "--limit", "1", **{setting: value})
    detect(manifest, "--limit", "1", out=tmp_path / "other", **{setting: value})
    one, other = (read_poses(tmp_path / folder / "train/a.npz") for folder in ("poses", "other"))
    if setting == "layout":
        assert other.scores.shape[1] == 69
        np.testing.assert_array_equal(other.points, one.points[:, list(one.layout.chosen)])
        assert other.points[:, SLICES["body"]].any()
    else:
        assert not (np.array_equal(one.points, other.points) and np.array_equal(one.scores, other.scores))


def test_workers_are_detectors(manifest: Path, detect: Detect, environment: Path) -> None:
    before = len(list((environment / "pids").iterdir()))
    detect(manifest, workers=3)
    assert 1 < len(list((environment / "pids").iterdir())) - before <= 3


def test_other_files_are_never_mixed_with(manifest: Path, detect: Detect, tmp_path: Path) -> None:
    (tmp_path / "poses").mkdir()
    (tmp_path / "poses/mine.txt").touch()
    with pytest.raises(DataError, match="holds other files"):
        detect(manifest)


def test_two_ids_never_share_a_file(write_clips: WriteClips, detect: Detect, tmp_path: Path) -> None:
    done = detect(write_clips({"a/../b": [1], "b": [2], "x" * 300: [3]}))
    assert [clip["id"] for clip in done.result["missing"]] == ["a/../b", "x" * 300]
    assert contents(tmp_path / "poses").keys() == {"train/b.npz"}
