"""The run directory of stage one: how it is begun, resumed and finished."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from ..core.config import config_to_dict, first_difference, write_config
from ..core.errors import RunError
from ..core.files import read_json, read_text, write_json
from ..core.run import open_run
from ..corpora.manifest import Manifest
from ..encoder.store import fingerprint
from ..training.resuming import settle_changes
from .config import PretrainConfig
from .frames import Unreadable

FORMAT = "fla-stage-one-run-1"
CONFIG, RUN = "config.yaml", "run.json"


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """What a run of stage one gave."""

    run: Path
    epoch: int
    """The epoch whose weights were kept."""
    dev: dict[str, float] | None
    """Scores of those weights on dev (0-100); None without dev clips."""
    train_clips: int
    dev_clips: int
    unreadable: tuple[Unreadable, ...]
    """Clips that were left out."""
    seconds: float
    """Wall time of training, evaluations included."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return asdict(self) | {"run": str(self.run)}


def begin_run(
    manifest: Manifest,
    config: PretrainConfig,
    out: Path,
    *,
    resume: bool,
    allow_config_change: bool = False,
) -> None:
    """Claim ``out``, and write down what is trained on and how.

    Raises:
        RunError: ``out`` is in the way, or was begun with other settings or sentences.
    """
    open_run(out, resume=resume)
    trained_on = {"corpus": manifest.corpus, "counts": manifest.counts, "sentences": _digest(manifest)}
    if resume and (out / CONFIG).is_file() and (out / RUN).is_file():
        _refuse_other_clips(out, trained_on)
        begun = yaml.safe_load(read_text(out / CONFIG))
        settle_changes(out, begun, config_to_dict(config), allow=allow_config_change)
        write_config(config, out / CONFIG)
        return
    write_config(config, out / CONFIG)
    write_json(out / RUN, {"format": FORMAT, "manifest": trained_on})


def finish_run(result: Pretrained) -> None:
    """Add to ``run.json`` what the run gave."""
    content = read_json(result.run / RUN)
    report = {name: value for name, value in result.to_dict().items() if name != "run"}
    write_json(
        result.run / RUN, content | report | {"encoder_fingerprint": fingerprint(result.run / "encoder")}
    )


def _refuse_other_clips(out: Path, trained_on: dict[str, Any]) -> None:
    if difference := first_difference(read_json(out / RUN).get("manifest", {}), trained_on):
        key, was, is_now = difference
        raise RunError(
            f"{out} must be resumed with the clips it was begun with, but run.json differs: "
            f"{key}: {was!r}, now {is_now!r}.\n"
            "Give the manifest as it was, or start another run with another --out."
        )


def _digest(manifest: Manifest) -> str:
    """Return a SHA-256 over what is learned: every sample's split, id and text."""
    rows = [[sample.split, sample.id, sample.text] for sample in manifest.samples]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()
