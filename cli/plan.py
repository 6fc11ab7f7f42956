"""``fla plan``: memory, remedies and hours of a stage."""

from pathlib import Path
from typing import Any

import click

from ..configs import PRETRAIN_PRESETS, TUNE_PRESETS
from .options import (
    FiniteRange,
    config_options,
    device_option,
    emit,
    json_option,
    limit_option,
    seed_option,
    with_seed,
)
from .tuning import tune_config, tuning_options

STAGES = ("pretrain", "extract", "tune")
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--stage", type=click.Choice(STAGES), default="tune", show_default=True, metavar="STAGE",
    help=f"{', '.join(STAGES)}.",
)  # fmt: skip
@click.option("--llm", metavar="ID|DIR|FILE", help="For tune: an id, a directory, or a config.json.")
@click.option(
    "--features", multiple=True, metavar="DIR", type=click.Path(path_type=Path),
    help="For tune: caches, for their lengths.  [default: PHOENIX14T's longest clips]",
)  # fmt: skip
@click.option("--manifest", type=_FILE, help="For pretrain and extract: made by fla prepare.")
@click.option("--vram", type=FiniteRange(min=0, min_open=True), metavar="GB", help="The GPU's memory.")
@click.option("--gpu", metavar="NAME", help="The GPU for hours, such as 'RTX 3090'.  [default: --device]")
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Feature steps of the longest clip.")
@click.option("--words", type=click.IntRange(min=1), metavar="N", help="Words of the longest sentence.")
@click.option("--probe", is_flag=True, help="For tune: measure one real step on the GPU too.")
@tuning_options
@config_options("lora.rank=8", preset="phoenix14t-qwen", presets=TUNE_PRESETS)
@seed_option
@device_option
@limit_option
@json_option
@click.pass_context
def command(
    context: click.Context, stage: str, llm: str | None, features: tuple[Path, ...], manifest: Path | None,
    vram: float | None, gpu: str | None, steps: int | None, words: int | None, probe: bool,
    batch_tokens: int | None, train: str | None, quantise: str | None, config_source: str | None,
    overrides: tuple[str, ...], seed: int | None, device: str, limit: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Estimate memory and hours of a stage, part by part, before anything is loaded.

    Reads shapes only, no weights. Settings are those of the stage; extract takes stage one's, for its
    encoder. Exit code 1: the stage does not fit; what to change is listed.
    """
    tuning = {"batch_tokens": batch_tokens, "train": train, "quantise": quantise}
    asked = {"llm": llm, "features": features, "steps": steps, "words": words, "probe": probe, **tuning}
    _check_options(stage, asked, manifest=manifest, limit=limit)
    from ..planning.hours import check_card

    card = None if gpu is None else check_card(gpu)
    if stage == "tune":
        config = tune_config(config_source, overrides, seed=seed, **tuning)
        _check_inputs(llm or "", features)
        from ..planning.tune_plan import Lengths, plan_tune  # loads torch, which takes seconds

        lengths = Lengths(features=features, steps=steps, words=words)
        report = plan_tune(
            llm or "", config=config, lengths=lengths, vram_gb=vram, device=device, card=card, probe=probe
        )
    else:
        from ..corpora.manifest import read_manifest

        settings = _pretrain_config(config_source, with_seed(overrides, seed))
        samples = read_manifest(manifest or Path(), limit=limit)
        from ..planning.video_plan import plan_video  # loads torch, which takes seconds

        report = plan_video(stage, samples, config=settings, vram_gb=vram, device=device, card=card)
    emit(as_json, report.to_dict(), report.describe())
    context.exit(int(not report.fits))


def _check_options(stage: str, asked: dict[str, Any], *, manifest: Path | None, limit: int | None) -> None:
    """Refuse options of another stage, and a stage without input."""
    if stage == "tune":
        if asked["llm"] is None:
            raise click.UsageError("Missing option '--llm'.")
        if manifest is not None or limit is not None:
            raise click.UsageError("--manifest and --limit are for --stage pretrain and extract.")
        if asked["features"] and (asked["steps"] or asked["words"]):
            raise click.UsageError("Give either --features or --steps and --words.")
        return
    if manifest is None:
        raise click.UsageError(f"--stage {stage} needs --manifest.")
    # An ignored option would give a plan for another run than the user means.
    if given := [name for name, value in asked.items() if value]:
        raise click.UsageError(f"--{given[0].replace('_', '-')} is for --stage tune.")


def _check_inputs(llm: str, features: tuple[Path, ...]) -> None:
    """Refuse a missing model or missing caches, before torch is loaded."""
    from ..core.hub import find_source
    from ..pipeline.precheck import check_features

    check_features(features, "train")
    # A config.json alone is enough for a plan: no weights are needed.
    if not Path(llm).is_file():
        find_source(llm)


def _pretrain_config(source: str | None, overrides: tuple[str, ...]) -> Any:

    from ..core.config import load_config
    from ..pretrain.config import PretrainConfig

    return load_config(
        PretrainConfig, base=PretrainConfig(), presets=PRETRAIN_PRESETS, source=source, overrides=overrides
    )
