"""RWTH-PHOENIX-Weather 2014 T: German weather forecasts, frame folders and ``|``-separated annotations.

The ``video`` column of the annotation says ``NAME/1/*.png``, but the released frames have no folder ``1``.
The reader accepts both layouts.
"""

from pathlib import Path, PurePosixPath

from ..core.errors import DataError
from ..core.sample import SPLITS, Split
from .config import PrepareConfig
from .delimited import read_delimited
from .layout import existing, join
from .release import Release, Row

FPS = 25.0  # of the broadcast: PNG files have no frame rate
OFFICIAL: dict[Split, int] = {"train": 7096, "dev": 519, "test": 642}
_INNER = ("", "PHOENIX-2014-T", "PHOENIX-2014-T-release-v3/PHOENIX-2014-T")
_ANNOTATIONS = "annotations/manual"
_FRAMES = ("features/fullFrame-210x260px", "features/fullFrame-256x256px")  # released; resized by others
_COLUMNS = ("name", "video", "speaker", "translation")


def read_release(source: Path, config: PrepareConfig) -> Release:
    """Read the annotations of PHOENIX-2014-T.

    Args:
        source: ``PHOENIX-2014-T-release-v3``, the ``PHOENIX-2014-T`` inside it, or the folder around it.
        config: not used for this corpus.

    Raises:
        DataError: there is no annotation file, or an annotation file cannot be read.
    """
    inner = existing(source, [join(place, _ANNOTATIONS) for place in _INNER])
    if not inner:
        tried = ", ".join(join(place, _ANNOTATIONS) for place in _INNER)
        raise DataError(f"{source} must be the folder PHOENIX-2014-T-release-v3, but holds none of {tried}.")
    base = inner[0].removesuffix(_ANNOTATIONS).rstrip("/")
    files: dict[Split, Path] = {split: source / _annotation(base, split) for split in SPLITS}
    annotated: tuple[Split, ...] = tuple(split for split in SPLITS if files[split].is_file())
    if not annotated:
        raise DataError(f"{source} must hold {_annotation(base, 'train')}, but holds no such file.")
    frames = (existing(source, [join(base, place) for place in _FRAMES]) or [join(base, _FRAMES[0])])[0]
    rows = [row for split in annotated for row in _rows(files[split], split, frames)]
    notes = [f"{split}: no {_annotation(base, split)}" for split in SPLITS if split not in annotated]
    return Release(root=source, rows=tuple(rows), annotated=annotated, official=OFFICIAL, notes=tuple(notes))


def _annotation(base: str, split: Split) -> str:
    return join(base, _ANNOTATIONS, f"PHOENIX-2014-T.{split}.corpus.csv")


def _rows(path: Path, split: Split, frames: str) -> list[Row]:
    # Sentences may begin with a lone ", which would swallow the following rows if fields were quoted.
    records = read_delimited(path, delimiter="|", required=_COLUMNS, quoted=False)
    return [
        Row(
            id=record["name"],
            split=split,
            text=record["translation"],
            language="de",
            places=_places(join(frames, split), record),
            fps=FPS,
            signer=record["speaker"] or None,
        )
        for record in records
    ]


def _places(folder: str, record: dict[str, str]) -> tuple[str, ...]:
    # The annotation announces a folder 1 that the released frames lack.
    announced = PurePosixPath(record["video"]).parent  # NAME/1/*.png -> NAME/1
    names = (str(announced), record["name"]) if announced.name else (record["name"],)
    return tuple(dict.fromkeys(join(folder, name) for name in names))
