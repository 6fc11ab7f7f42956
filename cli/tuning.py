"""Options and settings of stage two, which ``fla tune`` and ``fla plan`` share."""

from typing import Any, get_args

import click

from ..configs import DIFFUSION_PRESETS, TUNE_PRESETS
from ..core.config import load_config
from ..diffusion.config import DiffusionConfig
from ..finetune.config import Quantise, Train, TuneConfig
from .options import with_seed

_OPTIONS = (
    click.option(
        "--batch-tokens", type=click.IntRange(min=1), metavar="N",
        help="Positions of the language model in a batch.",
    ),
    click.option(
        "--train", type=click.Choice(get_args(Train)), metavar="CHOICE", help=f"{', '.join(get_args(Train))}."
    ),
    click.option(
        "--quantise", type=click.Choice(get_args(Quantise)), metavar="CHOICE",
        help=f"{', '.join(get_args(Quantise))}.",
    ),
)  # fmt: skip


def tuning_options(command: Any) -> Any:
    """Add ``--batch-tokens``, ``--train`` and ``--quantise``, which go over the settings of these names."""
    # Decorators apply from the bottom up: reversed gives the order of the list in --help.
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def tune_config(
    source: str | None,
    overrides: tuple[str, ...],
    *,
    seed: int | None,
    batch_tokens: int | None,
    train: str | None,
    quantise: str | None,
) -> TuneConfig:
    """Return the settings of ``--config`` and ``--set``, on which the options have the last word."""
    given = {"training.batch_tokens": batch_tokens, "train": train, "quantise": quantise}
    # Options go over --set, as in every command.
    options = (f"{name}={value}" for name, value in given.items() if value is not None)
    return load_config(
        TuneConfig,
        base=TuneConfig(),
        presets=TUNE_PRESETS,
        source=source,
        overrides=with_seed((*overrides, *options), seed),
    )


def diffusion_config(
    source: str | None,
    overrides: tuple[str, ...],
    *,
    seed: int | None,
    batch_tokens: int | None,
    quantise: str | None,
) -> DiffusionConfig:
    """Return the settings of ``fla tune --decoder diffusion``, like :func:`tune_config`."""
    given = {"training.batch_tokens": batch_tokens, "quantise": quantise}
    options = (f"{name}={value}" for name, value in given.items() if value is not None)
    return load_config(
        DiffusionConfig,
        base=DiffusionConfig(),
        presets=DIFFUSION_PRESETS,
        source=source,
        overrides=with_seed((*overrides, *options), seed),
    )
