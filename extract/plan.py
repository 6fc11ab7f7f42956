"""What an extraction is going to do: its shards, their videos and provenance, and the disk it needs."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..cache.finished import read_finished
from ..cache.format import CacheRow, Provenance, parse_shard_name, partial_folder, shard_name
from ..cache.shard import ShardIndex
from ..core.config import config_to_dict
from ..core.device import resolve_dtype
from ..core.errors import CacheError, ConfigError, DataError
from ..core.files import visible
from ..core.sample import SPLITS, Sample
from ..corpora.manifest import Manifest
from ..encoder.encode import Level
from ..encoder.frozen import FrozenEncoder
from ..video.frames import FRAME_VERSION
from ..video.sampling import FrameSampling, count_selected
from .config import ExtractConfig
from .views import View, views_of

_PACKAGES = ("fla-llm", "torch", "timm", "av", "pillow")
"""What has a say in the numbers: code, kernels, architectures, decoders."""
_PREPROCESSING = ("resize_size", "image_size", "fit", "mean", "std", "sampling")
_ROW_BYTES = 1024
"""What a row takes besides its features: HDF5's headers, the index, the text; rounded up."""


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """A shard that is to be there in the end."""

    folder: Path
    split: str
    index: int
    count: int
    samples: tuple[Sample, ...]
    provenance: Provenance
    views: tuple[View, ...]
    """Its rows in order: of each sample the clean pass, then the augmented ones."""
    num_steps: int
    """Steps of all its rows, by the manifest."""
    extra_steps: int
    """Those of them that views add to the clean passes."""

    @property
    def path(self) -> Path:
        """The shard's file."""
        return self.folder / shard_name(self.split, self.index, self.count)

    @property
    def rows(self) -> list[CacheRow]:
        """What the cache tells of each row."""
        return [
            CacheRow(
                id=view.sample.id,
                text=view.sample.text,
                language=view.sample.language,
                signer=view.sample.signer or "",
                num_frames=view.sample.num_frames,
                view=view.number,
                frame_offset=view.phase,
            )
            for view in self.views
        ]

    @property
    def size_bytes(self) -> int:
        """About how large the shard will be: two bytes a number."""
        return self.num_steps * self.provenance.feature_size * 2 + len(self.views) * _ROW_BYTES

    @property
    def views_bytes(self) -> int:
        """About how much of that the augmented views are."""
        rows = len(self.views) - len(self.samples)
        return self.extra_steps * self.provenance.feature_size * 2 + rows * _ROW_BYTES

    @cached_property
    def finished(self) -> ShardIndex | None:
        """The shard as it is on disk, when it was finished earlier.

        Raises:
            CacheError: it was made by something else, or of other videos; it names the difference.
        """
        return read_finished(self.path, rows=self.rows, provenance=self.provenance)


def plan_shards(
    manifest: Manifest,
    *,
    encoder: FrozenEncoder,
    fingerprint: str,
    out: Path,
    splits: Sequence[str] = (),
    shard: tuple[int, int] = (0, 1),
    config: ExtractConfig,
    device: torch.device,
) -> list[ShardPlan]:
    """Return the shard of each split that is to be written: every ``shard[1]``-th sample from ``shard[0]``.

    Raises:
        DataError: a split has no sample.
        ValueError: ``shard`` is not (i, n) with 0 <= i < n.
        ModelError: the level is ``sign`` and the encoder has no temporal module.
        ConfigError: the phase is not below the encoder's stride.
    """
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(f"shard must be (i, n) with 0 <= i < n, but is {shard}")
    made_by = _provenance(encoder, fingerprint=fingerprint, config=config, device=device)
    sampling = config.sampling(encoder.config.sampling)
    plans = []
    for split in _splits(manifest, splits):
        everything = manifest.split(split)
        samples = tuple(everything[index::count])
        views = views_of(samples, config=config, sampling=sampling)
        steps = [_steps(view, encoder, sampling) for view in views]
        plans.append(
            ShardPlan(
                folder=out,
                split=split,
                index=index,
                count=count,
                samples=samples,
                provenance=Provenance(
                    **made_by,
                    corpus=manifest.corpus,
                    split=split,
                    step_seconds=_step_seconds(encoder, sampling, {s.fps for s in everything}),
                ),
                views=views,
                num_steps=sum(steps),
                extra_steps=sum(n for n, view in zip(steps, views, strict=True) if view.number),
            )
        )
    return plans


