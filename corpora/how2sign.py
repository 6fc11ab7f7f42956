"""Reader of How2Sign: instructional videos in American Sign Language.

Annotation files are TAB-separated, with quoted fields. The release has one file per sentence (``clips``) and
long videos (``videos``). The clips were cut at other times than the realigned times, so the reader takes
whole clips. Videos are cut at the realigned times. The id is SENTENCE_NAME, since several signers share a
SENTENCE_ID.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from ..core.errors import DataError
from ..core.files import read_text
from ..core.sample import SPLITS, Split
from .config import Media, PrepareConfig
from .delimited import read_delimited
from .layout import existing, join
from .release import Rejected, Release, Row, parse_times

OFFICIAL: dict[Split, int] = {"train": 31128, "dev": 1741, "test": 2357}
_OFFICIAL_NOTE = (
    "official counts: 31128/1741/2357, the list most often given for the release; other published lists "
    "count 31165/1741/2357 annotated sentences and 31048/1739/2343 released clips"
)
_NAMES: dict[Split, str] = {"train": "train", "dev": "val", "test": "test"}
_ANNOTATIONS = ("how2sign_realigned_{split}.csv", "how2sign_realigned_mini_{split}.csv")
_TEXT_FOLDERS = (
    "",
    "annotations",
    "{split}",
    "re_aligned",
    "text/en/raw_text/re_aligned",
    "{split}/text/en/raw_text/re_aligned",
    "sentence_level/{split}/text/en/raw_text/re_aligned",
)
_MEDIA_FOLDERS = (
    "rgb_front/raw_videos",
    "{split}/rgb_front/raw_videos",
    "{level}/{split}/rgb_front/raw_videos",
    "{split}_rgb_front_clips/raw_videos",
    "{split}_rgb_front/raw_videos",
    "{split}/raw_videos",
    "raw_videos/{split}",
    "raw_videos",
)
_LEVELS: dict[Media, str] = {"clips": "sentence_level", "videos": "video_level"}
_MEDIA_NOTES: dict[Media, str] = {
    "clips": "media clips: each SENTENCE_NAME.mp4 is taken whole, the realigned times are not used",
    "videos": "media videos: each VIDEO_NAME.mp4 is cut by the realigned times",
}
_COLUMNS = ("VIDEO_NAME", "SENTENCE_NAME", "START_REALIGNED", "END_REALIGNED", "SENTENCE")


def read_release(source: Path, config: PrepareConfig) -> Release:
    """Read the realigned annotations of How2Sign.

    Args:
        source: the folder that holds the annotation files and the media, in a layout of ``docs/prepare.md``.
        config: ``media``, and ``annotations`` if the annotation files have other names.

    Raises:
        DataError: there is no annotation file, or an annotation file cannot be read.
    """
    names = (config.annotations,) if config.annotations else _ANNOTATIONS
    files = {split: _text_files(source, split, names) for split in SPLITS}
    annotated: tuple[Split, ...] = tuple(split for split in SPLITS if files[split])
    if not annotated:
        tried = ", ".join(join(folder, names[0]) for folder in _TEXT_FOLDERS)
        raise DataError(f"{source} holds no annotation file of How2Sign; tried {tried}.")
    rows: list[Row | Rejected] = []
    notes = [_OFFICIAL_NOTE, _MEDIA_NOTES[config.media]]
    for split in SPLITS:
        notes.append(_files_note(split, files[split], names))
        tried = _fill(_MEDIA_FOLDERS, split, config.media)
        media = existing(source, tried)
        if files[split] and not media:
            notes.append(f"{split}: no folder of {config.media}; tried {', '.join(tried)}")
        # Without media one place is kept, so that the report can show where a clip should lie.
        rows += _rows(source, split, files[split], media or tried[:1], config.media)
    return Release(root=source, rows=tuple(rows), annotated=annotated, official=OFFICIAL, notes=tuple(notes))


def _files_note(split: Split, files: list[str], names: tuple[str, ...]) -> str:
    if not files:
        return f"{split}: no {_fill(names, split, 'clips')[0]}"
    choose = " (all are read; --set annotations=NAME_{split}.csv takes one)" if len(files) > 1 else ""
    return f"{split}: {' and '.join(files)}{choose}"


def _fill(patterns: Iterable[str], split: Split, media: Media) -> list[str]:
    return [
        pattern.replace("{split}", _NAMES[split]).replace("{level}", _LEVELS[media]) for pattern in patterns
    ]


def _text_files(source: Path, split: Split, names: Iterable[str]) -> list[str]:
    return existing(
        source, _fill([join(folder, n) for n in names for folder in _TEXT_FOLDERS], split, "clips")
    )


def _rows(
    source: Path, split: Split, files: list[str], folders: list[str], media: Media
) -> Iterator[Row | Rejected]:
    missing = _missing_clips(source, split)
    for file in files:
        # Published with csv quoting: a sentence with quotation marks stands in doubled ones.
        for record in read_delimited(source / file, delimiter="\t", required=_COLUMNS):
            if media == "clips":
                yield _clip_row(record, split, folders, missing)
            else:
                yield _video_row(record, split, folders)


def _clip_row(record: dict[str, str], split: Split, folders: list[str], missing: dict[str, str]) -> Row:
    name = record["SENTENCE_NAME"]
    # Without times: the published clips were cut at other times than the realigned ones.
    return Row(
        id=name,
        split=split,
        text=record["SENTENCE"],
        language="en",
        places=tuple(join(folder, f"{name}.mp4") for folder in folders),
        missing_list=missing.get(name),
    )


def _video_row(record: dict[str, str], split: Split, folders: list[str]) -> Row | Rejected:
    name, start, end = (record[key] for key in ("SENTENCE_NAME", "START_REALIGNED", "END_REALIGNED"))
    # Some realigned rows have no valid times: the row is rejected, not the file.
    times = parse_times(start, end)
    if times is None:
        detail = f"START_REALIGNED {start!r}, END_REALIGNED {end!r}"
        return Rejected(id=name, split=split, reason="wrong times", detail=detail)
    return Row(
        id=name,
        split=split,
        text=record["SENTENCE"],
        language="en",
        places=tuple(join(folder, f"{record['VIDEO_NAME']}.mp4") for folder in folders),
        start_seconds=times[0],
        end_seconds=times[1],
    )


def _missing_clips(source: Path, split: Split) -> dict[str, str]:
    """Return the clips that were never released: name -> published list."""
    lists = _text_files(source, split, ["missing_{split}.txt"])
    return {
        # Some lists name files, others name sentences.
        line.strip().removesuffix(".mp4"): file
        for file in lists
        for line in read_text(source / file).splitlines()
        if line.strip()
    }
