"""Shard assignment: which process writes which shards, here, on several devices, or as Ray tasks."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from ..core.device import resolve_device
from ..corpora.manifest import Manifest
from .on_devices import extract_on_devices, parse_devices
from .on_ray import extract_on_ray
from .request import ShardRequest
from .result import Extracted
from .shards import Shard, assign

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Processes of an extraction and their shards."""

    engine: Literal["here", "devices", "ray"]
    """``here``: this process, ``devices``: a process for each device, ``ray``: Ray tasks."""
    shards: tuple[Shard, ...]
    """Shards to write, of each split."""
    device: torch.device
    """Device of the encoder; with several devices the first."""
    devices: tuple[str, ...] = ()
    """Device of each process, with several processes."""


def choose_workers(
    *,
    shard: Shard | None,
    num_shards: int | None,
    devices: str | None,
    engine: str,
    device: str,
    environment: Mapping[str, str],
) -> Workers:
    """Return the processes and shards. Log a shard that the environment names.

    Args:
        shard: the one shard that the user asks for. None: all, or the environment's.
        num_shards: number of shards, all of them asked for. None: one, or one for each device.
        devices: names of devices, as :func:`parse_devices` takes them. None: one process.
        engine: ``ray``, or anything else.
        device: name of a device, as :func:`resolve_device` takes it.
        environment: ``os.environ``, or a stand-in.

    Raises:
        ConfigError: a device does not exist, or as :func:`assign`.
    """
    # Several devices without a number of shards: one shard for each device.
    names = () if devices is None else tuple(parse_devices(devices))
    if num_shards is None and names:
        num_shards = len(names)
    shards, source = assign(shard=shard, count=num_shards, environment=environment)
    if source is not None:
        logger.info(f"shard {shards[0][0]}/{shards[0][1]}, as {source}")
    if names:
        return Workers(engine="devices", shards=tuple(shards), device=resolve_device(names[0]), devices=names)
    if engine == "ray":  # the GPUs may all be on other machines
        on_cluster = torch.device("cuda") if device == "cuda" else resolve_device(device)
        return Workers(engine="ray", shards=tuple(shards), device=on_cluster)
    return Workers(engine="here", shards=tuple(shards), device=_own_device(device, environment))


def extract_with(workers: Workers, request: ShardRequest, *, manifest: Manifest | None = None) -> Extracted:
    """Write the shards, after all of them were checked together.

    Args:
        workers: the processes that write, and their shards.
        request: the work.
        manifest: the manifest, where it was read already.

    Raises:
        FlaError: as :meth:`.request.ShardRequest.check`, :meth:`.request.ShardRequest.write`,
            :func:`extract_on_devices` and :func:`extract_on_ray`.
    """
    # With several processes everything is checked here first: one error instead of one from each process.
    if workers.engine == "here":
        return request.write(workers.shards, device=workers.device, manifest=manifest)
    if workers.device.type != "cuda" or torch.cuda.is_available():  # else each task checks its own shard
        request.check(workers.shards, device=workers.device, manifest=manifest)
    if workers.engine == "ray":
        return extract_on_ray(request, workers.shards, device=workers.device.type)
    return extract_on_devices(request, workers.shards, devices=workers.devices)


def _own_device(name: str, environment: Mapping[str, str]) -> torch.device:
    """Return the device; under torchrun ``auto`` is the GPU of this process."""
    # torchrun sets LOCAL_RANK. Without it all processes would share the first GPU.
    rank, count = environment.get("LOCAL_RANK", ""), torch.cuda.device_count()
    if name == "auto" and rank.isdigit() and count:
        return torch.device("cuda", int(rank) % count)
    return resolve_device(name)
