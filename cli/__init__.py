"""The command ``fla``. Each command is a thin module with imports of other rooms inside the function.

So ``--help`` of every command prints without loading torch.
"""

import errno
import importlib
import logging
import os
import sys
from typing import NoReturn

import click

from .. import __version__
from ..core.errors import FlaError, did_you_mean
from ..core.logs import configure_logging, is_quiet
from ..core.signals import interrupted_by_signals
from ..core.streams import prepare_streams, print_line
from ..core.text import printable

COMMANDS = {
    "prepare": "a corpus's release -> manifest.jsonl",
    "shrink": "small copies of a manifest's videos, faster to read in every epoch",
    "poses": "a detector writes the key points of each video of a manifest",
    "pretrain": "stage one: manifest -> visual encoder",
    "extract": "frozen encoder, run once over every video -> feature cache",
    "describe": "a multimodal language model says what the signer does in each frame",
    "map": "features of descriptions, predicted from features of pictures",
    "quantise": "a language model -> its 4-bit copy, for tune --llm",
    "plan": "does a stage fit your GPU, what to change if not, and how many hours",
    "tune": "stage two: feature cache + LLM -> translation model",
    "convert": "a published checkpoint of Uni-Sign -> a run",
    "evaluate": "score a run of either stage on a split",
    "translate": "a video -> a sentence",
    "export": "a tuned run -> a model to use elsewhere, merged if wanted",
    "push": "a model folder -> the Hugging Face hub",
    "app": "a web page that translates videos",
    "report": "runs -> one HTML page: scores, curves, frames, sentences, settings",
    "score": "score a file of hypotheses, or compare two",
    "cache": "look into a feature cache; verify, export or import one",
    "config": "presets and settings: list, show or copy them",
    "doctor": "check this machine for everything the commands need",
    "demo": "the whole pipeline on a small generated sign language",
}


USER_ERRORS: dict[int, str] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS), ""),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP), "\nGive another path."),
    errno.ENAMETOOLONG: "\nGive a shorter name.",
}
"""Correctable errors of the operating system -> remedy."""


class Commands(click.Group):
    """Group of commands. A command is imported on the first call."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the pipeline."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        # One command is imported, not all: --help stays quick.
        return importlib.import_module(f"{__name__}.{cmd_name}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or name the nearest one in the error."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            error.message += did_you_mean(args[0], list(COMMANDS))  # type: ignore[misc]  # as in invoke()
            raise

    def invoke(self, ctx: click.Context) -> object:
        """Run a command. Control characters in click's error messages are escaped."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            error.message = printable(error.message)  # type: ignore[misc]  # Final, but what show() prints
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without an import."""
        with formatter.section("Commands"):
            # click would import every command to read the first line of the help.
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fla")
@click.option("--verbose", "level", flag_value=logging.DEBUG, type=int, help="Show also debug messages.")
@click.option("--quiet", "level", flag_value=logging.WARNING, type=int, help="Show warnings and errors only.")
def fla(level: int | None) -> None:
    """Translate sign language videos into sentences, without glosses.

    --verbose and --quiet stand before the command: fla --quiet tune ...

    Exit codes: 0 done. 1 done but with listed faults, or input refused. 2 wrong command line.
    """
    configure_logging(logging.INFO if level is None else level)
    if is_quiet():  # the bars of transformers and of the hub too
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"


def main() -> None:
    """Run ``fla``.

    A :class:`FlaError` becomes a sentence on standard error and exit code 1. SIGTERM gives exit code 143,
    SIGINT 130.
    """
    prepare_streams()
    # Nothing is fetched or reported unless asked: see docs/offline.md.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # bitsandbytes asks for a package whose operation we switch off (docs/tune.md), and tells of int8 casts.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # transformers lists all layers of a model as "not sharded" where nothing is to be sharded.
    logging.getLogger("transformers.distributed.tensor_parallel").setLevel(logging.ERROR)
    if not sys.stderr.isatty():  # transformers' and the hub's bars redraw their line, which a log cannot
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        with interrupted_by_signals():  # any command ends with 130 or 143, and puts its files in order first
            fla(standalone_mode=True)
    except FlaError as error:
        _end(str(error))
    except OSError as error:
        # Any other error of the system is a fault of this code, and keeps the traceback.
        if error.errno not in USER_ERRORS:
            raise
        _end(f"{error.filename or 'writing'}: {error.strerror}.{USER_ERRORS[error.errno]}")


def _end(message: str) -> NoReturn:
    print_line(f"fla: {printable(message)}")
    sys.exit(1)
