"""``fla demo``: the whole pipeline on a small generated sign language."""

from pathlib import Path

import click

from .options import config_options, device_option, dry_run_option, emit, json_option, seed_option, with_seed


@click.command()
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path),
    help="Where everything is written; must be empty.  [default: runs/demo, or runs/demo-tiny]",
)  # fmt: skip
@click.option(
    "--tiny", is_flag=True, help="A first look, under two minutes. The scores are those of a trial."
)
@config_options("tune.training.epochs=3")
@seed_option
@device_option
@dry_run_option
@json_option
def command(
    out: Path | None,
    tiny: bool,
    config_source: str | None,
    overrides: tuple[str, ...],
    seed: int | None,
    device: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Generate a sign language, then prepare, pretrain, extract, tune, evaluate and translate.

    Needs no GPU, downloads nothing, and takes about nine minutes on two idle cores. Ends with the scores and
    the places of all results. The same figures are in OUT/summary.json.
    """
    from ..core.config import config_to_dict
    from ..core.run import check_new_folder

    # A first look must not stand in the way of the whole demo.
    out = out or Path("runs/demo-tiny" if tiny else "runs/demo")
    # A dry run writes nothing, so the folder may hold files.
    if not dry_run:
        check_new_folder(out)
    from ..demo.config import load_demo_config

    config = load_demo_config(config_source, with_seed(overrides, seed), is_tiny=tiny)
    from ..demo.run import describe_plan, run_demo  # loads torch, which takes seconds

    if dry_run:
        emit(as_json, config_to_dict(config), describe_plan(config, out))
        return
    summary = run_demo(out, config=config, device=device, is_trial=tiny)
    emit(as_json, {"out": str(out), **summary.figures}, summary.text)