def describe_plans(plans: Sequence[ShardPlan], out: Path) -> tuple[dict[str, Any], str]:
    """Return what would be done, as JSON can hold it and as lines for people."""
    content = {
        "shards": [
            {
                "path": str(plan.path),
                "clips": len(plan.samples),
                "steps": plan.num_steps,
                "size_bytes": plan.size_bytes,
                "is_finished": plan.finished is not None,
            }
            for plan in plans
        ],
        "views_bytes": sum(plan.views_bytes for plan in plans),
        "disk_needed_bytes": disk_needed(plans),
        "disk_free_bytes": disk_free(out),
    }
    lines = [
        f"{plan.path}: {'finished' if plan.finished else 'to write'}, {len(plan.samples)} clips, "
        f"{plan.num_steps} steps of {plan.provenance.feature_size}, {plan.size_bytes / 1e6:.1f} MB"
        for plan in plans
    ]
    needed, free = content["disk_needed_bytes"], content["disk_free_bytes"]
    lines += views_cost(plans)
    return content, "\n".join([*lines, f"disk: {needed / 1e9:.2f} GB needed, {free / 1e9:.2f} GB free"])


def views_cost(plans: Sequence[ShardPlan]) -> list[str]:
    """Return a line that says what views cost on disk; without views, none."""
    most = max((view.number for plan in plans for view in plan.views), default=0)
    added, whole = sum(plan.views_bytes for plan in plans), sum(plan.size_bytes for plan in plans)
    if not most:
        return []
    return [f"{most} views of each training video add {added / 1e9:.2f} GB: {whole / 1e9:.2f} GB in all"]


def disk_needed(plans: Sequence[ShardPlan]) -> int:
    """Return the bytes the unfinished shards still need: all of them, and the largest one's journal."""
    open_ = [plan for plan in plans if plan.finished is None]
    journals = [partial_folder(plan.path) / "features.bin" for plan in open_]
    there = sum(journal.stat().st_size for journal in journals if journal.exists())
    sizes = [plan.size_bytes for plan in open_]
    return max(0, sum(sizes) + max(sizes, default=0) - there)


def check_plans(plans: Sequence[ShardPlan], manifest: Manifest, out: Path) -> None:
    """Refuse to begin what cannot end well.

    Raises:
        CacheError: the disk has too little room.
        CacheError: the folder holds shards of another set.
        DataError: none of a shard's videos is there: the corpus lies elsewhere on this machine.
    """
    needed, free = disk_needed(plans), disk_free(out)
    if needed > free:
        raise CacheError(
            f"{out} needs about {needed / 1e9:.2f} GB, but its disk has {free / 1e9:.2f} GB free.\n"
            "Choose another folder, or extract less at a time: --split, --shard i/n."
        )
    for plan in plans:
        _check_set(plan)
        if plan.finished is None and plan.samples:
            _check_videos(plan, manifest)


def _check_set(plan: ShardPlan) -> None:
    """Refuse to mix sets: shards of 8 and of 4 would hold videos twice, and no reader takes them."""
    names = [parse_shard_name(path.name) for path in visible(plan.folder.glob("*.h5"))]
    for split, _, count in filter(None, names):
        if split == plan.split and count != plan.count:
            raise CacheError(
                f"{plan.folder} must hold one set of {split} shards, but holds some of {count} "
                f"and would get some of {plan.count}.\n"
                f"Say which by --shard i/{count}, or delete the set that is not wanted."
            )


