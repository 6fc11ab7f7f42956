"""Memory check before ``fla tune``: refuse a run larger than the free memory of the GPU."""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from ..core.device import resolve_device, resolve_dtype
from ..core.errors import ModelError
from ..finetune.config import TuneConfig
from ..finetune.opening import open_clips
from ..training.processes import local_device
from .layer_stack import UnmeasurableError
from .memory import CONTEXT_BYTES, GB
from .model_shapes import read_config
from .remedies import plan_memory
from .run_spec import run_on_clips

logger = logging.getLogger(__name__)


def check_fits(
    features: Sequence[Path], *, llm: str, config: TuneConfig, device: str, limit: int | None = None
) -> None:
    """Refuse a run larger than the free memory of a CUDA device. Other devices are not checked.

    The arguments are those of :func:`fla_llm.finetune.train.tune`.

    Raises:
        ModelError: the run does not fit. The error names settings to change.
    """
    local = local_device(resolve_device(device))
    if local.type != "cuda":
        return
    train, dev = open_clips(features, config=config, limit=limit)
    dtype = resolve_dtype(config.training.precision, local)
    run = run_on_clips(train, dev, llm=llm, config=read_config(llm), tune=config, dtype=dtype)
    try:  # the context of this process no longer counts as free
        plan = plan_memory(run, room=free_bytes(local) + CONTEXT_BYTES)
    except UnmeasurableError as error:
        logger.warning(f"Not checked whether the run fits. {error}")
        return
    if not plan.fits:
        raise ModelError(
            f"The run must fit into {plan.room / GB:.1f} GB, but takes an estimated {plan.bytes / GB:.1f} GB."
            + "".join(f"\n{line}" for line in plan.remedies)
        )


def free_bytes(device: torch.device) -> int:
    """Return the free bytes of a GPU."""
    return torch.cuda.mem_get_info(device)[0]
