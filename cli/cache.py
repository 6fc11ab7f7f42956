"""``fla cache``: inspect, verify, export or import a feature cache."""

from pathlib import Path
from typing import Literal

import click

from ..core.sample import SPLITS
from .options import dry_run_option, emit, json_option

_folder_argument = click.argument("folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")


@click.group()
def command() -> None:
    """Inspect, verify, export or import a feature cache."""


@command.command()
@_folder_argument
@json_option
@click.pass_context
def info(context: click.Context, folder: Path, as_json: bool) -> None:
    """Show the contents, the missing shards and the encoder of the cache in DIR.

    Exit code 1: shards are missing or unfinished, and listed.
    """
    from ..cache.summary import describe, summarise

    summary = summarise(folder)
    emit(as_json, summary, describe(summary))
    # Scripts that wait for an extraction read the exit code.
    context.exit(int(not summary["is_complete"]))


@command.command()
@_folder_argument
@click.option("--deep", is_flag=True, help="Also check every video, and name the damaged ones.")
@json_option
@click.pass_context
def verify(context: click.Context, folder: Path, deep: bool, as_json: bool) -> None:
    """Check the cache in DIR for damage, missing shards and shards that disagree.

    Exit code 1: faults were found, and listed.
    """
    from ..cache.verify import verify

    # Every fault is listed, not only the first: one run tells all shards to extract again.
    faults = verify(folder, deep=deep)
    lines = [": ".join(filter(None, (fault.shard, fault.video, fault.reason))) for fault in faults]
    emit(as_json, {"faults": [vars(fault) for fault in faults]}, "\n".join(lines) or f"{folder} is sound")
    context.exit(int(bool(faults)))


@command.command()
@_folder_argument
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="OUT", help="An empty folder.")
@click.option(
    "--format", "layout", required=True, type=click.Choice(("npy", "safetensors")),
    help="npy: one file for each clip. safetensors: files of many clips.",
)  # fmt: skip
@click.option(
    "--split", "splits", multiple=True, type=click.Choice(SPLITS), help="Repeatable.  [default: all]"
)
@json_option
def export(
    folder: Path, out: Path, layout: Literal["npy", "safetensors"], splits: tuple[str, ...], as_json: bool
) -> None:
    """Write the features of the cache in DIR as files for other code.

    OUT/SPLIT.jsonl lists the files and their sentences. The same command on the same cache continues an
    interrupted export. Any other folder that is not empty is refused.
    """
    from ..interchange.export import export_cache

    result = export_cache(folder, out=out, layout=layout, splits=splits)
    emit(as_json, result.to_dict(), result.describe())


@command.command("import")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="CACHE", help="The cache.")
@click.option(
    "--format", required=True, type=click.Choice(("npy", "pt", "safetensors", "signjoey", "mmslt")),
    help="Format of the files in SOURCE.",
)  # fmt: skip
@click.option("--encoder", metavar="NAME", help="Your name for the encoder. Not for an export.")
@click.option(
    "--manifest", type=click.Path(path_type=Path), help="npy, pt, mmslt: the sentences. Not for an export."
)
@click.option(
    "--split", type=click.Choice(SPLITS), help="Import only this one. signjoey, mmslt: the split of SOURCE."
)
@click.option(
    "--suffix", default="", metavar="TEXT", help="npy, pt: the end of the file names behind the id."
)
@click.option("--language", metavar="CODE", help="signjoey: language of the sentences, such as de.")
@click.option("--corpus", metavar="NAME", help="signjoey: name of the corpus.")
@dry_run_option
@json_option
@click.pass_context
def import_(
    context: click.Context, source: Path, out: Path,
    format: Literal["npy", "pt", "safetensors", "signjoey", "mmslt"], encoder: str | None,
    manifest: Path | None, split: str | None, suffix: str, language: str | None,
    corpus: str | None, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Make a cache from features of other code, or from an export.

    SOURCE is a folder of .npy or .pt files with one file for each clip, a gzipped pickle of signjoey, a file
    of MMSLT's descriptions, or a folder that "fla cache export" wrote, which needs --format and --out alone.

    No code in SOURCE is run. Exit code 1: clips that are missing or unusable are listed and left out.
    """
    from ..corpora.manifest import read_manifest
    from ..interchange.import_config import ImportConfig
    from ..interchange.import_features import describe_plan, write_import
    from ..interchange.import_plan import plan_import

    config = ImportConfig(
        format=format, encoder=encoder, split=split, language=language, corpus=corpus, suffix=suffix
    )
    # Exports and signjoey files hold the sentences, other formats need a manifest.
    sentences = read_manifest(manifest) if manifest else None
    plan = plan_import(source, out=out, config=config, sentences=sentences)
    result = describe_plan(plan) if dry_run else write_import(plan)
    emit(as_json, result.to_dict(), result.describe())
    context.exit(int(bool(result.rejected)))