def _check_videos(plan: ShardPlan, manifest: Manifest) -> None:
    if not any(manifest.path(sample).exists() for sample in plan.samples):
        raise DataError(
            f"The videos of {plan.split} must be where the manifest says, but none is: "
            f"{manifest.path(plan.samples[0])} is not there.\n{manifest.remedy(plan.samples[0])}"
        )


def disk_free(folder: Path) -> int:
    """Return the free bytes of the disk that ``folder`` is on or will be on."""
    return shutil.disk_usage(existing_parent(folder)).free


def existing_parent(folder: Path) -> Path:
    """Return ``folder``, or the nearest folder above it that exists.

    Raises:
        CacheError: ``folder`` is a file or lies in one, or the file system does not accept its name.
    """
    try:
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    except OSError as error:  # such as a name of more than 255 bytes
        raise CacheError(
            f"--out must name a folder, but {folder} cannot be one: {error.strerror}."
        ) from error
    if not there.is_dir():
        raise CacheError(f"--out must name a folder, but {there} is a file.\nChoose another folder.")
    return there


def _splits(manifest: Manifest, wanted: Sequence[str]) -> list[str]:
    """Return the splits to extract, in the usual order; all there are, when none is named."""
    there = [split for split in SPLITS if manifest.split(split)]
    for split in wanted:
        if split not in there:
            raise DataError(f"The manifest must have samples of split {split}, but has {', '.join(there)}.")
    return [split for split in there if not wanted or split in wanted]


def _steps(view: View, encoder: FrozenEncoder, sampling: FrameSampling) -> int:
    """Return how many steps the encoder will make of a view."""
    sample = view.sample
    seen = count_selected(sample.num_frames, sampling=sampling, phase=view.phase, clip_fps=sample.fps)
    return encoder.num_steps(seen)


def _step_seconds(encoder: FrozenEncoder, sampling: FrameSampling, rates: set[float]) -> float | None:
    """Return the seconds from one step to the next; None where clips differ in their frame rate."""
    if sampling.fps is not None:
        return encoder.step_frames / sampling.stride / sampling.fps
    return encoder.step_frames / rates.pop() if len(rates) == 1 else None


def _provenance(
    encoder: FrozenEncoder, *, fingerprint: str, config: ExtractConfig, device: torch.device
) -> dict[str, Any]:
    """Return what all shards of this extraction have in common."""
    level = level_of(encoder, config)
    if level == "sign":
        encoder.require_temporal()
    stride = encoder.config.sampling.stride
    if config.phase >= stride:
        raise ConfigError(f"phase must be below the encoder's stride ({stride}), but is {config.phase}.")
    settings = encoder.settings
    preprocessing = {key: settings[key] for key in _PREPROCESSING} | {"phase": config.phase}
    preprocessing["frame_version"] = FRAME_VERSION
    preprocessing["sampling"] = config_to_dict(config.sampling(encoder.config.sampling))
    preprocessing |= {key: True for key in ("compile", "keep_partial") if getattr(config, key)}
    if config.views:  # also of splits without views: the shards of a cache agree
        drawn = {"count": config.views, "seed": config.seed, "augment": config_to_dict(config.augment)}
        preprocessing["views"] = drawn
    return {
        "encoder_fingerprint": fingerprint,
        "encoder_config": settings,
        "level": level,
        "preprocessing": preprocessing,
        "frame_batch": config.frame_batch,
        "compute_dtype": str(resolve_dtype(config.precision, device)).removeprefix("torch."),
        "device_kind": device.type,
        "feature_size": encoder.output_size if level == "sign" else encoder.frame_size,
        "versions": {name: version(name) for name in _PACKAGES},
    }


def level_of(encoder: FrozenEncoder, config: ExtractConfig) -> Level:
    """Return the level of features: as configured, else the highest the encoder has."""
    return config.level or ("sign" if encoder.temporal is not None else "frame")
