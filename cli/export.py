"""``fla export``: a stage-two run as a model to use elsewhere."""

from pathlib import Path
from typing import Any

import click

from ..core.sample import SPLITS
from .options import device_option, emit, json_option, limit_option


@click.command()
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new or empty folder.")
@click.option(
    "--merge", is_flag=True, help="Add the adapters into the unquantised base model, and write that whole."
)
@click.option(
    "--precision", type=click.Choice(["auto", "bf16", "fp16", "fp32"]), default="auto", show_default=True,
    help="Of a merged model; auto: as the run was tuned.",
)  # fmt: skip
@click.option(
    "--llm", metavar="ID|DIR", help="Where the base model lies now; with --merge the unquantised one."
)
@click.option(
    "--ckpt", type=click.Path(path_type=Path),
    help="A stage-one run: put its encoder into OUT. Or the weights that fla extract --encoder was given.",
)  # fmt: skip
@click.option("--with-llm", is_flag=True, help="Put the base model into OUT too; --merge does so anyway.")
@click.option(
    "--features", type=click.Path(file_okay=False, path_type=Path), help="A cache to score the export on."
)
@click.option("--split", type=click.Choice(SPLITS), default="test", show_default=True, help="Of --features.")
@device_option
@limit_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    run: Path,
    out: Path,
    merge: bool,
    precision: Any,
    llm: str | None,
    ckpt: Path | None,
    with_llm: bool,
    features: Path | None,
    split: Any,
    device: str,
    limit: int | None,
    as_json: bool,
) -> None:
    """Write RUN, of stage two, without its checkpoints, as a model to use elsewhere.

    OUT works in place of RUN in fla evaluate and fla translate. With --ckpt, and --with-llm or --merge, OUT
    is all that fla translate --model needs, on any machine. OUT has a model card, README.md, in which the
    licence is left for you to fill in. Scores made with --features are those of OUT, and stand in the card.
    Exit code 1: clips of --features are missing; they are named, and the others are scored.
    """
    from ..core.run import check_new_folder
    from ..encoder.folder import check_encoder, is_encoder
    from ..pipeline.precheck import check_features, check_run_parts, needs_weights

    # Refuse before torch is loaded and a model is merged for minutes.
    described = check_run_parts(run)
    check_new_folder(out)
    if ckpt is not None and (is_encoder(ckpt) or not needs_weights(described)):
        check_encoder(ckpt)
    if features is not None:
        check_features([features], split)
    from ..pipeline.evaluation import Request  # loads torch, which takes seconds
    from ..pipeline.export import export

    request = Request(split=split, device=device, limit=limit)
    done = export(
        run, out, merge=merge, precision=precision, llm=llm, ckpt=ckpt, with_llm=with_llm, features=features,
        request=request,
    )  # fmt: skip
    emit(as_json, done.to_dict(), done.describe())
    context.exit(int(done.evaluation is not None and bool(done.evaluation.coverage.missing)))
