"""``fla map``: features of descriptions, predicted from features of pictures."""

from __future__ import annotations

from pathlib import Path

import click

from .options import config_options, device_option, emit, json_option, seed_option, with_seed


@click.command()
@click.option(
    "--from", "source", required=True, type=click.Path(path_type=Path), metavar="CACHE",
    help="Features of pictures.",
)  # fmt: skip
@click.option(
    "--to", "target", required=True, type=click.Path(path_type=Path), metavar="CACHE",
    help="Features of descriptions, with the same steps.",
)  # fmt: skip
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A new cache: the predictions.",
)
@config_options("hidden_size=2048")
@seed_option
@device_option
@json_option
@click.pass_context
def command(
    context: click.Context, source: Path, target: Path, out: Path, config_source: str | None,
    overrides: tuple[str, ...], seed: int | None, device: str, as_json: bool,
) -> None:  # fmt: skip
    """Train a mapper from one cache to another, and write its predictions for all splits as a cache.

    The mapper learns from train, and ends by its error on dev. New videos then need no descriptions. Exit
    code 1: the source lacks some clips. The result lists these clips.
    """
    from ..core.config import load_config
    from ..describe.map_config import MapConfig

    # A wrong setting is refused before torch is loaded.
    config = load_config(MapConfig, source=config_source, overrides=with_seed(overrides, seed))
    from ..describe.mapping import map_features  # loads torch, which takes seconds

    result = map_features(source, target, out, config=config, device=device)
    emit(as_json, result.to_dict(), result.describe())
    context.exit(int(bool(result.rejected)))
