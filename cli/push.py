"""``fla push``: a model folder on the Hugging Face hub."""

from pathlib import Path

import click

from .options import emit, json_option


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.argument("repo", metavar="USER/NAME")
@click.option("--public", is_flag=True, help="Make a new repository public; without it, private.")
@click.option("--message", metavar="TEXT", help="Message of the commit.")
@json_option
def command(folder: Path, repo: str, public: bool, message: str | None, as_json: bool) -> None:
    """Send DIR, a folder of fla export, to the Hugging Face hub as USER/NAME.

    Only weights, settings, tokenizers and the model card are sent; other files are named and stay here. Needs
    a login: hf auth login. Whoever may read the repository translates by fla translate --model USER/NAME.
    """
    from ..pipeline.sharing import push

    result = push(folder, repo, private=not public, message=message)
    emit(as_json, result.to_dict(), result.describe())
