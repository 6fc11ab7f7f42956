"""Web page of ``fla app``, by Gradio: a video goes in, the translation and what led to it come out."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from ..core.files import read_text
from .live import BYTES_PER_MEGABYTE, LiveTranslator
from .page import TEMPLATES, render

MINUTE = 60
"""Seconds between two looks for files of visitors who left, and the age of such files."""


def import_gradio() -> Any:
    """Return the package ``gradio``, which sends nothing home.

    Raises:
        ConfigError: the package is not installed.
    """
    # Read when gradio is imported.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        return import_module("gradio")
    except ImportError as error:
        raise ConfigError(
            f"fla app must have the package gradio, but gradio cannot be imported: {error}.\n"
            "Run: pip install 'fla-llm[app]'"
        ) from error


@contextmanager
def serve(
    live: LiveTranslator, *, report: Path | None = None, host: str = "127.0.0.1", port: int | None = None
) -> Iterator[str]:
    """Serve the page in the background, and yield its address.

    Uploads lie in a folder of their own: a file is removed after its translation, the folder at the end.

    Args:
        live: the models, and the limits of a video.
        report: a page of ``fla report``, for a second tab.
        host: address to listen on. Only the default keeps other machines out.
        port: port to listen on. None: the first free port from 7860 on.

    Raises:
        ConfigError: gradio is not installed, or the port is taken.
        DataError: ``report`` cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="fla-app-") as uploads:
        # Read when gradio is imported and when a file arrives.
        os.environ["GRADIO_TEMP_DIR"] = uploads
        gradio = import_gradio()
        page = build(gradio, live, report=report, uploads=Path(uploads))
        # Fonts by name: those of gradio's themes are fetched from another server.
        theme = gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
        try:
            _, address, _ = page.launch(
                server_name=host, server_port=port, share=False, prevent_thread_lock=True, quiet=True,
                ssr_mode=False, inbrowser=False, show_error=False, theme=theme,
                css=(TEMPLATES / "web.css").read_text(encoding="utf-8"),
                max_file_size=live.limits.megabytes * BYTES_PER_MEGABYTE, allowed_paths=[], footer_links=[],
            )  # fmt: skip
        except OSError as error:  # gradio's own text names the ports that it tried
            raise ConfigError(f"The page cannot be served on {host}: {error}") from error
        try:
            yield address
        finally:
            page.close(verbose=False)


def build(gradio: Any, live: LiveTranslator, *, report: Path | None, uploads: Path) -> Any:
    """Return the page as ``gradio.Blocks``.

    Args:
        gradio: the package.
        live: the models.
        report: a page of ``fla report``, or None.
        uploads: folder of uploaded files. No other file is read, whatever a request names.
    """
    names = list(live.models)

    def translate(video: str | None, model: str) -> str:
        path = None if video is None else Path(video)
        try:
            return live.page(path, model=model)
        finally:
            # Files outside the folder of uploads are nobody's upload, and stay.
            if path is not None and path.resolve().is_relative_to(uploads.resolve()):
                path.unlink(missing_ok=True)

    with gradio.Blocks(
        title="fla", analytics_enabled=False, delete_cache=(MINUTE, 10 * MINUTE), fill_width=True
    ) as page:
        with gradio.Tab("Translate"), gradio.Row():
            with gradio.Column(scale=1):
                # Without an audio track ffmpeg would be called, and a mirrored recording swaps the hands.
                video = gradio.Video(
                    sources=["upload", "webcam"], label="Video of a signer", elem_id="fla-video",
                    webcam_options=gradio.WebcamOptions(mirror=False), buttons=[],
                )  # fmt: skip
                model = gradio.Dropdown(names, value=names[0], label="Model", elem_id="fla-model")
                button = gradio.Button("Translate", variant="primary", elem_id="fla-translate")
            with gradio.Column(scale=2):
                answer = gradio.HTML(elem_id="fla-answer")
        if report is not None:
            with gradio.Tab("Report"):
                gradio.HTML(_framed(report), elem_id="fla-report")
        # One video at a time: one model is loaded, and one set of cores computes.
        button.click(
            translate, [video, model], answer, api_visibility="private", concurrency_limit=1
        )  # fmt: skip
    return page


def _framed(report: Path) -> str:
    """Return a page of ``fla report`` in a frame where no script runs and nothing is loaded."""
    return render({"page": read_text(report)}, template="framed.html")
