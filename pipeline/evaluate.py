"""Score a run of either stage on a split, against the raw sentences."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cache.reader import FeatureCache
from ..core.config import load_config
from ..core.device import resolve_device, resolve_dtype
from ..core.errors import DataError
from ..core.files import write_json
from ..core.sample import Split
from ..corpora.manifest import read_manifest
from ..finetune.data import FeatureItems, feature_evaluation_set
from ..finetune.model import StageTwoModel
from ..finetune.store import check_features, load_stage_two
from ..pretrain.data import clip_evaluation_set
from ..pretrain.model import StageOneModel
from ..pretrain.store import load_stage_one
from ..scoring import Scores, score
from ..training.config import DecodingConfig
from ..training.evaluation import EvaluationSet, predict, write_predictions
from .shuffle import other_sentences

Decoding = tuple[str | None, tuple[str, ...]]
"""What ``--config`` and ``--set`` say about the search; it goes over the run's own settings."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of a run, whichever its stage."""

    split: Split = "test"
    shuffle_features: bool = False
    """Every clip gets the features of a clip with a different sentence."""
    decoding: Decoding = (None, ())
    limit: int | None = None
    seed: int = 0
    """Draws the shuffle."""
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores of a split, and where the sentences are."""

    split: str
    shuffled: bool
    scores: Scores
    decoding: dict[str, Any]
    predictions: Path

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints and ``scores-<split>.json`` holds."""
        return {
            "split": self.split,
            "shuffled": self.shuffled,
            **self.scores.to_dict(),
            "decoding": self.decoding,
            "predictions": str(self.predictions),
        }

    def describe(self) -> str:
        """Return the scores for people."""
        scores, shuffled = self.scores, " with shuffled features" if self.shuffled else ""
        bleu = (scores.bleu1, scores.bleu2, scores.bleu3, scores.bleu4)
        return "\n".join(
            [
                f"{self.split}{shuffled}: {scores.count} clips",
                "  ".join(f"BLEU-{order} {value:.2f}" for order, value in enumerate(bleu, 1)),
                f"chrF {scores.chrf:.2f}  ROUGE-L {scores.rouge_l:.2f}",
                f"signature {scores.signature}",
                f"predictions {self.predictions}",
            ]
        )


def evaluate_stage_one(
    run: Path, manifest: Path, *, request: Request, root: Path | None = None, phase: int = 0
) -> Evaluation:
    """Translate videos with stage one's light translation model.

    Args:
        run: a stage-one run.
        manifest: which clips.
        request: split, decoding and the rest.
        root: where the manifest's videos lie on this machine.
        phase: index of the first frame kept of every ``stride``.
    """
    device = resolve_device(request.device)
    samples = read_manifest(manifest, root=root, limit=request.limit)
    model = load_stage_one(run, device=device)
    chosen = samples.split(request.split)
    if not chosen:
        raise DataError(f"{manifest} has no clips in split {request.split!r}.")
    order = _order(request, [sample.id for sample in chosen], [sample.text for sample in chosen])
    evaluation = clip_evaluation_set(samples, request.split, model=model, phase=phase, order=order)
    return _evaluate(model, evaluation, run=run, request=request)


def evaluate_stage_two(run: Path, features: Path, *, request: Request) -> Evaluation:
    """Translate cached features with stage two's language model; no video is read.

    Raises:
        CacheError: the cache comes from another encoder than the run was tuned on.
    """
    device = resolve_device(request.device)
    items = FeatureItems([FeatureCache(features, request.split)], limit=request.limit)
    model = load_stage_two(run, device=device)
    check_features(model, items.caches[0].fingerprint)
    training = model.config.training
    evaluation = feature_evaluation_set(
        items,
        collate=model.collate,
        max_clips=training.batch_clips,
        max_steps=training.batch_steps,
        order=_order(request, items.ids, items.texts),
    )
    return _evaluate(model, evaluation, run=run, request=request)


def _order(request: Request, ids: list[str], texts: list[str]) -> list[int] | None:
    return other_sentences(ids, texts, seed=request.seed) if request.shuffle_features else None


def _evaluate(
    model: StageOneModel | StageTwoModel, evaluation: EvaluationSet, *, run: Path, request: Request
) -> Evaluation:
    device = resolve_device(request.device)
    source, overrides = request.decoding
    decoding = load_config(DecodingConfig, base=model.config.decoding, source=source, overrides=overrides)
    hypotheses = predict(
        model,
        evaluation,
        decoding=decoding,
        device=device,
        dtype=resolve_dtype(model.config.training.precision, device),
        desc=f"translating {request.split}",
    )
    scores = score(hypotheses, evaluation.references, language=_one_language(evaluation))
    name = f"{request.split}-shuffled" if request.shuffle_features else request.split
    result = Evaluation(
        split=request.split,
        shuffled=request.shuffle_features,
        scores=scores,
        decoding=vars(decoding),
        predictions=run / f"predictions-{name}.jsonl",
    )
    write_predictions(result.predictions, evaluation, hypotheses)
    write_json(run / f"scores-{name}.json", result.to_dict())
    return result


def _one_language(evaluation: EvaluationSet) -> str:
    languages = sorted(set(evaluation.languages))
    if len(languages) > 1:
        raise DataError(
            f"A score needs one language, but the clips are in {' and '.join(languages)}.\n"
            "Evaluate one cache at a time."
        )
    return languages[0]
