"""Score a run of either stage on a split, against the raw sentences."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..cache.reader import FeatureCache
from ..core.config import load_config
from ..core.device import resolve_device, resolve_dtype
from ..core.errors import DataError
from ..core.files import read_json, write_json
from ..core.progress import say
from ..core.sample import Split
from ..corpora.manifest import read_manifest
from ..finetune.data import FeatureItems, feature_evaluation_set
from ..finetune.lossy import count_too_long
from ..finetune.model import StageTwoModel, check_n_best
from ..finetune.store import EvaluationBounds, check_streams, load_stage_two, recorded_bounds
from ..pretrain.config import check_search
from ..pretrain.data import clip_evaluation_set
from ..pretrain.model import StageOneModel
from ..pretrain.store import load_stage_one
from ..scoring.protocols import DEFAULT_PROTOCOL, named_protocols
from ..scoring.score import Scores
from ..scoring.scorecard import Row, Systems, describe_rows, score_systems
from ..scoring.shuffle import other_sentences
from ..training.config import DecodingConfig
from ..training.evaluation import EvaluationSet, Translations, predict, translate_all, write_predictions

SCORES_FILE = "scores.json"
"""In a run: name of an evaluation -> its scores."""
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
    protocol: str = DEFAULT_PROTOCOL
    """How to score: a protocol's name, or ``all``."""
    n_best: int | None = None
    """Stage two: hypotheses written for each clip, with their scores; None for the best alone, unscored."""
    phase: int = 0
    """Stage one: index of the first frame kept of every ``stride``."""

    @property
    def name(self) -> str:
        """What the files of this evaluation are called after."""
        parts = [self.split, "shuffled" * self.shuffle_features, f"phase{self.phase}" * bool(self.phase)]
        return "-".join(filter(None, parts))


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores of a split, and where the sentences are."""

    request: Request
    rows: list[Row]
    """One a protocol; the first has scores."""
    decoding: dict[str, Any]
    bounds: EvaluationBounds | None
    """Stage two: of the batches that were translated; None in stage one."""
    predictions: Path
    too_long: int | None
    """References with more tokens than the search may give; None for stage one, which does not count them."""

    @property
    def scores(self) -> Scores:
        """The scores under the first protocol."""
        return self.rows[0].own[0][1]

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints and ``scores.json`` holds, the first protocol's figures above all."""
        return {
            "split": self.request.split,
            "shuffled": self.request.shuffle_features,
            "phase": self.request.phase,
            **self.scores.to_dict(),
            "protocols": {row.protocol: row.to_dict() for row in self.rows},
            "decoding": self.decoding,
            "evaluation_batches": self.bounds,
            "too_long": self.too_long,
            "predictions": str(self.predictions),
        }

    def describe(self) -> str:
        """Return the scores for people."""
        shuffled = " with shuffled features" if self.request.shuffle_features else ""
        return "\n\n".join(
            [
                f"{self.request.split}{shuffled}: {self.scores.count} clips",
                describe_rows(self.rows),
                f"predictions {self.predictions}",
            ]
        )


def evaluate_stage_one(
    run: Path, manifest: Path, *, request: Request, root: Path | None = None
) -> Evaluation:
    """Translate videos with stage one's light translation model.

    Args:
        run: a stage-one run.
        manifest: which clips.
        request: split, phase, decoding and the rest.
        root: where the manifest's videos lie on this machine.
    """
    device = resolve_device(request.device)
    samples = read_manifest(manifest, root=root, limit=request.limit)
    model = load_stage_one(run, device=device)
    chosen = samples.split(request.split)
    if not chosen:
        raise DataError(f"{manifest} has no clips in split {request.split!r}.")
    order = _order(request, [sample.id for sample in chosen], [sample.text for sample in chosen])
    evaluation = clip_evaluation_set(samples, request.split, model=model, phase=request.phase, order=order)
    return _evaluate(model, evaluation, run=run, request=request)


