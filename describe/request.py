"""Description request: paths, names and settings, small enough for another process or machine."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch

from ..corpora.manifest import Manifest, read_manifest
from ..extract.result import Extracted
from ..extract.shards import Shard
from .config import DescribeConfig
from .plan import Description
from .work import describe


@dataclass(frozen=True, kw_only=True)
class DescriptionRequest:
    """Paths, names and settings of a description, without open files or loaded models."""

    manifest: Path
    root: Path | None = None
    """Folder of the videos. None: the folder in the manifest."""
    limit: int | None = None
    """Number of clips taken from the beginning of each split, in a trial. None: all."""
    model: str
    """Id on the hub, or directory."""
    out: Path
    """Folder of the description files."""
    splits: tuple[str, ...] = ()
    """Splits to describe. Empty: all."""
    config: DescribeConfig = DescribeConfig()

    def load(
        self, shards: tuple[Shard, ...], *, device: torch.device, manifest: Manifest | None = None
    ) -> Description:
        """Return the description of these shards, without the model's weights.

        Raises:
            DataError: the manifest cannot be used.
        """
        if manifest is None:
            manifest = read_manifest(self.manifest, root=self.root, limit=self.limit)
        return Description(
            manifest=manifest, model=self.model, out=self.out, splits=self.splits, shards=shards,
            config=self.config, device=device, limit=self.limit,
        )  # fmt: skip

    def check(
        self, shards: tuple[Shard, ...], *, device: torch.device, manifest: Manifest | None = None
    ) -> None:
        """Refuse a description that cannot end well.

        Raises:
            FlaError: as :meth:`load` and :meth:`.plan.Description.check`.
        """
        self.load(shards, device=device, manifest=manifest).check()

    def write(
        self, shards: tuple[Shard, ...], *, device: torch.device, manifest: Manifest | None = None
    ) -> Extracted:
        """Write the files of these shards in this process.

        Raises:
            FlaError: as :meth:`load` and :func:`.work.describe`.
        """
        return describe(self.load(shards, device=device, manifest=manifest))

    def sharing_cores(self, processes: int) -> Self:
        """Return this request: a description has no worker processes."""
        return self

    def absolute(self) -> Self:
        """Return the request with absolute paths, for a process in another folder."""
        # An id on the hub is no path.
        model = Path(self.model).expanduser()
        return replace(
            self, manifest=self.manifest.absolute(), root=self.root and self.root.absolute(),
            out=self.out.absolute(), model=str(model.absolute()) if model.is_dir() else self.model,
        )  # fmt: skip
