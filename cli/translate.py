"""``fla translate``: a video in, a sentence out."""

import logging
from pathlib import Path

import click

from .options import config_options, device_option, emit, json_option, llm_option

logger = logging.getLogger(__name__)


@click.command()
@click.argument("videos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--model",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder of fla export --ckpt: encoder and translator.",
)
@click.option(
    "--run", type=click.Path(file_okay=False, path_type=Path), help="A stage-two run: the translator."
)
@click.option(
    "--ckpt",
    type=click.Path(file_okay=False, path_type=Path),
    help="A stage-one run: the encoder. Not needed for key points of --encoder poses.",
)
@llm_option
@click.option(
    "--language", help="Language of the sentence, such as de; default: the one the run was tuned on."
)
@config_options("num_beams=1")
@device_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    videos: tuple[Path, ...],
    model: Path | None,
    run: Path | None,
    ckpt: Path | None,
    llm: str | None,
    language: str | None,
    config_source: str | None,
    overrides: tuple[str, ...],
    device: str,
    as_json: bool,
) -> None:
    """Translate VIDEOS, one line for each on standard output, in the order given.

    A video is a file, or a folder of frames (.png, .jpg). Any other folder stands for the videos and the
    folders of frames in it, in natural order. For an encoder of poses a video is a pose file. A video that
    cannot be translated gives an empty line, is named on standard error, and stops no other; exit code 1.
    --config and --set give decoding, such as --set num_beams=1.
    """
    from ..pipeline.precheck import precheck_stage_two

    run, ckpt = _parts(model, run, ckpt)
    decoding = (config_source, overrides)
    precheck_stage_two(run, decoding=decoding, llm=llm, ckpt=ckpt)
    from ..pipeline.translate import translate  # loads torch, which takes seconds
    from ..pipeline.translator import Translator

    translator = Translator(
        run, ckpt=ckpt, llm=llm, language=language, decoding=decoding, device=device
    )  # fmt: skip
    done = translate(videos, translator=translator)
    faults = [each.fault for each in done if each.fault is not None]
    for fault in faults:
        logger.error(f"fla: {fault}")
    # JSON names each video, so rows of failed videos are left out there.
    rows = [{"video": str(each.video), "translation": each.text} for each in done if each.fault is None]
    # An empty line for a fault: line n of the output belongs to video n.
    lines = [_on_one_line(each.text) for each in done]
    emit(as_json, {"translations": rows, "faults": faults}, "\n".join(lines))
    ctx.exit(1 if faults else 0)


def _parts(model: Path | None, run: Path | None, ckpt: Path | None) -> tuple[Path, Path | None]:
    """Return the folders of the run and of the encoder. None: the run says how features are made."""
    from ..finetune.run_files import check_parts, reads_key_points

    if model is not None and run is None and ckpt is None:
        return model, None if reads_key_points(check_parts(model)) else model
    if model is None and run is not None and (ckpt is not None or reads_key_points(check_parts(run))):
        return run, ckpt
    raise click.UsageError(
        "Give the translator by --model, or by --run and --ckpt.\n"
        "--model is a folder that fla export --ckpt has written."
    )


def _on_one_line(text: str) -> str:
    r"""Return a sentence without line breaks: line n of the output belongs to video n.

    >>> _on_one_line("rain\r\nin the\u2028north\n")
    'rain in the north'
    """
    return " ".join(text.splitlines())
