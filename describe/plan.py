"""Plan of a description: files, clips and headers, made once, without the model's weights."""

from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..cache.format import partial_folder
from ..cache.journal import discard_journal
from ..core.config import first_difference
from ..core.device import default_threads, resolve_dtype
from ..core.errors import CacheError
from ..core.files import visible
from ..core.sample import Sample
from ..corpora.descriptions import (
    FORMAT,
    DescriptionFile,
    description_path,
    parse_description_name,
    read_description_file,
)
from ..corpora.manifest import Manifest
from ..extract.checks import check_files
from ..extract.plan import splits_to_write
from ..extract.shards import Shard
from ..llm.load import identify
from ..video.sampling import count_selected
from .config import DescribeConfig
from .describer import NAMED
from .journal import read_note

_PACKAGES = ("fla-llm", "torch", "transformers", "av", "pillow")
"""Packages whose version can change a description."""


@dataclass(frozen=True, kw_only=True)
class FilePlan:
    """Content of a description file."""

    path: Path
    samples: tuple[Sample, ...]
    header: dict[str, Any]
    """Header without format and counts. Equal headers and videos give equal bytes."""
    threads: int
    """CPU threads of the model."""
    frames: int
    """Frames to describe, by the frame counts of the manifest."""
    finished: DescriptionFile | None
    """The file on disk, if an earlier run has finished it."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """Description in this process: manifest, model, folder, shards, settings."""

    manifest: Manifest
    model: str
    """Id on the hub, or directory."""
    out: Path
    """Folder of the description files."""
    splits: tuple[str, ...] = ()
    """Splits to describe. Empty: all."""
    shards: tuple[Shard, ...]
    """(i, n) of each file of a split: every n-th clip, from the i-th."""
    config: DescribeConfig
    device: torch.device
    limit: int | None = None
    """Number of clips taken from each split, in a trial."""

    @cached_property
    def plans(self) -> tuple[FilePlan, ...]:
        """Plan of each file.

        Raises:
            DataError: a split has no sample, or no video of a file exists.
            ModelError: the model does not exist.
            CacheError: a finished file has another origin, or the folder holds files of another set.
        """
        source, revision = identify(self.model, named=NAMED)
        # The folder's name and not its place: equal work gives equal bytes on every machine.
        origin = {"model": Path(source).name if Path(source).is_dir() else source, "revision": revision}
        splits = splits_to_write(self.manifest, self.splits)
        return tuple(self._plan_file(split, shard, origin) for shard in self.shards for split in splits)

    def check(self) -> None:
        """Refuse a description that cannot end well. The model's weights are not loaded.

        Raises:
            FlaError: as :attr:`plans`.
        """
        for plan in self.plans:
            _check_set(plan.path)
            if plan.finished is None and plan.samples:
                check_files(self.manifest, plan.samples, medium="video")

    def _plan_file(self, split: str, shard: Shard, origin: dict[str, str]) -> FilePlan:
        index, count = shard
        # Every n-th clip: each file has clips of the whole corpus, so that files take equal times.
        samples = tuple(self.manifest.split(split)[index::count])
        path = description_path(self.out, split, index, count)
        header = {
            "corpus": self.manifest.corpus, "split": split, **origin, "prompt": self.config.prompt,
            "settings": self._settings(), "versions": {name: version(name) for name in _PACKAGES},
        }  # fmt: skip
        if self.manifest.copies is not None:
            header["copies"] = asdict(self.manifest.copies)
        # A trial is no part of a full run: it would pass as a finished split.
        if self.limit is not None:
            header["limit"] = self.limit
        sampling = self.config.sampling
        # The number of threads decides last bits on a CPU: a continued file keeps its number.
        noted = read_note(partial_folder(path)).get("threads")
        return FilePlan(
            path=path, samples=samples, header=header,
            threads=self.config.threads or noted or default_threads(),
            frames=sum(count_selected(sample.num_frames, sampling=sampling) for sample in samples),
            finished=_read_finished(path, samples, header),
        )  # fmt: skip

    def _settings(self) -> dict[str, Any]:
        config = self.config
        # The resolved number format: "auto" would hide that machines differ.
        dtype = resolve_dtype(config.precision, self.device)
        return {
            **{name: getattr(config, name) for name in ("frame_stride", "batch", "max_tokens", "quantise")},
            "longest_side": config.longest_side,
            "compute_dtype": str(dtype).removeprefix("torch."),
            "device_kind": self.device.type,
        }


def _read_finished(path: Path, samples: tuple[Sample, ...], header: dict[str, Any]) -> DescriptionFile | None:
    """Return a finished file, or None. The journal of a process killed just after the end is removed."""
    if not path.exists():
        return None
    file = read_description_file(path)
    there = {key: value for key, value in file.header.items() if key != "counts"}
    difference = first_difference(there, {"format": FORMAT, **header})
    if difference is None:
        difference = first_difference({"clips": list(file.clips)}, {"clips": [s.id for s in samples]})
    if difference is not None:
        key, old, new = difference
        raise CacheError(
            f"{path} is finished, but not the same: {key} is {old!r} there and would be {new!r} now.\n"
            "Write to another folder, or delete the file to write it again."
        )
    # A kill between the rename and the deletion leaves both.
    discard_journal(partial_folder(path))
    return file


def _check_set(path: Path) -> None:
    """Refuse to mix sets: files of 8 and of 4 would describe clips twice."""
    own = parse_description_name(path.name)
    assert own is not None, "the name is made by description_path"
    for other in visible(path.parent.glob("*.jsonl")):
        name = parse_description_name(other.name)
        if name is not None and name[0] == own[0] and name[2] != own[2]:
            raise CacheError(
                f"{path.parent} must hold one set of {own[0]} files, but holds {other.name} and would get "
                f"{path.name}.\nSay which by --shard i/{name[2]}, or delete the set that is not wanted."
            )
