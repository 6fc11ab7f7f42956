"""``fla translate``: a video in, a sentence out."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from ..core.sample import DEFAULT_TASK, TASKS
from .options import FiniteRange, config_options, device_option, emit, json_option, llm_option, model_option

if TYPE_CHECKING:
    from ..pipeline.translate import Translation
    from ..video.segments import SegmentConfig

logger = logging.getLogger(__name__)


@click.command()
@click.argument("videos", nargs=-1, required=True, type=click.Path(path_type=Path))
@model_option
@click.option(
    "--run", type=click.Path(file_okay=False, path_type=Path), help="A stage-two run: the translator."
)
@click.option(
    "--ckpt",
    type=click.Path(path_type=Path),
    help="A stage-one run: the encoder. Or the weights that fla extract --encoder was given.",
)
@llm_option
@click.option(
    "--language", help="Language of the sentence, such as de; default: the one the run was tuned on."
)
@click.option(
    "--segment",
    type=click.Choice(["pauses", "windows"]),
    help="Divide long videos where the hands rest, or into windows of one length.",
)
@click.option(
    "--longest", type=FiniteRange(min=1), default=20.0, show_default=True, metavar="SECONDS",
    help="Length of a window, or the largest length between pauses.",
)  # fmt: skip
@click.option(
    "--overlap", type=FiniteRange(min=0), default=2.0, show_default=True, metavar="SECONDS",
    help="What neighbouring windows share.",
)  # fmt: skip
@click.option(
    "--pause", type=FiniteRange(min=0.05), default=0.5, show_default=True, metavar="SECONDS",
    help="Shortest rest that divides.",
)  # fmt: skip
@click.option(
    "--subtitles", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write one video's segments as .srt or .vtt too; --segment pauses if not given.",
)  # fmt: skip
@click.option(
    "--task", type=click.Choice(TASKS), default=DEFAULT_TASK, show_default=True, metavar="TASK",
    help="translate, recognise (glosses) or isolated (a single sign).",
)  # fmt: skip
@config_options("num_beams=1")
@device_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    videos: tuple[Path, ...],
    model: str | None,
    run: Path | None,
    ckpt: Path | None,
    llm: str | None,
    language: str | None,
    segment: Literal["pauses", "windows"] | None,
    longest: float,
    overlap: float,
    pause: float,
    subtitles: Path | None,
    task: str,
    config_source: str | None,
    overrides: tuple[str, ...],
    device: str,
    as_json: bool,
) -> None:
    """Translate VIDEOS, one line for each on standard output, in the order given.

    A video is a file, or a folder of frames (.png, .jpg). Any other folder stands for the videos and the
    folders of frames in it, in natural order. An encoder of poses takes pose files, or detects key points in
    a video. A video that cannot be translated gives an empty line, is named on standard error, and stops no
    other; exit code 1. --config and --set give decoding, such as --set num_beams=1.

    With --segment a video may be of any length. Each segment is a line: video, start and end in seconds, and
    sentence, with tabs between.
    """
    from ..pipeline.precheck import precheck_stage_two

    segments = _segments(segment, longest, overlap, pause, subtitles, videos)
    run, ckpt = _parts(model, run, ckpt)
    decoding = (config_source, overrides)
    precheck_stage_two(run, decoding=decoding, llm=llm, ckpt=ckpt)
    from ..pipeline.subtitles import write_subtitles
    from ..pipeline.translate import translate  # loads torch, which takes seconds
    from ..pipeline.translator import Translator

    translator = Translator(
        run, ckpt=ckpt, llm=llm, language=language, decoding=decoding, device=device,
        task=task,  # type: ignore[arg-type]  # click.Choice has made sure
    )  # fmt: skip
    done = translate(videos, translator=translator, segments=segments)
    faults = [each.fault for each in done if each.fault is not None]
    for fault in faults:
        logger.error(f"fla: {fault}")
    if subtitles is not None:
        write_subtitles(subtitles, [each.cue for each in done if each.start_seconds is not None])
    # JSON names each video, so rows of failed videos are left out there.
    rows = [each.to_dict() for each in done if each.fault is None]
    # An empty sentence for a fault: line n of the output belongs to video n, or to segment n.
    lines = [_on_one_line(each.text if segments is None else _with_times(each)) for each in done]
    emit(as_json, {"translations": rows, "faults": faults}, "\n".join(lines))
    ctx.exit(1 if faults else 0)


def _parts(model: str | None, run: Path | None, ckpt: Path | None) -> tuple[Path, Path | None]:
    """Return the folders of the run and of the encoder. None: the run holds or names its encoder."""
    from ..pipeline.precheck import check_run_parts, knows_encoder
    from ..pipeline.sharing import find_model

    if model is not None and run is None and ckpt is None:
        folder = find_model(model)
        # A folder without an encoder is refused by the check of the encoder, which names the file.
        return folder, None if knows_encoder(folder, check_run_parts(folder)) else folder
    if model is None and run is not None and (ckpt is not None or knows_encoder(run, check_run_parts(run))):
        return run, ckpt
    raise click.UsageError(
        "Give the translator by --model, or by --run and --ckpt.\n"
        "--model is a folder of fla export that holds the encoder. --run alone is enough where the features "
        "came from timm's or the hub's own weights, or are key points."
    )


def _segments(
    method: Literal["pauses", "windows"] | None,
    longest: float,
    overlap: float,
    pause: float,
    subtitles: Path | None,
    videos: tuple[Path, ...],
) -> "SegmentConfig | None":
    """Return the division into segments. None: a video is one clip."""
    from ..pipeline.subtitles import check_subtitles
    from ..video.segments import SegmentConfig

    if subtitles is not None:
        check_subtitles(subtitles)
        # A folder of videos has several, a folder of pictures has no times.
        if len(videos) != 1 or videos[0].is_dir():
            raise click.UsageError("--subtitles goes with one video file.")
        method = method or "pauses"
    if method is None:
        return None
    return SegmentConfig(method=method, longest_seconds=longest, overlap_seconds=overlap, pause_seconds=pause)


def _with_times(each: "Translation") -> str:
    """Return the line of a segment. A video that could not be divided has no times."""
    times = ["" if time is None else f"{time:.2f}" for time in (each.start_seconds, each.end_seconds)]
    # A tab inside a name or a sentence would be another column.
    parts = [str(each.video).replace("\t", "\\t"), *times, each.text.replace("\t", " ")]
    return "\t".join(parts)


def _on_one_line(text: str) -> str:
    r"""Return a sentence without line breaks: line n of the output belongs to video n.

    >>> _on_one_line("rain\r\nin the\u2028north\n")
    'rain in the north'
    """
    return " ".join(text.splitlines())
