"""Who writes which shards: this process, several processes of this machine, or Ray tasks."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from ..core.device import resolve_device
from .job import Job
from .on_devices import extract_on_devices, parse_devices
from .on_ray import extract_on_ray
from .result import Extracted
from .shards import Shard, assign

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Who writes which shards."""

    engine: Literal["here", "devices", "ray"]
    """This process, a process for each device, or Ray."""
    shards: tuple[Shard, ...]
    """The shards, of each split."""
    device: torch.device
    """Where the encoder computes; with several devices the first."""
    devices: tuple[str, ...] = ()
    """A name for each process, where there are several."""


def choose_workers(
    *,
    shard: Shard | None,
    num_shards: int | None,
    devices: str | None,
    engine: str,
    device: str,
    environment: Mapping[str, str],
) -> Workers:
    """Return who writes what; where the environment has a say, a line on standard error tells.

    Args:
        shard: the one shard that is asked for; None: all, or the environment's.
        num_shards: how many shards there are, all of them asked for; None: one, or one a device.
        devices: as :func:`parse_devices` takes it; None: one process.
        engine: ``ray``, or anything else.
        device: as :func:`resolve_device` takes it.
        environment: ``os.environ``, or what stands for it.

    Raises:
        ConfigError: there is no such device, or as :func:`assign`.
    """
    names = () if devices is None else tuple(parse_devices(devices))
    if num_shards is None and names:
        num_shards = len(names)
    shards, source = assign(shard=shard, count=num_shards, environment=environment)
    if source is not None:
        logger.info(f"shard {shards[0][0]}/{shards[0][1]}, as {source}")
    if names:
        return Workers(engine="devices", shards=tuple(shards), device=resolve_device(names[0]), devices=names)
    if engine == "ray":  # the GPUs may all be on other machines
        place = torch.device("cuda") if device == "cuda" else resolve_device(device)
        return Workers(engine="ray", shards=tuple(shards), device=place)
    return Workers(engine="here", shards=tuple(shards), device=_own_device(device, environment))


def extract_with(workers: Workers, job: Job) -> Extracted:
    """Write the shards, after all of them were checked together.

    Raises:
        FlaError: as :meth:`.job.LoadedJob.check`, :func:`extract_on_devices` and :func:`extract_on_ray`.
    """
    loaded = job.load()
    if workers.device.type != "cuda" or torch.cuda.is_available():  # else each task checks its own shard
        loaded.check(workers.shards, device=workers.device)
    if workers.engine == "ray":
        return extract_on_ray(job, workers.shards, device=workers.device.type)
    if workers.engine == "devices":
        return extract_on_devices(job, workers.shards, devices=workers.devices)
    return loaded.write(workers.shards, device=workers.device)


def _own_device(name: str, environment: Mapping[str, str]) -> torch.device:
    """Return the device; ``auto`` under torchrun is the GPU of this process."""
    rank, count = environment.get("LOCAL_RANK", ""), torch.cuda.device_count()
    if name == "auto" and rank.isdigit() and count:
        return torch.device("cuda", int(rank) % count)
    return resolve_device(name)
