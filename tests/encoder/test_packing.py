import numpy as np
import pytest
import torch

from fla_llm.encoder.packing import BatchPacker, blank_frames
from fla_llm.encoder.windows import Windows

LENGTHS = [3, 1, 9, 7]
SINGLE, WINDOWS = Windows(), Windows(frames=3, stride=2)


@pytest.fixture
def clips(frames: np.ndarray) -> list[tuple[str, np.ndarray]]:
    ends = np.cumsum(LENGTHS)
    return [(f"clip{end}", frames[end - n : end]) for n, end in zip(LENGTHS, ends, strict=True)]


def pack_batches(clips, *, windows: Windows = SINGLE, **settings):
    """Yield the batches of a stream of clips, and the spans as tuples."""
    packer = BatchPacker(windows=windows, **settings)
    for packed in (*(packer.add(key, frames) for key, frames in clips), packer.finish()):
        for batch, spans in packed:
            yield batch, [(span.key, span.count, span.is_last) for span in spans]


def test_every_batch_is_full_and_every_frame_in_its_place(clips) -> None:
    batches = list(pack_batches(clips, size=40, frame_batch=8))
    assert [batch.shape for batch, _ in batches] == [(8, 3, 40, 40)] * 3
    assert [shares for _, shares in batches] == [
        [("clip3", 3, True), ("clip4", 1, True), ("clip13", 4, False)],
        [("clip13", 5, True), ("clip20", 3, False)],
        [("clip20", 4, True)],
    ]
    frames = torch.cat([batch for batch, _ in batches])
    every = torch.from_numpy(np.concatenate([clip for _, clip in clips])).permute(0, 3, 1, 2)
    assert torch.equal(frames[:20], every)
    assert not frames[20:].any()


def test_windows_of_a_clip_straddle_batches_whole(clips) -> None:
    batches = list(pack_batches(clips, size=40, frame_batch=8, windows=WINDOWS))
    assert {batch.shape for batch, _ in batches} == {(6, 3, 40, 40)}
    frames = torch.cat([batch for batch, _ in batches])
    expected = [
        torch.from_numpy(clip)[WINDOWS.rows(0, WINDOWS.count(len(clip)), num_frames=len(clip))]
        for _, clip in clips
    ]
    every = torch.cat(expected).permute(0, 3, 1, 2)
    assert torch.equal(frames[: len(every)], every)
    counts = {key: 0 for key, _ in clips}
    for _, shares in batches:
        for key, count, _ in shares:
            counts[key] += count
    assert counts == {key: WINDOWS.count(len(clip)) for key, clip in clips}


@pytest.mark.parametrize("windows", [Windows(), WINDOWS])
def test_a_first_batch_that_held_units_goes_on_where_they_were(clips, windows: Windows) -> None:
    """Clips without the first, behind as many units as it left in its last batch, lie where they lay."""
    room = windows.per_batch(7)
    filled = windows.count(len(clips[0][1])) % room
    whole = list(pack_batches(clips, size=40, frame_batch=7, windows=windows))
    resumed = list(pack_batches(clips[1:], size=40, frame_batch=7, windows=windows, filled=filled))
    for (batch, _), (again, _) in zip(reversed(whole), reversed(resumed), strict=False):
        behind = filled * windows.frames if again is resumed[0][0] else 0
        assert torch.equal(batch[behind:], again[behind:])
    assert not resumed[0][0][: filled * windows.frames].any()


def test_batches_used_again_hold_the_same_as_new_ones(clips) -> None:
    pair = [blank_frames(8, 40), blank_frames(8, 40)]
    turns = iter([0, 1] * 4)
    packed = pack_batches(clips, size=40, frame_batch=8, new_batch=lambda: pair[next(turns)])
    again = [batch.clone() for batch, _ in packed]
    for batch, (new, _) in zip(again, pack_batches(clips, size=40, frame_batch=8), strict=True):
        assert torch.equal(batch, new)


@pytest.mark.parametrize("filled", [-1, 4])
def test_a_first_batch_without_room_is_refused(clips, filled: int) -> None:
    with pytest.raises(ValueError, match=f"filled must lie in 0..3, but is {filled}"):
        next(pack_batches(clips, size=40, frame_batch=4, filled=filled))
