"""``fla app``: a web page that translates videos."""

import logging
import signal
from pathlib import Path

import click

from .options import FiniteRange, device_option, emit, llm_option

logger = logging.getLogger(__name__)


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="A page of fla report, for a second tab.",
)  # fmt: skip
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on: this machine alone."
)
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: from 7860 on]")
@click.option(
    "--n-best", type=click.IntRange(1, 10), default=3, show_default=True, metavar="N",
    help="Sentences to show, at most the beams of the model.",
)  # fmt: skip
@click.option(
    "--max-seconds", type=FiniteRange(min=1), default=60.0, show_default=True, metavar="SECONDS",
    help="Longest video.",
)  # fmt: skip
@click.option(
    "--max-megabytes", type=click.IntRange(min=1), default=200, show_default=True, metavar="MB",
    help="Largest file.",
)  # fmt: skip
@click.option(
    "--ckpt", type=click.Path(path_type=Path),
    help="The encoder of a MODEL that does not hold it, as for fla translate.",
)  # fmt: skip
@llm_option
@click.option("--language", help="Language of the sentences; default: the one the model was tuned on.")
@device_option
def command(
    models: tuple[str, ...],
    report: Path | None,
    host: str,
    port: int | None,
    n_best: int,
    max_seconds: float,
    max_megabytes: int,
    ckpt: Path | None,
    llm: str | None,
    language: str | None,
    device: str,
) -> None:
    """Serve a page that translates videos with MODEL, a folder of fla export, here or on the hub.

    The page takes a file or a recording, and shows the frames that the encoder sees, the translation with
    alternatives, attention over time and the time taken. Several models are a choice on the page. A MODEL may
    also be a folder of model folders. Only this machine reaches the page, and a video is removed after its
    translation. Needs: pip install 'fla-llm[app]'. Ctrl-C ends it.
    """
    from ..app.web import import_gradio

    import_gradio()
    from ..app.live import Limits, LiveTranslator, find_models  # loads torch, which takes seconds
    from ..app.web import serve

    live = LiveTranslator(
        models=find_models(list(models)), candidates=n_best,
        limits=Limits(megabytes=max_megabytes, seconds=max_seconds),
        settings={"ckpt": ckpt, "llm": llm, "language": language, "device": device},
    )  # fmt: skip
    # A model that cannot be loaded is an error of the command, and not of the first visitor.
    live.load(next(iter(live.models)))
    if host not in ("127.0.0.1", "localhost", "::1"):
        logger.warning(f"Everyone who reaches {host} can use this page and its models.")
    with serve(live, report=report, host=host, port=port) as address:
        emit(False, {}, address)
        signal.pause()
