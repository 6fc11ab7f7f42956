"""``fla plan``: does stage two fit a GPU, from the language model's config alone."""

from pathlib import Path

import click

from .options import FiniteRange, config_options, device_option, emit, json_option, seed_option
from .tuning import tune_config, tuning_options


@click.command()
@click.option("--llm", required=True, metavar="ID|DIR|FILE", help="An id, a directory, or a config.json.")
@click.option(
    "--features", multiple=True, metavar="DIR", type=click.Path(path_type=Path),
    help="Caches, for their lengths.  [default: PHOENIX14T's longest clips]",
)  # fmt: skip
@click.option("--vram", type=FiniteRange(min=0, min_open=True), metavar="GB", help="The GPU's memory.")
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Feature steps of the longest clip.")
@click.option("--words", type=click.IntRange(min=1), metavar="N", help="Words of the longest sentence.")
@click.option("--probe", is_flag=True, help="Run one real step on the GPU, and put what it took beside.")
@tuning_options
@config_options("lora.rank=8", preset="phoenix14t-qwen")
@seed_option
@device_option
@json_option
@click.pass_context
def command(
    context: click.Context, llm: str, features: tuple[Path, ...], vram: float | None, steps: int | None,
    words: int | None, probe: bool, batch_tokens: int | None, train: str | None, quantise: str | None,
    config_source: str | None, overrides: tuple[str, ...], seed: int | None, device: str, as_json: bool,
) -> None:  # fmt: skip
    """Estimate the memory of tuning, part by part, before loading a model.

    The estimate needs the config of the model and no weights. Without --features, lengths are assumed.
    Exit code 1: the run does not fit, and changes are listed.
    """
    if features and (steps or words):
        raise click.UsageError("Give either --features or --steps and --words.")
    from ..core.hub import find_source
    from ..pipeline.precheck import check_features

    config = tune_config(
        config_source, overrides, seed=seed, batch_tokens=batch_tokens, train=train, quantise=quantise
    )
    check_features(features, "train")
    # A config.json alone is enough for a plan: no weights are needed.
    if not Path(llm).is_file():
        find_source(llm)
    from ..planning.plan import Lengths, plan_run  # loads torch, which takes seconds

    lengths = Lengths(features=features, steps=steps, words=words)
    report = plan_run(llm, config=config, lengths=lengths, vram_gb=vram, device=device, probe=probe)
    emit(as_json, report.to_dict(), report.describe())
    context.exit(int(not report.fits))
