"""``fla prepare``: a corpus's release -> manifest.jsonl."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.errors import ConfigError, DataError
from .options import config_options, dry_run_option, emit, json_option, limit_option, seed_option, with_seed

if TYPE_CHECKING:
    from ..corpora.prepare import Prepared

RELEASED = ("phoenix14t", "csl-daily", "how2sign", "uni-sign", "table")
"""Corpora of :func:`..corpora.prepare.prepare`. The list here spares ``--help`` the import of readers."""


@click.command()
@click.argument("corpus", type=click.Choice((*RELEASED, "demo")))
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The manifest to write."
)
@click.option(
    "--media", type=click.Choice(("clips", "videos")),
    help="How2Sign: a file a sentence, or long videos cut by the realigned times.  [default: clips]",
)  # fmt: skip
@click.option(
    "--check", type=click.Choice(("headers", "decode")),
    help="Count frames, or decode every one.  [default: headers]",
)  # fmt: skip
@click.option(
    "--root", metavar="DIR", help="table: what video paths are relative to, if not the table's folder."
)
@click.option(
    "--poses", metavar="DIR", help="Folder of pose files named by the clips' ids: .pkl, .npz, .npy or .pose."
)
@config_options("workers=4")
@seed_option
@limit_option
@dry_run_option
@json_option
@click.pass_context
def command(
    context: click.Context, corpus: str, source: Path, out: Path, media: str | None, check: str | None,
    root: str | None, poses: str | None, config_source: str | None, overrides: tuple[str, ...],
    seed: int | None, limit: int | None, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Make the manifest of the corpus in SOURCE, and list each row that cannot be used.

    SOURCE is the release's folder. For table: a CSV, TSV or JSON Lines file with the columns id, split,
    text, and video or poses. For demo: the folder to render the demo corpus into.

    Exit code 1: a manifest was written, but faults are listed (a corrupt or absent video, an id twice in
    one split), or a split has no usable row. Gaps known to the publishers are counted, and no fault.
    """
    from ..core.config import load_config
    from ..corpora.config import PrepareConfig
    from ..corpora.prepare import prepare

    _check_corpus(corpus, media=media, check=check, root=root, poses=poses, seed=seed)
    _check_out(out)
    if corpus == "demo":
        _prepare_demo(
            source, out, config_source, with_seed(overrides, seed),
            limit=limit, is_dry_run=dry_run, as_json=as_json,
        )  # fmt: skip
        return
    config = load_config(PrepareConfig, source=config_source, overrides=overrides)
    # An option overrides the file and --set, as in every command.
    given = {"media": media, "check": check, "root": root, "poses": poses}
    config = dataclasses.replace(config, **{key: value for key, value in given.items() if value is not None})
    prepared = prepare(corpus, source, config=config, limit=limit)
    _finish(prepared, out, is_dry_run=dry_run, as_json=as_json)
    context.exit(int(prepared.has_faults))


def _check_corpus(
    corpus: str,
    *,
    media: str | None,
    check: str | None,
    root: str | None,
    poses: str | None,
    seed: int | None,
) -> None:
    """Refuse an option without effect for this corpus."""
    if media is not None and corpus != "how2sign":
        raise ConfigError(f"--media must go with how2sign, but the corpus is {corpus}.\nLeave it out.")
    if root is not None and corpus != "table":
        raise ConfigError(f"--root must go with table, but the corpus is {corpus}.\nLeave it out.")
    if check is not None and corpus == "demo":
        raise ConfigError("--check must go with videos that exist, but the corpus is demo.\nLeave it out.")
    if poses is not None and corpus == "demo":
        raise ConfigError(
            "--poses must go with files that exist, but the corpus is demo.\n"
            "Add --set poses=true: the demo writes its true key points."
        )
    if seed is not None and corpus != "demo":
        raise ConfigError(f"--seed must go with demo, but the corpus is {corpus}.\nLeave it out.")


def _check_out(out: Path) -> None:
    """Check the output path before hours of work: no other file is replaced, and the folder is writable."""
    from ..corpora.manifest import is_manifest

    _rejected_path(out).exists()  # raises now if the name is too long, not after the work
    # A mistyped --out must not replace a table or a video.
    if out.exists() and not is_manifest(out):
        raise DataError(f"--out must be a new file or a manifest to replace, but {out} is neither.")
    # Missing folders are made, so the nearest existing parent decides.
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise DataError(f"--out must lie where files can be written, but {folder} is no such folder.")


def _rejected_path(out: Path) -> Path:
    return out.with_name(f"{out.name}.rejected.jsonl")


def _prepare_demo(
    source: Path,
    out: Path,
    config_source: str | None,
    overrides: tuple[str, ...],
    *,
    limit: int | None,
    is_dry_run: bool,
    as_json: bool,
) -> None:
    """Render the demo corpus into ``source`` and write the manifest. A dry run only logs the plan."""
    from ..core.config import load_config
    from ..demo.prepare import PrepareDemoConfig, prepare_demo

    config = load_config(PrepareDemoConfig, source=config_source, overrides=overrides)
    if is_dry_run:
        content = {"corpus": "demo", "root": str(source), **dataclasses.asdict(config)}
        emit(as_json, content, f"would render the demo corpus into {source}: {config.demo}")
    else:
        _finish(prepare_demo(source, config=config, limit=limit), out, is_dry_run=False, as_json=as_json)


def _finish(prepared: Prepared, out: Path, *, is_dry_run: bool, as_json: bool) -> None:
    """Write the manifest and the list of rejected rows, and report."""
    from ..corpora.report import describe, report

    rejected = _rejected_path(out)
    is_written = bool(prepared.manifest.samples)
    if not is_dry_run:
        _write(prepared, out, rejected)
    verb = "would write" if is_dry_run else "wrote"
    lines = [report(prepared)]
    if is_written:
        lines.append(f"{verb} {out}: {len(prepared.manifest.samples)} samples")
    else:
        kept = f"; {out} stays as it was" if out.exists() else ""
        lines.append(f"no usable row: no manifest is written{kept}")
    if prepared.rejected:
        lines.append(f"{verb} {rejected}: every rejected row with its reason")
    content: dict[str, Any] = {
        **describe(prepared),
        "manifest": str(out) if is_written and not is_dry_run else None,
        "is_dry_run": is_dry_run,
    }
    emit(as_json, content, "\n".join(lines))


def _write(prepared: Prepared, out: Path, rejected: Path) -> None:
    from ..core.files import write_jsonl
    from ..corpora.manifest import write_manifest

    # Without a usable row, an earlier manifest is worth more than an empty one.
    if prepared.manifest.samples:
        write_manifest(out, prepared.manifest)
    if prepared.rejected:
        write_jsonl(rejected, (dataclasses.asdict(row) for row in prepared.rejected))
    else:
        rejected.unlink(missing_ok=True)  # the list of an earlier run would contradict this manifest
