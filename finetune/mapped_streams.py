"""Mapped streams: a run keeps the mapper of each stream that ``fla map`` made, to translate new videos."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from ..core.errors import ModelError
from ..encoder.mapper import CONFIG_FILE, WEIGHTS_FILE, Mapper, load_mapper, mapped_fingerprint
from .streams import Stream, StreamRecord

logger = logging.getLogger(__name__)


def mapper_folder(run: Path, stream: int) -> Path:
    """Return the folder of the mapper of a stream, counted from 0.

    >>> mapper_folder(Path("run"), 1).name
    'mapper-2'
    """
    return run / f"mapper-{stream + 1}"


def copy_mappers(run: Path, streams: Sequence[Stream]) -> None:
    """Copy the mappers of mapped streams from their caches into a run."""
    for number, stream in enumerate(streams):
        if stream.record.mapped_from is None:
            continue
        source, target = stream.caches[0].folder, mapper_folder(run, number)
        # A cache whose shards were copied alone can be tuned on, but new videos cannot be mapped.
        if not (source / CONFIG_FILE).is_file() or not (source / WEIGHTS_FILE).is_file():
            logger.warning(f"{source} lacks its mapper, so that fla translate cannot use the run.")
            continue
        copy_mapper(source, target)


def copy_mapper(source: Path, target: Path) -> None:
    """Copy the files of a mapper into another folder."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        shutil.copyfile(source / name, target / name)


def load_mappers(run: Path, streams: Sequence[StreamRecord], *, device: torch.device) -> list[Mapper | None]:
    """Return the mapper of each stream, None for a stream that an encoder makes by itself.

    Raises:
        ModelError: a mapper is missing or damaged, or belongs to other features.
    """
    mappers: list[Mapper | None] = []
    for number, stream in enumerate(streams):
        if (source := stream.mapped_from) is None:
            mappers.append(None)
            continue
        folder = mapper_folder(run, number)
        mapper = load_mapper(folder)
        if mapped_fingerprint(source, mapper) != stream.fingerprint:
            raise ModelError(
                f"{folder} must hold the mapper of stream {number + 1}, but holds another.\n"
                "Copy mapper.json and mapper.safetensors from the cache that the run was tuned on."
            )
        mappers.append(mapper.to(device))
    return mappers
