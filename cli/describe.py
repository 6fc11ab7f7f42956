"""``fla describe``: a multimodal language model says what the signer does in each frame."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import click

from .options import (
    config_options,
    device_option,
    dry_run_option,
    emit,
    json_option,
    limit_option,
    root_option,
)
from .sharding import refuse_contradictions, shard_options


@click.command()
@click.argument("manifest", required=False, type=click.Path(path_type=Path))
@click.option("--model", metavar="ID|DIR", help="An image-text-to-text model of transformers.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder of descriptions."
)
@click.option("--prompt", help="Question about each frame.  [default: MMSLT's]")
@click.option("--show", metavar="CLIP", help="Print the descriptions of a clip in --out, and stop.")
@click.option(
    "--page", type=click.Path(path_type=Path), metavar="FILE",
    help="With --show: write an HTML page with the pictures too.",
)  # fmt: skip
@shard_options
@root_option
@config_options("batch=16")
@device_option
@limit_option
@dry_run_option
@json_option
@click.pass_context
def command(
    context: click.Context, manifest: Path | None, model: str | None, out: Path, prompt: str | None,
    show: str | None, page: Path | None, splits: tuple[str, ...], shard: tuple[int, int] | None,
    num_shards: int | None, devices: str | None, engine: str, root: str | None, config_source: str | None,
    overrides: tuple[str, ...], device: str, limit: int | None, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Ask a multimodal language model about the frames of MANIFEST, and write the answers as text files.

    The estimated cost is printed before the work: frames times measured seconds. After a kill at any point
    the same command continues with the next batch. Exit code 1: some videos could not be read. The result
    lists these videos.
    """
    if show is not None:
        _show(manifest, out, show, page, root=root, as_json=as_json)
        return
    if manifest is None or model is None or page is not None:
        raise click.UsageError("Give MANIFEST and --model ID|DIR; or --show CLIP, alone with --page.")
    refuse_contradictions(shard, num_shards, devices, engine=engine, device=device)
    from ..core.config import load_config
    from ..core.device import resolve_device
    from ..corpora.manifest import read_manifest
    from ..describe.config import DescribeConfig

    config = load_config(DescribeConfig, source=config_source, overrides=overrides)
    if prompt is not None:
        # Not by way of --set, where quotation marks and colons of a sentence would be YAML.
        config = replace(config, prompt=prompt)
    # A wrong manifest is refused before torch and the model are loaded.
    content = read_manifest(manifest, root=Path(root) if root else None, limit=limit)
    from ..describe.request import DescriptionRequest  # loads torch and transformers, which takes seconds
    from ..describe.work import estimate
    from ..extract.workers import choose_workers, extract_with

    request = DescriptionRequest(
        manifest=manifest, root=Path(root) if root else None, limit=limit, model=model, out=out,
        splits=splits, config=config,
    )  # fmt: skip
    workers = choose_workers(
        shard=shard, num_shards=num_shards, devices=devices, engine=engine, device=device,
        environment=os.environ,
    )  # fmt: skip
    if dry_run:
        here = resolve_device(str(workers.device))
        cost = estimate(request.load(workers.shards, device=here, manifest=content))
        if cost is None:
            emit(as_json, {"frames": 0}, "nothing is left to describe")
        else:
            emit(as_json, cost.to_dict(), cost.describe())
        return
    result = extract_with(workers, request, manifest=content)
    trial = f"\na trial: the first {limit} clips of each split" if limit else ""
    emit(as_json, result.to_dict() | {"limit": limit}, result.describe() + trial)
    context.exit(int(bool(result.rejected)))


def _show(
    manifest: Path | None, folder: Path, id: str, page: Path | None, *, root: str | None, as_json: bool
) -> None:
    """Print the descriptions of a clip, and write the page."""
    from ..corpora.descriptions import Descriptions
    from ..corpora.manifest import read_manifest
    from ..describe.show import describe_clip, find_clip, find_sample, write_page

    if page is not None and manifest is None:
        raise click.UsageError("--page needs MANIFEST, which says where the pictures are.")
    # Descriptions alone have no frame rate, so times need the manifest.
    descriptions, sample, known = Descriptions(folder), None, None
    if manifest is not None:
        known = read_manifest(manifest, root=Path(root) if root else None)
        sample = find_sample(known, find_clip(descriptions, id)[0], id)
    content, text = describe_clip(descriptions, id, sample=sample)
    if page is not None and known is not None:
        write_page(page, descriptions, id, manifest=known)
        content, text = content | {"page": str(page)}, f"{text}\nwrote {page}"
    emit(as_json, content, text)
