"""``--engine ray``: shards as Ray tasks, on this machine or on a cluster.

Only paths and settings are sent. Every task reads the manifest, the encoder and the videos, and writes its
shard, on the machine where the task runs. The paths must be the same on all machines.
"""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..core.errors import CacheError, ModelError
from ..core.logs import call_with_logging, console_level
from .request import ShardRequest, write_shards
from .result import Extracted, merged
from .shards import Shard

logger = logging.getLogger(__name__)

LOCAL = {"include_dashboard": False, "_system_config": {"worker_niceness": 0}}
"""Arguments to start a local Ray. The niceness replaces Ray's 15, because nothing else runs there."""


def extract_on_ray(request: ShardRequest, shards: Sequence[Shard], *, device: str) -> Extracted:
    """Write each shard in a Ray task, on the cluster at ``RAY_ADDRESS`` or on a local Ray.

    A task uses one GPU if ``device`` is ``cuda``, and its part of the CPUs. When a task fails, the other
    tasks finish.

    Args:
        request: the work.
        shards: (i, n) of each shard.
        device: ``cpu``, ``cuda`` or ``mps``.

    Raises:
        ModelError: Ray is not installed.
        FlaError: the first error of a task, after the other tasks have finished.
        CacheError: a task was lost with its process or machine.
    """
    ray, begin = _import_ray(), time.monotonic()
    with _cluster(ray):
        # Ray schedules as many tasks as these numbers allow at a time.
        cpus, gpus = _share(ray.cluster_resources(), tasks=len(shards), on_gpu=device == "cuda")
        task = ray.remote(num_cpus=cpus, num_gpus=gpus)(call_with_logging)
        # Tasks run in other folders, and divide the cores of a machine.
        own = request.absolute().sharing_cores(max(1, (os.cpu_count() or 1) // cpus))
        pending = {
            task.remote(
                console_level(),
                write_shards,
                own,
                (shard,),
                device=device,
                threads=cpus if device == "cpu" else None,
            ): shard
            for shard in shards
        }
        results = _collect(ray, pending)
    return merged([results[shard] for shard in shards], seconds=time.monotonic() - begin)


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported unless asked
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # lines alike but for their numbers are progress
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ModelError(
            "--engine ray needs the package ray, which is not installed.\nRun: pip install 'fla-llm[ray]'"
        ) from error
    return ray


@contextmanager
def _cluster(ray: Any) -> Iterator[None]:
    """Connect to the cluster of this process, to ``RAY_ADDRESS``, or to a local Ray."""
    if ray.is_initialized():
        yield
        return
    # Without "local" Ray would connect to any cluster that it finds on this machine.
    address = os.environ.get("RAY_ADDRESS") or "local"
    ray.init(address=address, logging_level="ERROR", **(LOCAL if address == "local" else {}))
    try:
        yield
    finally:
        ray.shutdown()


def _share(resources: dict[str, float], *, tasks: int, on_gpu: bool) -> tuple[int, int]:
    """Return the CPUs and GPUs of a task. Parallel tasks divide the CPUs."""
    at_a_time = min(tasks, int(resources.get("GPU", 1)) if on_gpu else tasks)
    return max(1, int(resources.get("CPU", 1)) // max(1, at_a_time)), int(on_gpu)


def _collect(ray: Any, pending: dict[Any, Shard]) -> dict[Shard, Extracted]:
    """Wait for every task, then raise the first failure."""
    results: dict[Shard, Extracted] = {}
    failure: BaseException | None = None
    while pending:
        (done,), _ = ray.wait(list(pending), num_returns=1)
        shard = pending.pop(done)
        name = f"shard {shard[0]}/{shard[1]}"
        try:
            results[shard] = ray.get(done)
        except ray.exceptions.RayTaskError as error:
            logger.warning(f"{name}: {error.cause}")
            failure = failure or error.cause
        except ray.exceptions.RayError as error:  # the task's process or machine is gone
            lost = CacheError(
                f"The Ray task of {name} must live to its end, but was lost: {str(error).strip()}\n"
                "Run the same command again; what is done is kept."
            )
            logger.warning(str(lost))
            failure = failure or lost
        else:
            logger.info(f"{name} is done, {len(pending)} to go")
    if failure is not None:
        raise failure
    return results
