"""Start of a run from the projectors of an earlier run."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from ..core.errors import RunError
from ..core.files import sha256_file
from ..core.weights import load_into, load_tensors, read_tensors
from .projector import FusedProjector, GatedProjectors
from .run_files import PROJECTOR, check_parts
from .streams import StreamRecord, records_of

if TYPE_CHECKING:
    from .model import StageTwoModel

logger = logging.getLogger(__name__)


def describe_init(init: Path | None) -> str | None:
    """Return SHA-256 of the projectors of an earlier run, which a resume compares."""
    return None if init is None else sha256_file(init / PROJECTOR)


def load_projectors(model: "StageTwoModel", init: Path) -> None:
    """Load the projectors of an earlier run into the first streams of the model.

    Raises:
        RunError: the earlier run has more streams, or gates without a place in the model.
        ModelError: a projector has other settings.
    """
    given = records_of(check_parts(init))
    if isinstance(model.projector, FusedProjector):
        # Joined streams have one projector, which fits as a whole or not at all.
        load_into(model.projector, init / PROJECTOR, of="the projector of the joined streams")
        return
    if len(given) > len(model.projectors):
        raise RunError(
            f"{init} must have at most the {len(model.projectors)} streams of --features, but has "
            f"{len(given)}.\nGive --features once for each stream, in the order of {init}."
        )
    tensors = read_tensors(init / PROJECTOR)
    _load_gates(model, tensors, init)
    for number, (projector, found) in enumerate(zip(model.projectors, given, strict=False)):
        start = f"streams.{number}." if len(given) > 1 else ""
        own = {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}
        load_tensors(projector, own, file=init / PROJECTOR, of=f"the projector of stream {number + 1}")
        _warn_of_other_features(init, found, model.streams[number], number=number)


def _load_gates(model: "StageTwoModel", tensors: Mapping[str, Tensor], init: Path) -> None:
    """Load the gates of an earlier run. A run without gates leaves the new gates closed."""
    gates = {name.removeprefix("gates."): t for name, t in tensors.items() if name.startswith("gates.")}
    if not gates:
        return
    own = model.projector.gates if isinstance(model.projector, GatedProjectors) else None
    # Without its gates a stream would be added in full, or not at all.
    if own is None or len(own.state_dict()) != len(gates):
        raise RunError(
            f"{init} joins its streams by gates, and must begin a run of the same streams with fuse=gate."
        )
    load_tensors(own, gates, file=init / PROJECTOR, of="the gates of the streams")


def _warn_of_other_features(init: Path, found: StreamRecord, own: StreamRecord, *, number: int) -> None:
    if found.fingerprint != own.fingerprint:
        logger.warning(
            f"{init} was tuned on features of encoder {found.fingerprint[:16]} in stream {number + 1}, and "
            f"this run reads features of {own.fingerprint[:16]}."
        )