def evaluate_stage_two(run: Path, features: Path | Sequence[Path], *, request: Request) -> Evaluation:
    """Translate cached features with stage two's language model; no video is read.

    Args:
        run: a stage-two run.
        features: a cache; of a run with several streams a cache of each, in the order of ``fla tune``; or
            several corpora in one language. Each must have the split.
        request: split, decoding and the rest.

    Raises:
        CacheError: the caches come from other encoders than the run was tuned on, or in another order.
        DataError: the clips are in several languages.
    """
    device = resolve_device(request.device)
    folders = [features] if isinstance(features, Path) else features
    items = FeatureItems([FeatureCache(folder, request.split) for folder in folders], limit=request.limit)
    _one_language(items.languages)  # a mixture is refused before any work
    model = load_stage_two(run, device=device)
    check_streams(model, items.records)
    bounds = recorded_bounds(run, model.config)
    order = _order(request, items.ids, items.texts)
    evaluation = feature_evaluation_set(items, model=model, **bounds, order=order)
    return _evaluate(model, evaluation, run=run, request=request, bounds=bounds)


def _order(request: Request, ids: list[str], texts: list[str]) -> list[int] | None:
    return other_sentences(ids, texts, seed=request.seed) if request.shuffle_features else None


def _evaluate(
    model: StageOneModel | StageTwoModel,
    evaluation: EvaluationSet,
    *,
    run: Path,
    request: Request,
    bounds: EvaluationBounds | None = None,
) -> Evaluation:
    decoding = _decoding(model, request)
    predictions = run / f"predictions-{request.name}.jsonl"
    too_long = None
    if isinstance(model, StageTwoModel):
        too_long = count_too_long(
            model.wording, evaluation.references, split=request.split, max_new_tokens=decoding.max_new_tokens
        )
    translations, n_best = _translate(model, evaluation, request=request, decoding=decoding)
    for clip in translations.unreadable:
        say(str(clip))
    write_predictions(predictions, translations, n_best=n_best)
    rows = score_systems(
        Systems(own=[(str(predictions), translations.hypotheses)]),
        translations.references,
        language=_one_language(translations.languages),
        protocols=named_protocols(request.protocol),
    )
    result = Evaluation(
        request=request, rows=rows, decoding=vars(decoding), bounds=bounds, predictions=predictions,
        too_long=too_long,
    )  # fmt: skip
    _keep_scores(run / SCORES_FILE, request.name, result)
    return result


def _decoding(model: StageOneModel | StageTwoModel, request: Request) -> DecodingConfig:
    """Return the run's search with what is asked; of a diverse one each beam is a hypothesis."""
    source, overrides = request.decoding
    decoding = load_config(DecodingConfig, base=model.config.decoding, source=source, overrides=overrides)
    if isinstance(model, StageOneModel):
        check_search(decoding)
        return decoding
    if request.n_best is not None and decoding.diversity > 0:
        decoding = replace(decoding, num_beams=max(decoding.num_beams, request.n_best))
    if request.n_best is not None:
        check_n_best(request.n_best, decoding)
    return decoding


def _translate(
    model: StageOneModel | StageTwoModel,
    evaluation: EvaluationSet,
    *,
    request: Request,
    decoding: DecodingConfig,
) -> tuple[Translations[str], list[list[dict[str, Any]]] | None]:
    """Return the best sentence of each clip, and where asked for its ``n_best``."""
    device = resolve_device(request.device)
    dtype = resolve_dtype(model.config.training.precision, device)
    desc = f"translating {request.split}"
    if request.n_best is None or isinstance(model, StageOneModel):
        return predict(model, evaluation, decoding=decoding, device=device, dtype=dtype, desc=desc), None
    search = partial(model.translate_n_best, decoding=decoding, count=request.n_best)
    found = translate_all(model, evaluation, translate=search, device=device, dtype=dtype, desc=desc)
    best = [hypotheses[0]["text"] for hypotheses in found.hypotheses]
    return replace(found, hypotheses=best), found.hypotheses


def _keep_scores(path: Path, name: str, result: Evaluation) -> None:
    """Put a result among those of other splits, replacing an earlier one of its name."""
    earlier = read_json(path) if path.exists() else {}
    write_json(path, earlier | {name: result.to_dict()})


def _one_language(of_clips: Sequence[str]) -> str:
    languages = sorted(set(of_clips))
    if len(languages) > 1:
        raise DataError(
            f"A score needs one language, but the clips are in {' and '.join(languages)}.\n"
            "Evaluate one cache at a time."
        )
    return languages[0]
