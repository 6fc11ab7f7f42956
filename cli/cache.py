"""``fla cache``: look into a feature cache, verify it, export it, or import one."""

from pathlib import Path
from typing import Literal

import click

from ..core.sample import SPLITS
from .options import dry_run_option, emit, json_option

_folder_argument = click.argument("folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")


@click.group()
def command() -> None:
    """Look into a feature cache, verify it, export it, or import one."""


@command.command()
@_folder_argument
@json_option
@click.pass_context
def info(context: click.Context, folder: Path, as_json: bool) -> None:
    """Say what the cache in DIR holds, what it lacks, and what made it.

    Exit code 1: a shard is missing or unfinished; it is listed.
    """
    from ..cache.summary import describe, summarise

    summary = summarise(folder)
    emit(as_json, summary, describe(summary))
    context.exit(int(not summary["is_complete"]))


@command.command()
@_folder_argument
@click.option("--deep", is_flag=True, help="Check every video too, and name the damaged ones.")
@json_option
@click.pass_context
def verify(context: click.Context, folder: Path, deep: bool, as_json: bool) -> None:
    """Check the cache in DIR for damage, missing shards and shards that disagree.

    Exit code 1: there are faults; they are listed.
    """
    from ..cache.verify import verify

    faults = verify(folder, deep=deep)
    lines = [": ".join(filter(None, (fault.shard, fault.video, fault.reason))) for fault in faults]
    emit(as_json, {"faults": [vars(fault) for fault in faults]}, "\n".join(lines) or f"{folder} is sound")
    context.exit(int(bool(faults)))


@command.command()
@_folder_argument
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="OUT", help="An empty folder.")
@click.option(
    "--format", "layout", required=True, type=click.Choice(("npy", "safetensors")),
    help="A .npy file a clip, or safetensors of many.",
)  # fmt: skip
@click.option(
    "--split", "splits", multiple=True, type=click.Choice(SPLITS), help="May be repeated.  [default: all]"
)
@json_option
def export(
    folder: Path, out: Path, layout: Literal["npy", "safetensors"], splits: tuple[str, ...], as_json: bool
) -> None:
    """Write the features of the cache in DIR as files for other code.

    OUT/SPLIT.jsonl lists them with their sentences. The same command on the same cache goes on where it was
    ended; any other folder that is not empty is refused.
    """
    from ..cache.export import export_cache

    result = export_cache(folder, out=out, layout=layout, splits=splits)
    emit(as_json, result.to_dict(), result.describe())


@command.command("import")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="CACHE", help="The cache.")
@click.option(
    "--format", required=True, type=click.Choice(("npy", "pt", "safetensors", "signjoey")),
    help="npy, pt: a folder of files, one a clip. signjoey: a gzipped pickle. npy, safetensors: an export.",
)  # fmt: skip
@click.option("--encoder", metavar="NAME", help="Your name for what made the features; an export knows it.")
@click.option(
    "--manifest", type=click.Path(path_type=Path), help="npy, pt: the sentences; an export has them."
)
@click.option(
    "--split", type=click.Choice(SPLITS), help="npy, pt: only this one. signjoey: the one SOURCE holds."
)
@click.option("--suffix", default="", metavar="TEXT", help="npy, pt: what files have behind the id.")
@click.option("--language", metavar="CODE", help="signjoey: of the sentences, such as de.")
@click.option("--corpus", metavar="NAME", help="signjoey: the corpus's name.")
@dry_run_option
@json_option
@click.pass_context
def import_(
    context: click.Context, source: Path, out: Path, format: Literal["npy", "pt", "safetensors", "signjoey"],
    encoder: str | None, manifest: Path | None, split: str | None, suffix: str, language: str | None,
    corpus: str | None, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Make a cache of features that other code made: .npy or .pt files, or signjoey's.

    A folder that "fla cache export" wrote becomes the same cache again, and needs only --format and --out.

    Nothing in SOURCE is run. Exit code 1: clips that are missing or cannot be used are listed and left out.
    """
    from ..cache.import_config import ImportConfig
    from ..cache.import_plan import plan_import
    from ..cache.import_writing import describe_plan, write_import
    from ..corpora.manifest import read_manifest

    config = ImportConfig(
        format=format, encoder=encoder, split=split, language=language, corpus=corpus, suffix=suffix
    )
    sentences = read_manifest(manifest) if manifest else None
    plan = plan_import(source, out=out, config=config, manifest=sentences)
    result = describe_plan(plan) if dry_run else write_import(plan)
    emit(as_json, result.to_dict(), result.describe())
    context.exit(int(bool(result.rejected)))
