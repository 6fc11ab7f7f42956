"""Checks of the video of each annotation row: path, readability, number of frames."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..core.errors import DataError
from ..core.progress import progress
from ..core.sample import Sample
from ..video import Clip, probe
from .config import Check
from .layout import locate
from .release import Rejected, Row

_CHECK_SIZE = 16  # pixels a side: the cost of decoding is the same, and the frames take little memory


def look_at_all(rows: Sequence[Row], *, root: Path, check: Check, workers: int) -> list[Sample | Rejected]:
    """Return a sample or a rejected row for each row, in order."""
    pool = ThreadPoolExecutor(workers)  # threads are enough: FFmpeg and the disk release the GIL
    try:
        found = pool.map(lambda row: look_at(row, root=root, check=check), rows)
        return list(progress(found, desc="looking at videos", total=len(rows), unit="clip"))
    finally:
        pool.shutdown(cancel_futures=True)  # otherwise Ctrl-C waits for all queued clips


def look_at(row: Row, *, root: Path, check: Check) -> Sample | Rejected:
    """Return the sample of a row, or the rejected row."""
    try:
        place = _find(row, root)
        if place is None:
            return _without_video(row)
        return _read(row, place, root=root, check=check)
    except (DataError, OSError) as error:  # OSError: no permission, or a name too long
        return row.reject("video cannot be used", " ".join(str(error).split()))


def _find(row: Row, root: Path) -> str | None:
    return next((place for place in row.places if locate(root, place).exists()), None)


def _without_video(row: Row) -> Rejected:
    if row.missing_list is not None:
        return row.reject("video never released", f"listed in {row.missing_list}", fault=False)
    return row.reject("no video", f"tried {', '.join(row.places)}" if row.places else "the row names none")


def _read(row: Row, place: str, *, root: Path, check: Check) -> Sample | Rejected:
    path = locate(root, place)
    clip = Clip(path=path, start_seconds=row.start_seconds, end_seconds=row.end_seconds)
    info = probe(clip)
    # The frame rate in a video file is measured. The table's rate is for folders of pictures.
    fps = info.fps or row.fps
    if fps is None:
        return row.reject("no frame rate", f"{place} does not say it; give a column fps or --set fps=N")
    if check == "decode":
        _decode(clip, num_frames=info.num_frames)
    return Sample(
        id=row.id,
        split=row.split,
        video=place,
        text=row.text,
        language=row.language,
        num_frames=info.num_frames,
        fps=fps,
        signer=row.signer,
        start_seconds=row.start_seconds,
        end_seconds=row.end_seconds,
    )


def _decode(clip: Clip, *, num_frames: int) -> None:
    """Decode every frame.

    Raises:
        DataError: a frame cannot be decoded, or the number of decoded frames is not ``num_frames``.
    """
    from ..video.frames import decode_all

    decoded = len(decode_all(clip, size=_CHECK_SIZE, fit="stretch"))
    if decoded != num_frames:
        raise DataError(f"{clip.path} must hold {num_frames} frames, but decodes to {decoded}.")
