"""Folders with one file for each clip, as other toolkits write them."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from ..cache.format import CacheRow
from ..core.errors import DataError
from ..core.files import visible
from ..core.sample import Sample
from .array_files import OpenedArray, open_npy, open_pt
from .clip_names import clip_name
from .external import ExternalClip
from .import_config import Sentences

_OPENERS: Mapping[str, Callable[[Path], OpenedArray]] = {".npy": open_npy, ".pt": open_pt}
_PREFIX_LETTERS = 5  # ssvp_slt sorts its files into folders by so many letters of the id


def clips_in_folder(
    source: Path, sentences: Sentences, *, split: str, ending: str, suffix: str = ""
) -> list[ExternalClip]:
    """Return the clips of a split in the order of the manifest. Opening a missing file raises an error.

    Args:
        source: the folder. The file of a clip is ``<id><suffix><ending>``, in the folder, in ``<split>/`` or
            in a folder of the first five letters of the id, or has the name of ``fla cache export``.
        sentences: ids, sentences, languages, signers and frames.
        split: the split.
        ending: ``.npy`` or ``.pt``.
        suffix: end of the file names behind the id, such as ``_s2wrapping``.

    Raises:
        DataError: ``source`` is not a folder.
    """
    if not source.is_dir():
        raise DataError(f"{source} must be a folder of *{ending} files, but is not a folder.")
    opener = _OPENERS[ending]
    return [
        ExternalClip(
            row=CacheRow.of(sample),
            open=partial(_open, opener, source, _places(sample, f"{suffix}{ending}")),
        )
        for sample in sentences.split(split)
    ]


def files_without_row(source: Path, sentences: Sentences, *, ending: str, suffix: str = "") -> list[str]:
    """Return the files, relative to ``source``, without a sample in the manifest."""
    # All splits, also where one split is imported: a dev file is not an unlisted file of train.
    wanted = {place for sample in sentences.samples for place in _places(sample, f"{suffix}{ending}")}
    files = {path.relative_to(source).as_posix() for path in visible(source.rglob(f"*{ending}"))}
    return sorted(files - wanted)


def _places(sample: Sample, ending: str) -> list[str]:
    """Return the possible files of a clip, relative to the folder. The first existing file counts."""
    folders = (f"{sample.split}/", "")
    places = [f"{folder}{clip_name(sample.id)}{ending}" for folder in folders]
    if any(part in ("", ".", "..") for part in sample.id.split("/")):
        return places  # as a path, such an id would lead elsewhere: another clip's file, or outside
    prefix = sample.id[:_PREFIX_LETTERS]
    named = [f"{folder}{sample.id}{ending}" for folder in folders]
    sorted_ = [f"{folder}{prefix}/{sample.id}{ending}" for folder in folders]
    # The export's names first: "a%2Fb" as it is would be the export's file of "a/b".
    return list(dict.fromkeys([*places, *named, *sorted_]))


def _open(opener: Callable[[Path], OpenedArray], source: Path, places: list[str]) -> OpenedArray:
    # The first place wins, in the order of the documentation.
    for place in places:
        if os.path.isfile(source / place):  # unlike Path.is_file, says no to a name that is too long
            return opener(source / place)
    raise DataError(f"It is missing: {source} has none of {', '.join(places)}.")
