"""``fla translate``: a video in, a sentence out."""

from pathlib import Path

import click

from .options import config_options, device_option, emit, json_option, llm_option


@click.command()
@click.argument("videos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--run",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="A stage-two run: the translator.",
)
@click.option(
    "--ckpt",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="A stage-one run: the encoder.",
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
    run: Path,
    ckpt: Path,
    llm: str | None,
    language: str | None,
    config_source: str | None,
    overrides: tuple[str, ...],
    device: str,
    as_json: bool,
) -> None:
    """Translate VIDEOS (files, or folders of frames), one line for each on standard output.

    A video that cannot be read is named on standard error and does not stop the others; exit code 1.
    --config and --set give decoding, such as --set num_beams=1.
    """
    from ..core.progress import say
    from ..pipeline.translate import translate

    done = translate(
        videos,
        run=run,
        ckpt=ckpt,
        llm=llm,
        language=language,
        decoding=(config_source, overrides),
        device=device,
    )
    for fault in done.faults:
        say(f"fla: {fault}")
    rows = [{"video": str(video), "translation": text} for video, text in done.translations]
    if as_json or rows:  # of no readable video there is nothing to print, not even an empty line
        text = "\n".join(text for _, text in done.translations)
        emit(as_json, {"translations": rows, "faults": list(done.faults)}, text)
    ctx.exit(1 if done.faults else 0)
