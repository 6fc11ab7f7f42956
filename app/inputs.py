"""Inputs of a report: manifest and caches, as given or as a run recorded them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import FlaError
from ..core.sample import Split
from ..corpora.manifest import Manifest, read_manifest
from .faults import Faults
from .read_run import RunRecord


@dataclass(frozen=True, kw_only=True)
class Request:
    """Options of a report, beside the runs."""

    manifest: Path | None = None
    """None: the manifests that the runs recorded, where they still exist."""
    root: Path | None = None
    """Folder of the videos on this machine. None: that of the manifest, or that of the training."""
    features: Sequence[Path] = ()
    """Caches. Empty: the caches in the records of the runs, if they still exist."""
    llm: str | None = None
    """Present path of the language model. None: the path at tuning."""
    split: Split = "dev"
    device: str = "auto"
    clips: int = 2
    """Number of clips of each kind: best, median, worst."""
    attention: bool = True
    """Whether to load the models of the runs, to compute attention."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Manifest and caches of one run."""

    manifest: Manifest | None
    """None: not given, and the recorded one is not there."""
    features: Sequence[Path]
    """Empty: not given, and the recorded ones are not there."""
    needs: list[str] = field(default_factory=list[str])
    """Sentences about missing inputs, each with its remedy."""


def find_inputs(runs: Sequence[RunRecord], request: Request, faults: Faults) -> list[Inputs]:
    """Return the inputs of each run. A stage-two run may take the manifest of the stage-one run beside it.

    Raises:
        DataError: the given manifest cannot be used.
    """
    given = None if request.manifest is None else read_manifest(request.manifest, root=request.root)
    own = [given or _recorded_manifest(run, request.root, faults) for run in runs]
    # The frames of stage two are those of the encoder that made its features.
    encoders = {
        run.described.get("encoder_fingerprint"): manifest
        for run, manifest in zip(runs, own, strict=True)
        if run.stage == 1 and manifest is not None
    }
    found: list[Inputs] = []
    for run, manifest in zip(runs, own, strict=True):
        manifest = manifest or encoders.get(run.described.get("feature_fingerprint", ""))
        features = request.features or _recorded_features(run)
        found.append(
            Inputs(manifest=manifest, features=features, needs=_needs(run, manifest, features, request))
        )
    return found


def _recorded_manifest(run: RunRecord, given_root: Path | None, faults: Faults) -> Manifest | None:
    path, root = (run.read_from.get(name) for name in ("manifest", "root"))
    if path is None or not Path(path).is_file():
        return None
    try:
        return read_manifest(Path(path), root=given_root or (Path(root) if root else None))
    except FlaError as error:
        faults.add(f"Manifest of {run.name}", error)
        return None


def _recorded_features(run: RunRecord) -> list[Path]:
    folders = [Path(folder) for folder in run.read_from.get("features", [])]
    # A part of the streams is of no use.
    return folders if all(folder.is_dir() for folder in folders) else []


def _needs(
    run: RunRecord, manifest: Manifest | None, features: Sequence[Path], request: Request
) -> list[str]:
    needs: list[str] = []
    if manifest is None:
        what = "Frames, signers and attention" if run.stage == 1 else "Frames"
        needs.append(f"{what} of {run.name} need the videos: add --manifest.{_was(run, 'manifest')}")
    if run.stage == 2 and not features:
        needs.append(f"Attention of {run.name} needs the features: add --features.{_was(run, 'features')}")
    if not request.attention:
        needs.append(f"Attention of {run.name} was left out by --no-attention.")
    return needs


def _was(run: RunRecord, name: str) -> str:
    recorded = run.read_from.get(name)
    paths = [recorded] if isinstance(recorded, str) else recorded or []
    gone = [path for path in paths if not Path(path).exists()]
    return f" The run was trained on {', '.join(gone)}, which is not there." if gone else ""
