"""``fla extract``: the frozen encoder, run once over every video -> feature cache."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from .options import (
    FiniteRange,
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
from .sharding import refuse_contradictions, shard_options


class ScalesType(click.ParamType):
    """Whole numbers, separated by commas: ``1,2``."""

    name = "1,2,..."

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the scales as a YAML list."""
        # The text becomes YAML of --set, where 1.5 or words would fail with a less clear error.
        if not re.fullmatch(r"\d+(,\d+)*", value):
            self.fail(f"must be whole numbers such as 1,2, but is {value!r}.", param, ctx)
        return f"[{value}]"


@click.command()
@click.option(
    "--ckpt", type=click.Path(path_type=Path), metavar="DIR", help="A stage-one run, or its encoder/."
)
@click.option(
    "--encoder",
    metavar="KIND:NAME",
    help="A frozen encoder: timm:NAME (a backbone), hf-video:NAME (a clip encoder), hf-text:NAME (of "
    "--descriptions) or poses (key points).",
)
@click.option(
    "--descriptions", type=click.Path(path_type=Path), metavar="DIR",
    help="For hf-text:NAME: a folder of `fla describe`.",
)  # fmt: skip
@click.option("--scales", type=ScalesType(), help="Scales of a frame for timm:NAME, in tiles.  [default: 1]")
@click.option("--manifest", required=True, type=click.Path(path_type=Path), help="Manifest of `fla prepare`.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder of the cache."
)
@shard_options
@click.option(
    "--level", type=click.Choice(("sign", "frame")),
    help="Features after (sign) or before (frame) the temporal module.  [default: the highest]",
)  # fmt: skip
@click.option(
    "--views",
    type=click.IntRange(min=0),
    metavar="K",
    help="Also K augmented passes over each training video.",
)
@click.option(
    "--fps", type=FiniteRange(min=0, min_open=True), help="Sample by target frame rate instead of by stride."
)
@click.option(
    "--crop",
    type=click.Choice(("hands",)),
    help="Encode crops of both hands, around key points of pose files.",
)
@click.option("--keep-partial", is_flag=True, help="Keep the frames before the first decoding error.")
@root_option
@config_options("frame_batch=64")
@seed_option
@device_option
@limit_option
@dry_run_option
@json_option
@click.pass_context
def command(
    context: click.Context, ckpt: Path | None, encoder: str | None, descriptions: Path | None,
    scales: str | None, manifest: Path,
    out: Path, splits: tuple[str, ...], shard: tuple[int, int] | None, num_shards: int | None,
    devices: str | None, engine: str, level: str | None, views: int | None, fps: float | None,
    crop: str | None, keep_partial: bool, root: str | None, config_source: str | None,
    overrides: tuple[str, ...], seed: int | None, device: str, limit: int | None, dry_run: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Run the frozen encoder once over every video of a manifest, and write a feature cache.

    After a kill at any point the same command continues, and finished shards are skipped. Exit code 1: some
    videos could not be read. The result lists these videos, and the cache leaves them out.
    """
    if (ckpt is None) == (encoder is None):
        raise click.UsageError("Give either --ckpt DIR or --encoder KIND:NAME.")
    if scales is not None and not (encoder or "").startswith("timm:"):
        raise click.UsageError("--scales is for --encoder timm:NAME alone.")
    # Click cannot express which options exclude each other.
    refuse_contradictions(shard, num_shards, devices, engine=engine, device=device)
    from ..core.config import load_config
    from ..core.device import resolve_device
    from ..corpora.manifest import read_manifest
    from ..encoder.folder import check_encoder
    from ..extract.config import ExtractConfig

    named = {
        "level": level, "timm.scales": scales, "views": views, "fps": fps, "crop": crop,
        # Without the flag, the setting of --config counts.
        "keep_partial": keep_partial or None,
    }  # fmt: skip
    overrides = (*overrides, *(f"{key}={value}" for key, value in named.items() if value is not None))
    config = load_config(ExtractConfig, source=config_source, overrides=with_seed(overrides, seed))
    # A wrong manifest is refused before torch and the encoder are loaded.
    content = read_manifest(manifest, root=Path(root) if root else None, limit=limit)
    if ckpt is not None:
        check_encoder(ckpt)
    from ..extract.checks import check, describe  # loads torch, which takes seconds
    from ..extract.request import ExtractionRequest
    from ..extract.workers import choose_workers, extract_with

    request = ExtractionRequest(
        manifest=manifest, root=Path(root) if root else None, limit=limit, ckpt=ckpt, encoder=encoder,
        descriptions=descriptions, out=out, splits=splits,
        config=config,
    )  # fmt: skip
    workers = choose_workers(
        shard=shard, num_shards=num_shards, devices=devices, engine=engine, device=device,
        environment=os.environ,
    )  # fmt: skip
    if dry_run:
        here = resolve_device(str(workers.device))  # with Ray it may be on other machines alone
        extraction = request.load(workers.shards, device=here, manifest=content, dry_run=True)
        check(extraction)
        emit(as_json, *describe(extraction))
        return
    result = extract_with(workers, request, manifest=content)
    emit(as_json, result.to_dict(), result.describe())
    context.exit(int(bool(result.rejected)))
