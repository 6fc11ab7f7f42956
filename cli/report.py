"""``fla report``: an HTML page about runs."""

from pathlib import Path
from typing import Any

import click

from ..core.sample import SPLITS
from .options import device_option, emit, json_option, llm_option, root_option


@click.command()
@click.argument(
    "runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(file_okay=False, path_type=Path)
)
@click.option(
    "--out", default="report.html", show_default=True, metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path), help="The page. An existing file is replaced.",
)  # fmt: skip
@click.option(
    "--manifest", type=click.Path(dir_okay=False, path_type=Path),
    help="The clips.  [default: as in training]",
)  # fmt: skip
@root_option
@click.option(
    "--features", multiple=True, type=click.Path(file_okay=False, path_type=Path),
    help="Caches of stage two, once for each.  [default: as in training]",
)  # fmt: skip
@llm_option
@click.option(
    "--split", type=click.Choice(SPLITS), default="dev", show_default=True, help="Of the sentences."
)
@click.option(
    "--clips", type=click.IntRange(1, 20), default=2, show_default=True, metavar="N",
    help="Clips of each kind: best, median, worst.",
)  # fmt: skip
@click.option(
    "--no-attention", "attention", flag_value=False, default=True, help="Load no model: frames alone."
)
@device_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    runs: tuple[Path, ...],
    out: Path,
    manifest: Path | None,
    root: str | None,
    features: tuple[Path, ...],
    llm: str | None,
    split: Any,
    clips: int,
    attention: bool,
    device: str,
    as_json: bool,
) -> None:
    """Write one HTML page about RUN, of either stage, or about several runs side by side.

    The page holds scores with the shuffled control, training curves, what the encoder sees, the best, median
    and worst sentences with frames and attention over time, scores by length and signer, missing clips,
    settings and provenance. It loads nothing from anywhere. Exit code 1: something could not be shown.
    """
    from ..app.read_run import stage_of
    from ..corpora.manifest import read_manifest
    from ..pipeline.precheck import check_features

    # Everything that files alone can show is refused before torch is loaded.
    for run in runs:
        stage_of(run)
    if manifest is not None:
        read_manifest(manifest)
    check_features(features, split)
    from ..app.inputs import Request
    from ..app.report import write_report  # loads torch, which takes seconds

    request = Request(
        manifest=manifest, root=Path(root) if root else None, features=features, llm=llm, split=split,
        device=device, clips=clips, attention=attention,
    )  # fmt: skip
    result = write_report(runs, out, request=request)
    emit(as_json, result.to_dict(), result.describe())
    context.exit(int(bool(result.faults)))
