"""Label files of Uni-Sign: CSL-Daily, How2Sign, OpenASL and others in the form that Uni-Sign publishes.

``labels.train``, ``labels.dev`` and ``labels.test`` are gzipped pickles of a dict: key -> dict with ``name``,
``text`` and ``video_path``, and for some corpora a list of glosses ``gloss``. CSL-News has one JSON file
with a list of ``video``, ``pose`` and ``text``, whose last hundredth is the test split. No code in a file is
run.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ..core.errors import DataError
from ..core.files import read_text, visible
from ..core.limited_pickle import encode_latin1, read_pickles
from ..core.sample import DEFAULT_TASK, SPLITS, Split, Task
from .config import PrepareConfig
from .layout import existing, join
from .release import Rejected, Release, Row

_VIDEOS = ("", "rgb_format", "videos")
"""Possible base folders of video paths."""
_TEST_SHARE = 100
"""One row of this number is a test row in a JSON file of labels, from the end of the file."""


def read_release(source: Path, config: PrepareConfig) -> Release:
    """Read the label files in a folder.

    Args:
        source: the folder with ``labels.train``, ``labels.dev`` and ``labels.test``, or with one ``.json``
            file of labels.
        config: ``language`` and ``task``.

    Raises:
        DataError: there is no label file, several for a split, or a file cannot be read.
    """
    if not source.is_dir():
        raise DataError(f"{source} must be the folder of Uni-Sign's label files, but is no folder.")
    files: dict[Split, Path | None] = {split: _label_file(source, f"labels*.{split}") for split in SPLITS}
    found: dict[Split, Path] = {split: path for split, path in files.items() if path is not None}
    rows: list[Row | Rejected] = []
    if found:
        for split, path in found.items():
            rows += _rows(_read_pickled(path), split, source, config, origin=path)
    elif path := _label_file(source, "*.json"):
        rows += _read_json(path, source, config)
    else:
        raise DataError(f"{source} must hold labels.train, labels.dev or labels.test, or a .json of labels.")
    annotated: tuple[Split, ...] = tuple(split for split in SPLITS if any(row.split == split for row in rows))
    notes = [f"{split}: no label file" for split in SPLITS if split not in annotated]
    return Release(root=source, rows=tuple(rows), annotated=annotated, notes=tuple(notes))


def _label_file(source: Path, pattern: str) -> Path | None:
    paths = visible(source.glob(pattern))
    # Two files for a split are often two releases of the same sentences.
    if len(paths) > 1:
        names = ", ".join(path.name for path in paths)
        raise DataError(
            f"{source} must hold one label file {pattern}, but holds {names}.\n"
            "Move the others to another folder."
        )
    return paths[0] if paths else None


def _read_pickled(path: Path) -> list[Any]:
    # A plain pickle.load would run any code in the file.
    content = read_pickles(
        path, functions={"_codecs.encode": encode_latin1}, holds="dicts, lists, text and numbers"
    )
    if len(content) != 1 or type(content[0]) is not dict:
        raise DataError(f"{path} must hold a dict of labels, but holds something else.")
    return list(content[0].values())


def _read_json(path: Path, source: Path, config: PrepareConfig) -> Iterator[Row | Rejected]:
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} must be JSON, but is not: {error}") from error
    if not isinstance(content, list):
        raise DataError(f"{path} must hold a list of labels, but holds {type(content).__name__}.")
    # CSL-News has no published split: Uni-Sign cuts the list itself.
    begin = len(content) - len(content) // _TEST_SHARE
    yield from _rows(content[:begin], "train", source, config, origin=path)
    yield from _rows(content[begin:], "test", source, config, origin=path)


def _rows(
    labels: Iterable[Any], split: Split, source: Path, config: PrepareConfig, *, origin: Path
) -> Iterator[Row | Rejected]:
    folders = existing(source, _VIDEOS)
    for number, label in enumerate(labels, 1):
        values = _texts(label)
        # A faulty label is listed with its number, and the other labels are read.
        if isinstance(values, str):
            yield Rejected(id=f"{origin.name}, label {number}", split=split, reason="no label", detail=values)
            continue
        video = values.get("video_path") or values.get("video", "")
        task = _task(values, config)
        yield Row(
            id=values.get("name") or str(PurePosixPath(video).with_suffix("")),
            split=split,
            text=values["gloss"] if task == "recognise" else values["text"],
            language=config.language,
            places=tuple(join(folder, video) for folder in folders) if video else (),
            poses=values.get("pose") or None,
            task=task,
        )


def _task(values: dict[str, str], config: PrepareConfig) -> Task:
    """Return the task of a label. The file of a corpus of single signs looks like a file of sentences."""
    if config.task is not None:
        return config.task
    return "recognise" if values["gloss"] and not values["text"] else DEFAULT_TASK


def _texts(label: Any) -> dict[str, str] | str:
    """Return the texts of a label by key, glosses as one text, or the fault of the label."""
    if not isinstance(label, dict):
        return f"must be a dict, but is {type(label).__name__}"
    texts: dict[str, str] = {}
    # Other keys of a label are not read, and may hold anything.
    for key in ("name", "video_path", "video", "pose", "text", "gloss"):
        value = label.get(key, "")
        if key == "gloss" and isinstance(value, list) and all(isinstance(gloss, str) for gloss in value):
            value = " ".join(value)
        if not isinstance(value, str):
            return f"{key!r} must be text, but is {type(value).__name__}"
        texts[key] = value.strip()
    if not texts["name"] and not texts["video_path"] and not texts["video"]:
        return "it has neither a name nor a video"
    return texts
