"""Sources of an import: the clips of each split in a folder, an export or a pickle of signjoey."""

import logging
from pathlib import Path
from typing import NamedTuple

from ..cache.format import Provenance
from ..core.errors import ConfigError
from ..core.sample import SPLITS
from .export import DESCRIPTION
from .export_reader import Export
from .external import ExternalClip
from .external_folder import clips_in_folder, files_without_row
from .import_config import ImportConfig, Sentences
from .mmslt import read_mmslt
from .signjoey import read_signjoey

logger = logging.getLogger(__name__)


class SplitSource(NamedTuple):
    """Clips of a split, and the origin of the features where the source describes the origin."""

    clips: list[ExternalClip]
    provenance: Provenance | None = None


def find_clips(
    source: Path, config: ImportConfig, sentences: Sentences | None
) -> tuple[dict[str, SplitSource], list[str]]:
    """Return the clips of each split, and the unlisted files.

    Raises:
        ConfigError: an option is missing, or not allowed for the source.
        DataError: the source cannot be read.
    """
    if config.format == "signjoey":
        if sentences is not None:
            raise ConfigError(
                "--manifest must not be given for a signjoey file, which has the sentences itself."
            )
        split = str(config.split)
        return {split: SplitSource(read_signjoey(source, split=split, language=str(config.language)))}, []
    if export := Export.find(source):
        return _find_exported(export, config, sentences)
    if config.format == "safetensors":
        raise ConfigError(
            f"{source} must be a folder that fla cache export wrote, but holds no such {DESCRIPTION}.\n"
            "Features of other code are imported from .npy or .pt files."
        )
    if sentences is None:
        raise ConfigError(f"--manifest must be given for {config.format} files, which hold no sentences.")
    if config.encoder is None:
        raise ConfigError(f"--encoder must be given for {config.format} files: your name for their origin.")
    if config.format == "mmslt":
        split = str(config.split)
        found, unlisted = read_mmslt(source, sentences, split=split)
        return {split: SplitSource(found)}, unlisted
    splits = [config.split] if config.split else [split for split in SPLITS if sentences.split(split)]
    place = {"ending": f".{config.format}", "suffix": config.suffix}
    clips = {split: SplitSource(clips_in_folder(source, sentences, split=split, **place)) for split in splits}
    return clips, files_without_row(source, sentences, **place)


def _find_exported(
    export: Export, config: ImportConfig, sentences: Sentences | None
) -> tuple[dict[str, SplitSource], list[str]]:
    """Return the splits of an export, and the unlisted files."""
    for option, value, expected in [
        ("--format", config.format, export.layout),
        ("--suffix", config.suffix, ""),
    ]:
        if value != expected:
            raise ConfigError(
                f"{option} must be {expected!r} for {export.folder}, which fla cache export wrote, "
                f"but is {value!r}."
            )
    if config.encoder is not None or sentences is not None:
        logger.warning(
            f"--encoder and --manifest are not used: {export.folder / DESCRIPTION} describes the features."
        )
    found = {split: export.read(split) for split in ([config.split] if config.split else export.splits)}
    # All splits, also where one split is imported.
    listed = frozenset[str]().union(*(export.read(split).files for split in export.splits))
    files = {path.relative_to(export.folder).as_posix() for path in export.folder.rglob(f"*.{export.layout}")}
    sources = {split: SplitSource(part.clips, part.provenance) for split, part in found.items()}
    return sources, sorted(files - listed)
