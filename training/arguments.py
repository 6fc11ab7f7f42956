"""Conversion of our settings to transformers' ``TrainingArguments``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import TrainingArguments

from ..core.device import resolve_dtype
from ..core.errors import ConfigError
from ..core.seeds import derive_seed
from .config import TrainingConfig
from .model import TranslationModel
from .processes import is_distributed
from .tracking import check_tracker


def training_arguments(
    config: TrainingConfig, *, checkpoints: Path, seed: int, device: torch.device
) -> TrainingArguments:
    """Return the Trainer's arguments for a run.

    Logging, evaluation and saving are off here. :class:`.evaluation_schedule.EvaluationSchedule` decides when
    they happen, and :mod:`.selection` selects the best checkpoint.

    Raises:
        ConfigError: the precision is fp16 on a CPU, or the package of the tracker is not installed.
    """
    check_tracker(config.report_to)
    dtype = resolve_dtype(config.precision, device)
    on_cpu = device.type == "cpu"
    # fp16 needs loss scaling, which the Trainer does not do on a CPU.
    if on_cpu and dtype == torch.float16:
        raise ConfigError("training.precision must be auto, bf16 or fp32 on the CPU, but is fp16.")
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=1,  # an item of our dataset is a whole batch
        gradient_accumulation_steps=config.accumulate,
        learning_rate=config.learning_rate,
        lr_scheduler_type="constant_with_warmup" if config.schedule == "constant" else config.schedule,
        warmup_steps=config.warmup_share,  # transformers reads a value below 1 as a share
        max_grad_norm=config.max_grad_norm,
        bf16=dtype == torch.bfloat16,
        fp16=dtype == torch.float16,
        seed=derive_seed(seed, "training") % 2**32,  # numpy takes 32 bits
        use_cpu=on_cpu,
        ddp_backend="gloo" if on_cpu and is_distributed() else None,
        ddp_find_unused_parameters=False,  # every parameter takes part in every batch
        dataloader_num_workers=config.workers,
        dataloader_persistent_workers=config.workers
        > 0,  # starting them again would cost time in every epoch
        dataloader_pin_memory=device.type == "cuda",
        # A copy from pinned memory runs while the GPU computes the batch before.
        accelerator_config={"non_blocking": device.type == "cuda"},
        remove_unused_columns=False,  # our batches are no columns of a table
        save_strategy="no",
        report_to=config.report_to,
        run_name=checkpoints.parent.name,
        project="fla",  # Trackio's; W&B takes WANDB_PROJECT
        disable_tqdm=True,
        logging_nan_inf_filter=False,  # the filter waits for the device at every step
    )
    # Of several processes on a CPU each gets a "cpu:0", to which torch 2.11 restores no checkpoint.
    if on_cpu or not is_distributed():
        _pin(arguments, device)
    return arguments


def _pin(arguments: TrainingArguments, device: torch.device) -> None:
    """Restrict the Trainer to ``device``."""
    # By default the Trainer takes the first GPU, and wraps the model in DataParallel where there are several.
    if device.type == "cuda":
        device = torch.device("cuda", device.index or 0)
        torch.cuda.set_device(device)
    arguments.__dict__["_setup_devices"] = device  # the value of a cached property
    arguments._n_gpu = min(arguments._n_gpu, 1)
    if arguments.distributed_state is not None:
        arguments.distributed_state.device = device


@contextmanager
def without_config(model: TranslationModel) -> Iterator[None]:
    """Hide the settings of a model from the Trainer."""
    # The Trainer treats any model.config as a configuration of transformers, and writes into it.
    config = vars(model).pop("config", None)
    try:
        yield
    finally:
        if config is not None:
            model.config = config
