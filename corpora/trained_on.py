"""Warning when a stage-one run meets other small copies, originals or key points than in its training."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..core.files import read_json
from ..core.sample import Medium
from ..poses.detector import PoseDetector
from .manifest import Manifest

logger = logging.getLogger(__name__)

RUN, TRAINED_ON = "run.json", "manifest"
"""File of a stage-one run, and the key of the clips of training in it."""


def read_trained_on(folder: Path) -> dict[str, Any]:
    """Return the record of the clips of training. Empty: the folder is no run, or an encoder without its run.

    Args:
        folder: a stage-one run, or its ``encoder/``.

    Raises:
        DataError: ``run.json`` is no JSON.
    """
    # A run may itself be named "encoder".
    parents = [folder.absolute().parent] if folder.absolute().name == "encoder" else []
    file = next((place / RUN for place in (folder, *parents) if (place / RUN).is_file()), None)
    content = {} if file is None else read_json(file)
    return content.get(TRAINED_ON, {}) if isinstance(content, dict) else {}


def warn_of_other_files(trained_on: Mapping[str, Any], manifest: Manifest, medium: Medium) -> None:
    """Log a warning if an encoder is given videos of another size, or key points of another detector."""
    warn = _warn_of_other_videos if medium == "video" else _warn_of_other_detector
    warn(trained_on, manifest)


def _warn_of_other_detector(trained_on: Mapping[str, Any], manifest: Manifest) -> None:
    detector = trained_on.get("detector")
    known, now = (None if detector is None else PoseDetector(**detector)), manifest.detector
    # Key points of other code have no record, which says nothing against them.
    if known is not None and now is not None and known != now:
        logger.warning(f"The run was trained on key points of {known}, and is given those of {now}.")


def _warn_of_other_videos(trained_on: Mapping[str, Any], manifest: Manifest) -> None:
    now = None if manifest.copies is None else asdict(manifest.copies)
    if trained_on and trained_on.get("copies") != now:
        earlier = "other videos" if trained_on.get("copies") is None else "other small copies (fla shrink)"
        logger.warning(
            f"The run was trained on {earlier}, and is given {manifest.copies or 'the prepared videos'}: "
            "scores may be lower."
        )
