"""Extraction request: paths and settings, small enough for another process or machine."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

import torch

from ..core.config import load_config
from ..core.device import resolve_device
from ..corpora.descriptions import Descriptions
from ..corpora.manifest import Manifest, read_manifest
from ..corpora.trained_on import read_trained_on
from ..encoder.frozen import FrozenEncoder
from .checks import check
from .config import ExtractConfig
from .extraction import extract
from .plan import Extraction
from .result import Extracted
from .shards import Shard
from .source import load_source
from .text_clips import TextClips

if TYPE_CHECKING:
    from ..encoder.hf_text import TextTokens


class ShardRequest(Protocol):
    """Work that is divided into shards: an extraction, or the description of frames.

    A request has no open files and no loaded models, so that it can be sent to another process.
    """

    def check(
        self, shards: tuple[Shard, ...], *, device: torch.device, manifest: Manifest | None = None
    ) -> None:
        """Refuse work that cannot end well, before any process starts."""
        ...

    def write(
        self, shards: tuple[Shard, ...], *, device: torch.device, manifest: Manifest | None = None
    ) -> Extracted:
        """Write shards of each split in this process."""
        ...

    def sharing_cores(self, processes: int) -> Self:
        """Return the request for one of several ``processes`` of a machine."""
        ...

    def absolute(self) -> Self:
        """Return the request with absolute paths, for a process in another folder."""
        ...


@dataclass(frozen=True, kw_only=True)
class ExtractionRequest:
    """Paths, names and settings of an extraction, without open files or loaded models."""

    manifest: Path
    """File of the manifest."""
    root: Path | None = None
    """Folder of the videos. None: the folder in the manifest."""
    limit: int | None = None
    """Number of samples taken from the beginning of each split. None: all."""
    ckpt: Path | None = None
    """Encoder directory, or a run with an encoder directory; or"""
    encoder: str | None = None
    """``timm:NAME``, ``hf-video:NAME``, ``hf-text:NAME`` or ``poses``."""
    descriptions: Path | None = None
    """Folder of descriptions, for a text encoder."""
    out: Path
    """Folder of the cache."""
    splits: tuple[str, ...] = ()
    """Splits to encode. Empty: all."""
    config: ExtractConfig = ExtractConfig()
    """Settings."""

    def load(
        self,
        shards: tuple[Shard, ...],
        *,
        device: torch.device,
        manifest: Manifest | None = None,
        dry_run: bool = False,
    ) -> Extraction:
        """Read the manifest and load the encoder.

        Args:
            shards: (i, n) of each shard to write.
            device: where the encoder computes.
            manifest: the manifest, where it was read already.
            dry_run: leave nothing in the folder of the cache.

        Raises:
            DataError: the manifest cannot be used.
            ModelError: the encoder does not exist or cannot be loaded.
        """
        if manifest is None:
            manifest = read_manifest(self.manifest, root=self.root, limit=self.limit)
        descriptions = None if self.descriptions is None else Descriptions(self.descriptions)
        encoder, fingerprint = load_source(
            ckpt=self.ckpt, encoder=self.encoder, config=self.config, descriptions=descriptions
        )
        return Extraction(
            manifest=manifest, encoder=encoder, fingerprint=fingerprint, out=self.out, splits=self.splits,
            shards=shards, config=self.config, device=device, dry_run=dry_run,
            texts=_text_clips(encoder, descriptions),
            trained_on={} if self.ckpt is None else read_trained_on(self.ckpt),
        )  # fmt: skip

    def check(
        self, shards: tuple[Shard, ...], *, device: torch.device, manifest: Manifest | None = None
    ) -> None:
        """Refuse an extraction that cannot end well.

        Raises:
            FlaError: as :meth:`load` and :func:`.checks.check`.
        """
        check(self.load(shards, device=device, manifest=manifest))

    def write(
        self, shards: tuple[Shard, ...], *, device: torch.device, manifest: Manifest | None = None
    ) -> Extracted:
        """Write shards of each split in this process.

        Raises:
            FlaError: as :meth:`load` and :func:`.extraction.extract`.
        """
        return extract(self.load(shards, device=device, manifest=manifest))

    def sharing_cores(self, processes: int) -> Self:
        """Return the request for one of several ``processes`` of a machine."""
        if self.config.workers is not None:
            return self
        workers = max(1, self.config.num_workers // processes)
        return replace(self, config=replace(self.config, workers=workers))

    def absolute(self) -> Self:
        """Return the request with absolute paths, for a process in another folder."""
        paths = {name: getattr(self, name) for name in ("manifest", "root", "ckpt", "descriptions", "out")}
        return replace(self, **{name: path and path.absolute() for name, path in paths.items()})


def _text_clips(encoder: FrozenEncoder, descriptions: Descriptions | None) -> TextClips | None:
    """Return the reader of descriptions for a text encoder."""
    if descriptions is None:
        return None
    tokens: TextTokens = cast(Any, encoder).tokens
    return TextClips(descriptions=descriptions, tokens=tokens, sampling=encoder.config.sampling)


def write_shards(
    request: ShardRequest, shards: tuple[Shard, ...], *, device: str, threads: int | None = None
) -> Extracted:
    """Write shards of each split in this process, the body of each process and task.

    Args:
        request: the work.
        shards: (i, n) of each shard.
        device: a name, as ``--device`` takes it.
        threads: CPU threads of a computation where neither a journal nor a setting names a number.

    Raises:
        FlaError: as :meth:`ShardRequest.write`.
    """
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    return request.write(shards, device=resolve_device(device))


def extract_videos(
    manifest: Path | str,
    *,
    out: Path | str,
    ckpt: Path | str | None = None,
    encoder: str | None = None,
    descriptions: Path | str | None = None,
    splits: Sequence[str] = (),
    settings: Sequence[str] = (),
    device: str = "auto",
    limit: int | None = None,
) -> Extracted:
    """Run a frozen encoder over the videos of a manifest, as ``fla extract`` does in one process.

    Args:
        manifest: a manifest of ``fla prepare``.
        out: folder of the cache.
        ckpt: a stage-one run, or its encoder directory; or
        encoder: ``timm:NAME``, ``hf-video:NAME``, ``hf-text:NAME`` or ``poses``.
        descriptions: folder of descriptions, for a text encoder.
        splits: splits to encode. Empty: all.
        settings: single settings, such as ``frame_batch=64``.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        limit: clips of each split, for a trial.

    Raises:
        FlaError: as :func:`write_shards`; a setting is unknown or out of range.
    """
    request = ExtractionRequest(
        manifest=Path(manifest), out=Path(out), ckpt=None if ckpt is None else Path(ckpt), encoder=encoder,
        splits=tuple(splits), config=load_config(ExtractConfig, overrides=settings), limit=limit,
        descriptions=None if descriptions is None else Path(descriptions),
    )  # fmt: skip
    return write_shards(request, ((0, 1),), device=device)
