"""``fla extract``: the frozen encoder, run once over every video -> feature cache."""

from __future__ import annotations

import re
from pathlib import Path

import click

from ..core.sample import SPLITS
from .options import (
    config_options,
    device_option,
    dry_run_option,
    emit,
    json_option,
    limit_option,
    root_option,
    seed_option,
    with_seed,
)


class ShardType(click.ParamType):
    """``i/n``: the i-th of n shards, from 0."""

    name = "i/n"

    def convert(
        self, value: str | tuple[int, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return (i, n)."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d+)/(\d+)", value)
        if match is None or not int(match[1]) < int(match[2]):
            self.fail(f"must be i/n with i from 0 to n - 1, but is {value!r}.", param, ctx)
        return int(match[1]), int(match[2])


class ScalesType(click.ParamType):
    """``1,2``: whole numbers, with commas between them."""

    name = "1,2,..."

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the scales as the settings' YAML has them."""
        if not re.fullmatch(r"\d+(,\d+)*", value):
            self.fail(f"must be whole numbers such as 1,2, but is {value!r}.", param, ctx)
        return f"[{value}]"


@click.command()
@click.option(
    "--ckpt", type=click.Path(path_type=Path), metavar="DIR", help="A stage-one run, or an encoder/."
)
@click.option(
    "--encoder",
    metavar="KIND:NAME",
    help="timm:NAME, a backbone of timm's, or hf-video:NAME, a clip encoder; frozen as it is.",
)
@click.option("--scales", type=ScalesType(), help="Sizes timm:NAME sees a frame at, in tiles.  [default: 1]")
@click.option("--manifest", required=True, type=click.Path(path_type=Path), help="What `fla prepare` wrote.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="The cache.")
@click.option(
    "--split", "splits", multiple=True, type=click.Choice(SPLITS), help="May be repeated.  [default: all]"
)
@click.option(
    "--shard", type=ShardType(), default="0/1", show_default=True, help="Every n-th video, from the i-th."
)
@click.option(
    "--level", type=click.Choice(("sign", "frame")),
    help="After the temporal module or before it.  [default: after, where there is one]",
)  # fmt: skip
@root_option
@config_options
@seed_option
@device_option
@limit_option
@dry_run_option
@json_option
@click.pass_context
def command(
    context: click.Context, ckpt: Path | None, encoder: str | None, scales: str | None, manifest: Path,
    out: Path, splits: tuple[str, ...], shard: tuple[int, int], level: str | None, root: str | None,
    config_source: str | None, overrides: tuple[str, ...], seed: int | None, device: str,
    limit: int | None, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Run the frozen encoder once over every video of a manifest, into a feature cache.

    What was done is never done again: killed at any point, the same command goes on, and finished shards
    are skipped. Exit code 1: videos that could not be read are listed and left out.
    """
    if (ckpt is None) == (encoder is None):
        raise click.UsageError("Give either --ckpt DIR or --encoder KIND:NAME.")
    if scales is not None and not (encoder or "").startswith("timm:"):
        raise click.UsageError("--scales is for --encoder timm:NAME alone.")
    from ..core.config import load_config
    from ..core.device import resolve_device
    from ..corpora.manifest import read_manifest
    from ..extract.config import ExtractConfig
    from ..extract.extraction import extract
    from ..extract.plan import check_plans, describe_plans, plan_shards
    from ..extract.source import load_source

    if level is not None:
        overrides = (*overrides, f"level={level}")
    if scales is not None:
        overrides = (*overrides, f"timm.scales={scales}")
    config = load_config(ExtractConfig, source=config_source, overrides=with_seed(overrides, seed))
    corpus = read_manifest(manifest, root=Path(root) if root else None, limit=limit)
    model, fingerprint = load_source(ckpt=ckpt, encoder=encoder, config=config)
    order = {
        "encoder": model, "fingerprint": fingerprint, "out": out, "splits": splits, "shard": shard,
        "config": config, "device": resolve_device(device),
    }  # fmt: skip
    if dry_run:
        plans = plan_shards(corpus, **order)
        check_plans(plans, corpus, out)
        content, text = describe_plans(plans, out)
        emit(as_json, content, text)
        return
    result = extract(corpus, **order)
    emit(as_json, result.to_dict(), result.describe())
    context.exit(int(bool(result.rejected)))
