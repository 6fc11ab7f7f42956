"""``fla pretrain``: stage one."""

from dataclasses import asdict
from pathlib import Path

import click

from ..configs import PRETRAIN_PRESETS
from .options import (
    allow_config_change_option,
    config_options,
    device_option,
    dry_run_option,
    emit,
    json_option,
    limit_option,
    resume_option,
    root_option,
    seed_option,
    table,
    with_seed,
)


@click.command()
@click.option(
    "--manifest", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Made by fla prepare."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The run directory.")
@root_option
@resume_option
@allow_config_change_option
@config_options("training.epochs=3", preset="phoenix14t", presets=PRETRAIN_PRESETS)
@seed_option
@device_option
@limit_option
@dry_run_option
@json_option
def command(
    manifest: Path,
    out: Path,
    root: str | None,
    resume: bool,
    allow_config_change: bool,
    config_source: str | None,
    overrides: tuple[str, ...],
    seed: int | None,
    device: str,
    limit: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Stage one: train the encoder of videos or poses with a light translation model, on sentences."""
    from ..core.config import load_config
    from ..core.run import check_run_folder, is_first_process
    from ..corpora.manifest import read_manifest
    from ..pretrain.config import PretrainConfig

    config = load_config(
        PretrainConfig,
        base=PretrainConfig(),
        presets=PRETRAIN_PRESETS,
        source=config_source,
        overrides=with_seed(overrides, seed),
    )
    samples = read_manifest(manifest, root=Path(root) if root else None, limit=limit)
    if not dry_run and is_first_process():  # other processes may start after the first has written files
        check_run_folder(out, resume=resume)
    from ..pretrain.train import plan, pretrain  # loads torch, which takes seconds

    if dry_run:
        planned = asdict(plan(samples, config=config))
        emit(as_json, planned, table(planned))
        return
    result = pretrain(
        samples, config=config, out=out, resume=resume, device=device,
        allow_config_change=allow_config_change,
    )  # fmt: skip
    # The result is printed before the exit code tells of missing clips.
    emit(as_json, result.to_dict(), table(result.to_dict()))
    if result.unreadable:
        raise SystemExit(1)  # done, but clips were left out
