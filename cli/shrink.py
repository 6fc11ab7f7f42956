"""``fla shrink``: small copies of the videos of a manifest."""

from pathlib import Path

import click

from .options import config_options, dry_run_option, emit, json_option, limit_option, root_option


@click.command()
@click.option(
    "--manifest",
    required=True,
    type=click.Path(path_type=Path),
    help="Made by fla prepare, of the originals.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A folder for the copies."
)
@root_option
@config_options("size=224")
@limit_option
@dry_run_option
@json_option
@click.pass_context
def command(
    context: click.Context, manifest: Path, out: Path, root: str | None, config_source: str | None,
    overrides: tuple[str, ...], limit: int | None, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Write a small copy of each clip of a manifest, and DIR/manifest.jsonl for all later commands.

    A copy is an MP4 file of 256 pixels (the shorter side), upright, with all frames at their times. After a
    kill at any point the same command continues. Exit code 1: some clips could not be copied. The result
    lists these clips, and the new manifest leaves them out.
    """
    from ..core.config import load_config
    from ..corpora.config import ShrinkConfig
    from ..corpora.manifest import read_manifest
    from ..corpora.shrink import check_shrink, shrink

    config = load_config(ShrinkConfig, source=config_source, overrides=overrides)
    originals = read_manifest(manifest, root=Path(root) if root else None, limit=limit)
    if dry_run:
        check_shrink(originals, out, config=config)
        content = {"clips": len(originals.samples), "out": str(out)}
        emit(as_json, content, f"would copy {content['clips']} clips into {out}")
        return
    result = shrink(originals, out, config=config)
    emit(as_json, result.to_dict(), result.describe())
    context.exit(int(bool(result.rejected)))
