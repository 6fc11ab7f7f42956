"""``fla quantise``: a language model's 4-bit copy."""

from pathlib import Path
from typing import Any

import click

from .options import device_option, emit, json_option, table


@click.command()
@click.option("--llm", required=True, metavar="ID|DIR", help="A Hugging Face id, or a model's directory.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A folder for the copy.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "bf16", "fp16", "fp32"]),
    default="auto",
    show_default=True,
    help="Of what is not quantised.",
)
@device_option
@json_option
def command(llm: str, out: Path, precision: Any, device: str, as_json: bool) -> None:
    """Save a language model in 4 bits (NF4). fla tune --llm loads the copy unchanged."""
    from ..core.hub import find_source
    from ..core.run import check_new_folder

    check_new_folder(out)
    # Both checks come before torch is loaded: a refusal takes no seconds.
    find_source(llm)
    from ..llm.quantised_copy import quantise_llm  # loads torch, which takes seconds

    made = quantise_llm(llm, out, precision=precision, device=device).to_dict()
    emit(as_json, made, table(made))
