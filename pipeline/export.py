"""Export of a stage-two run, with scores on a cache and a model card."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.device import Precision
from ..core.errors import FlaError, RunError
from ..diffusion.run_files import AUTOENCODER, DENOISER, is_diffusion_run
from ..encoder.folder import is_encoder
from ..encoder.frozen import FrozenEncoder
from ..finetune.export import ExportResult, export_run
from ..finetune.run_files import PROJECTOR, reads_key_points
from ..finetune.streams import StreamRecord
from .card import write_card
from .evaluate import evaluate_stage_two
from .evaluation import Evaluation, Request
from .precheck import check_run_parts, needs_weights
from .results import read_scores
from .stream_encoder import made_again

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ExportedAndScored:
    """Result of ``fla export``: files, model card, scores."""

    exported: ExportResult
    card: Path
    evaluation: Evaluation | None
    """Scores of the export. None: no cache was given."""

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        scores = None if self.evaluation is None else self.evaluation.to_dict()
        return {**self.exported.to_dict(), "card": str(self.card), "scores": scores}

    def describe(self) -> str:
        """Return the result as text for people."""
        how = "merged" if self.exported.merged else "with its adapters"
        # Megabytes as in file managers and on the hub: 10**6 bytes.
        first = f"{self.exported.out}: {how}, {self.exported.size_bytes / 1e6:.1f} MB\nmodel card {self.card}"
        return first if self.evaluation is None else f"{first}\n\n{self.evaluation.describe()}"


def export(
    run: Path,
    out: Path,
    *,
    merge: bool,
    precision: Precision = "auto",
    llm: str | None = None,
    ckpt: Path | None = None,
    with_llm: bool = False,
    features: Path | None = None,
    request: Request,
) -> ExportedAndScored:
    """Export a run with :func:`.export_run`, score the export, and write the model card.

    Args:
        run: a finished stage-two run.
        out: a new or empty folder.
        merge: whether to add the adapters to the weights of the unquantised base model.
        precision: number format of the merged weights.
        llm: present path of the base model, if the model was moved.
        ckpt: the encoder of the run's features, to copy: an encoder directory, or the weights of the timm
            model or clip encoder that the run records. None: the encoder that the run holds or names. Without
            any the export has no encoder, and a warning says so.
        with_llm: whether to copy the base model.
        features: a cache to score the export on. None: no scores.
        request: split of the cache, and device.
    """
    described, is_diffusion = check_run_parts(run), is_diffusion_run(run)
    if merge and is_diffusion:
        raise RunError(
            f"{run} draws its sentences by diffusion over a frozen language model, so there is nothing to "
            "merge.\nLeave --merge out."
        )
    folder, encoder = _encoder(run, described, ckpt)
    exported = export_run(
        run, out, merge=merge, precision=precision, llm=llm, ckpt=folder, encoder=encoder, with_llm=with_llm,
        device=request.device, described=described,
        weights=(AUTOENCODER, DENOISER) if is_diffusion else (PROJECTOR,),
    )  # fmt: skip
    # The card shows the scores of the run beside the scores of the export.
    before = read_scores(run)
    # Merging into an unquantised base changes the scores: the export is scored, not the run. No llm here: the
    # export has the path of the language model, or holds the merged model.
    evaluation = None if features is None else evaluate_stage_two(out, features, request=request)
    return ExportedAndScored(
        exported=exported, card=write_card(out, run_scores=before), evaluation=evaluation
    )


def _encoder(
    run: Path, described: dict[str, Any], ckpt: Path | None
) -> tuple[Path | None, FrozenEncoder | None]:
    """Return the encoder directory to copy, or the encoder to write. Both None: there is no encoder."""
    if ckpt is None and is_encoder(run):
        return run, None
    if not needs_weights(described) or (ckpt is not None and is_encoder(ckpt)):
        if ckpt is None and not reads_key_points(described):
            logger.warning(
                f"The export has no encoder: add --ckpt, and fla translate --model {run.name} works."
            )
        return ckpt, None
    stream = StreamRecord.from_dict(described["streams"][0])
    try:
        encoder = made_again(run, stream, weights=ckpt)
    except FlaError as error:
        # Named by the user, the weights must be usable.
        if ckpt is not None:
            raise
        logger.warning(f"The export has no encoder: {error}")
        return None, None
    if encoder is None:
        logger.warning(
            "The export has no encoder: give the weights that fla extract was given, by --ckpt PATH."
        )
    return None, encoder
