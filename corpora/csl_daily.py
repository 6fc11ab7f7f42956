"""CSL-Daily: Chinese everyday sentences. ``video_map.txt`` has the sentences, ``split_1.txt`` the splits.

The text is the ``char`` column without blanks between the characters. Punctuation stays full-width. Each
file has a clip that the other file lacks, and a training sentence is empty in some copies. The reader lists
all these rows as rejected.
"""

from pathlib import Path

from ..core.errors import did_you_mean
from ..core.sample import SPLITS, Split
from .config import PrepareConfig
from .delimited import read_delimited
from .layout import existing, find, join
from .release import Rejected, Release, Row

FPS = 30.0  # of the recordings: JPEG files have no frame rate
OFFICIAL: dict[Split, int] = {"train": 18401, "dev": 1077, "test": 1176}
# Stands in the released split_1.txt, but has neither a sentence nor frames.
_NOT_RELEASED = "S000005_P0004_T00"
_LABELS = ("sentence_label", "", "annotations")
_MEDIA = (
    "sentence/frames_512x512",
    "sentence_frames-512x512/frames_512x512",
    "sentence_frames-512x512",
    "frames_512x512",
    "sentence/videos",
    "sentence",
    "videos",
)


def read_release(source: Path, config: PrepareConfig) -> Release:
    """Read the annotations of CSL-Daily.

    Args:
        source: the folder that holds ``sentence_label/`` (or the two files themselves) and the media.
        config: not used for this corpus.

    Raises:
        DataError: one of the two files is absent, truncated or not readable.
    """
    map_path = find(source, [join(place, "video_map.txt") for place in _LABELS], what="video_map.txt")
    split_path = find(source, [join(place, "split_1.txt") for place in _LABELS], what="split_1.txt")
    sentences = read_delimited(map_path, delimiter="|", required=("name", "char"), quoted=False)
    assigned = read_delimited(split_path, delimiter="|", required=("name", "split"), quoted=False)
    places = existing(source, _MEDIA)
    # Without media every row is rejected as "no video", and the note tells the folders tried.
    rows = _join(sentences, assigned, places or [_MEDIA[0]])
    notes = [] if places else [f"no folder of clips; tried {', '.join(_MEDIA)}"]
    annotated: tuple[Split, ...] = tuple(
        split for split in SPLITS if any(item["split"] == split for item in assigned)
    )
    notes += [f"{split}: no row in {split_path.name}" for split in SPLITS if split not in annotated]
    return Release(
        root=source,
        rows=tuple(rows),
        annotated=annotated,
        official=OFFICIAL,
        notes=tuple(notes),
    )


def _join(
    sentences: list[dict[str, str]], assigned: list[dict[str, str]], places: list[str]
) -> list[Row | Rejected]:
    """Join the rows of the two files by name. Rows in one file only are rejected."""
    by_name: dict[str, list[dict[str, str]]] = {}
    for sentence in sentences:
        # A name may stand twice: every row must reach the report, so rows are kept in a list.
        by_name.setdefault(sentence["name"], []).append(sentence)
    rows: list[Row | Rejected] = []
    for item in assigned:
        if item["split"] not in SPLITS:
            rows.append(_unknown_split(item))
        elif item["name"] not in by_name:
            rows.append(_without_sentence(item))
        else:
            rows += [_row(sentence, item["split"], places) for sentence in by_name[item["name"]]]
    named = {item["name"] for item in assigned}
    # A sentence in no split is listed too: no row of either file is lost.
    rows += [
        Rejected(id=name, split="none", reason="in no split", detail="not in split_1.txt", fault=False)
        for name, found in by_name.items()
        if name not in named
        for _ in found
    ]
    return rows


def _row(sentence: dict[str, str], split: Split, places: list[str]) -> Row:
    name = sentence["name"]
    return Row(
        id=name,
        split=split,
        text="".join(sentence["char"].split()),  # the file puts a blank between characters
        language="zh",
        # The release has folders of frames. Other copies have a video file for each sentence.
        places=tuple(join(place, file) for place in places for file in (name, f"{name}.mp4")),
        fps=FPS,
        signer=_signer(name),
    )


def _signer(name: str) -> str | None:
    """Return the signer from the name of a clip.

    >>> _signer("S000007_P0003_T00")
    'P0003'
    """
    parts = [part for part in name.split("_") if part.startswith("P")]
    return parts[0] if parts else None


def _unknown_split(item: dict[str, str]) -> Rejected:
    detail = f"{item['split']!r} is none of {', '.join(SPLITS)}.{did_you_mean(item['split'], list(SPLITS))}"
    return Rejected(id=item["name"], split=item["split"], reason="unknown split", detail=detail)


def _without_sentence(item: dict[str, str]) -> Rejected:
    return Rejected(
        id=item["name"],
        split=item["split"],
        reason="no sentence",
        detail="not in video_map.txt",
        # The gap of the release itself must not make every preparation end with exit code 1.
        fault=item["name"] != _NOT_RELEASED,
    )
