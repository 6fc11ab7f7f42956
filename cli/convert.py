"""``fla convert``: a published checkpoint as a run."""

from pathlib import Path

import click

from .options import emit, json_option, table


@click.command()
@click.argument("checkpoint", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--llm", required=True, metavar="ID|DIR", help="mT5-base: config and tokenizer.")
@click.option("--language", required=True, help="Language of the sentences, such as zh.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new or empty folder.")
@json_option
def command(checkpoint: Path, llm: str, language: str, out: Path, as_json: bool) -> None:
    """Write CHECKPOINT, a .pth file of Uni-Sign, as a run of stage two.

    The run reads the key points of fla extract --encoder poses, in fla evaluate and fla translate, and begins
    another run in fla tune --init. No code in the file is run. The weights of the branch of pictures are left
    out, with a warning.
    """
    from ..core.hub import find_source
    from ..core.run import check_new_folder

    # Refuse before torch is loaded and gigabytes are read.
    check_new_folder(out)
    find_source(llm)
    from ..pipeline.convert import convert_uni_sign

    converted = convert_uni_sign(checkpoint, llm=llm, language=language, out=out)
    content = converted.to_dict()
    shown = content | {"left_out": f"{len(converted.left_out)} tensors"}
    emit(as_json, content, table(shown))
