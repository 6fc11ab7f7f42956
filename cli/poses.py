"""``fla poses``: a detector writes the key points of each clip of a manifest."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import config_options, dry_run_option, emit, json_option, limit_option, root_option
from .sharding import shard_option, split_option

if TYPE_CHECKING:
    from ..detect.local import LocalDetector


@click.command()
@click.argument("manifest", required=False, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder of pose files.")
@click.option(
    "--detector", type=click.Choice(["mediapipe", "rtmlib"]), default="mediapipe", show_default=True,
    help="MediaPipe Holistic 0.10.21, or RTMPose and RTMW with weights of yours; on the CPU.",
)  # fmt: skip
@click.option(
    "--weights", type=click.Path(path_type=Path), metavar="DIR|FILE",
    help="For rtmlib: ONNX files of persons and of 133 points, or of the points alone.",
)  # fmt: skip
@click.option("--set-up", is_flag=True, help="Install the detector into its environment, and stop.")
@click.option(
    "--environment", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="The detector's Python environment.  [default: in the user's cache folder]",
)  # fmt: skip
@click.option(
    "--python", metavar="FILE", help="With --set-up: the Python, 3.11 or 3.12.  [default: fla's own]"
)
@split_option
@shard_option
@root_option
@config_options("workers=4")
@limit_option
@dry_run_option
@json_option
@click.pass_context
def command(
    context: click.Context, manifest: Path | None, out: Path | None, detector: str,
    weights: Path | None, set_up: bool,
    environment: Path | None, python: str | None, splits: tuple[str, ...], shard: tuple[int, int] | None,
    root: str | None, config_source: str | None, overrides: tuple[str, ...], limit: int | None,
    dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Detect the key points in the videos of MANIFEST: a pose file for each clip, and DIR/manifest.jsonl.

    Needs the detector's environment, once: fla poses --set-up. After a kill at any point the same command
    continues. Exit code 1: some clips could not be read, or show no body. The result lists these clips.
    """
    from ..detect.environment import default_environment
    from ..detect.kinds import KINDS
    from ..detect.local import LocalDetector, find_weights

    kind = KINDS[detector]
    place = (environment or default_environment(kind)).absolute()
    if set_up:
        if manifest is not None or out is not None or weights is not None:
            raise click.UsageError("--set-up stands alone, or with --detector, --environment and --python.")
        _set_up(LocalDetector(kind=kind, environment=place), python or sys.executable, as_json=as_json)
        return
    if manifest is None or out is None or python is not None:
        raise click.UsageError("Give MANIFEST and --out DIR; or --set-up, alone with --python.")
    from ..core.config import load_config
    from ..corpora.manifest import read_manifest
    from ..detect.config import DetectConfig
    from ..detect.plan import Detection, check_detection
    from ..detect.run import detect
    from ..extract.shards import assign

    shards, _ = assign(shard=shard, count=None, environment=os.environ)
    detection = Detection(
        manifest=read_manifest(manifest, root=Path(root) if root else None, limit=limit), out=out,
        splits=splits, shard=shards[0], limit=limit,
        detector=LocalDetector(kind=kind, environment=place, weights=find_weights(kind, weights)),
        config=load_config(DetectConfig, source=config_source, overrides=overrides),
    )  # fmt: skip
    if dry_run:
        clips = check_detection(detection)
        emit(as_json, {"clips": clips, "out": str(out)}, f"would detect {clips} clips into {out}")
        return
    result = detect(detection)
    emit(as_json, result.to_dict() | {"limit": limit}, result.describe())
    context.exit(int(bool(result.missing)))


def _set_up(local: LocalDetector, python: str, *, as_json: bool) -> None:
    """Make the environment, start the detector once, and print the versions."""
    from ..detect.config import DetectConfig
    from ..detect.environment import set_up

    set_up(local.kind, local.environment, python=python)
    # Only a start shows that every library can be loaded on this machine.
    started = local.start(DetectConfig())
    started.close()
    words = ", ".join(f"{name} {version}" for name, version in started.versions.items())
    content = {"environment": str(local.environment), "versions": started.versions}
    emit(as_json, content, f"{local.environment}: {words}")
