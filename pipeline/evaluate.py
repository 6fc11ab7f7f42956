"""Evaluation of a run of either stage on a split, against the sentences of the corpus."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cache.reader import FeatureCache
from ..core.config import load_config
from ..core.device import resolve_device, resolve_dtype
from ..core.errors import DataError
from ..core.files import read_json
from ..core.missing import log_missing
from ..core.sample import DEFAULT_TASK, Medium, Sample, Task
from ..corpora.manifest import Manifest, has_file, read_manifest
from ..corpora.trained_on import RUN, TRAINED_ON, read_trained_on, warn_of_other_files
from ..finetune.data import FeatureItems
from ..finetune.run import CLIPS
from ..finetune.run_files import RUN as RUN_FILE
from ..finetune.store import EvaluationBounds, check_streams, recorded_bounds
from ..llm.tokenizer_coverage import count_too_long
from ..pretrain.config import check_search
from ..pretrain.data import evaluation_set
from ..pretrain.model import StageOneModel
from ..pretrain.poses import open_store
from ..pretrain.store import load_stage_one
from ..scoring.protocols import named_protocols
from ..scoring.scorecard import Systems, score_systems
from ..scoring.shuffle import other_sentences
from ..training.config import DecodingConfig
from ..training.evaluation import EvaluationSet, Translations, predict, score_tasks, write_predictions
from .cache_models import CacheModel, decoding_of, evaluation_set_of, load_cache_model
from .candidates import Candidates, check_choice, scores_of_candidates, translate_candidates
from .evaluation import Coverage, Evaluation, Request
from .results import earlier_protocols, evaluation_name, keep_scores, predictions_path, trial_settings

logger = logging.getLogger(__name__)


def evaluate_stage_one(
    run: Path, manifest: Path, *, request: Request, root: Path | None = None
) -> Evaluation:
    """Translate videos with the light translation model of stage one, and score the sentences.

    Args:
        run: a stage-one run.
        manifest: file of the clips.
        request: split, phase, decoding and other settings.
        root: folder of the videos on this machine.
    """
    device = resolve_device(request.device)
    samples = read_manifest(manifest, root=root)
    model = load_stage_one(run, device=device)
    whole = samples.split(request.split)
    if not whole:
        raise DataError(f"{manifest} has no clips in split {request.split!r}.")
    chosen = whole[: request.limit]
    medium = model.config.encoder.medium
    warn_of_other_files(read_trained_on(run), samples, medium)
    samples.file(chosen[0], medium)  # an absent root gives one error here, not one per clip later
    clips = [(sample.id, sample.text, sample.task) for sample in chosen]
    order = _order(request, *zip(*clips, strict=True))
    store = open_store(samples, model.config.encoder)
    evaluation = evaluation_set(chosen, store=store, config=model.config, phase=request.phase, order=order)
    coverage = Coverage(
        clips=len(whole),
        missing={},  # damage inside a file shows at its batch
        corpora=[samples.corpus],
        trained_on=_corpora(run / RUN, TRAINED_ON, "corpus"),
    )
    further = {sample.id: sample.references for sample in chosen}
    return _evaluate(model, evaluation, run=run, request=request, coverage=coverage, further=further)


def _check_root(manifest: Manifest, samples: Sequence[Sample], medium: Medium) -> None:
    """Refuse an absent root with one error, instead of one per clip later."""
    there = [sample for sample in samples if has_file(sample, medium)]
    manifest.file((there or samples)[0], medium)


def evaluate_stage_two(run: Path, features: Path | Sequence[Path], *, request: Request) -> Evaluation:
    """Translate cached features with the language model of stage two, and score the sentences.

    Args:
        run: a stage-two run.
        features: a cache, or several: for a run with several streams one per stream, in the order of ``fla
            tune``, or one per corpus. Each must have the split, and all translations one language.
        request: split, decoding and other settings.

    Raises:
        CacheError: the encoders of the caches, or their order, differ from the tuning.
        DataError: the translations are in several languages.
    """
    device = resolve_device(request.device)
    folders = [features] if isinstance(features, Path) else features
    items = FeatureItems([FeatureCache(folder, request.split) for folder in folders], limit=request.limit)
    log_missing(request.split, items.missing)
    _one_language(items.languages, items.tasks)  # refused before the model is loaded
    _warn_of_other_tasks(run, items.tasks)
    model = load_cache_model(run, device=device, llm=request.llm)
    # Features of another encoder would give sentences without an error.
    check_streams(model, items.records)
    bounds = recorded_bounds(run, model.config)
    order = _order(request, items.ids, items.texts, items.tasks)
    evaluation = evaluation_set_of(model, items, bounds=bounds, order=order)
    coverage = Coverage(
        clips=items.num_usable + len(items.missing),
        missing=items.missing,
        corpora=items.corpora,
        trained_on=_corpora(run / CLIPS, "train", "corpora"),
    )
    further = items.further_references
    return _evaluate(
        model, evaluation, run=run, request=request, coverage=coverage, further=further, bounds=bounds
    )


def _corpora(file: Path, *keys: str) -> list[str]:
    """Return the corpora in the record of a run under ``keys``, or an empty list."""
    found: Any = read_json(file) if file.is_file() else {}
    for key in keys:
        found = found.get(key, {})
    # Stage one records a single corpus, stage two a list.
    return [found] if isinstance(found, str) else list(found)


def _warn_of_other_tasks(run: Path, tasks: Sequence[Task]) -> None:
    """Log a warning if a run is given clips of tasks on which it was not tuned."""
    # A run without a record of tasks translates. A damaged run is refused when the model is loaded.
    tuned: list[str] = (
        read_json(run / RUN_FILE).get("tasks", [DEFAULT_TASK]) if (run / RUN_FILE).is_file() else []
    )
    if tuned and (others := sorted(set(tasks) - set(tuned))):
        logger.warning(
            f"The run was tuned on {' and '.join(tuned)} alone, and is given clips of {' and '.join(others)}."
        )


def _order(
    request: Request, ids: Sequence[str], texts: Sequence[str], tasks: Sequence[Task]
) -> list[int] | None:
    return other_sentences(ids, texts, tasks, seed=request.seed) if request.shuffle_features else None


def _evaluate(
    model: StageOneModel | CacheModel,
    evaluation: EvaluationSet,
    *,
    run: Path,
    request: Request,
    coverage: Coverage,
    further: Mapping[str, Sequence[str]],
    bounds: EvaluationBounds | None = None,
) -> Evaluation:
    decoding = _decoding(model, request)
    check_choice(request)
    # A wrong protocol is refused here, before hours of translation.
    protocols = named_protocols(request.protocol)
    language = _one_language(evaluation.languages, evaluation.tasks)
    too_long = None
    if not isinstance(model, StageOneModel):
        too_long = count_too_long(
            model.codec, evaluation.references, split=request.split, max_new_tokens=decoding.max_new_tokens
        )
    translations, n_best = _translate(
        model, evaluation, request=request, decoding=decoding, protocol=protocols[0]
    )
    # Damage inside a file shows only now: the name and the scores must state these clips.
    for clip in translations.unreadable:
        logger.warning(str(clip))
    coverage = coverage.without(translations.unreadable)
    trial = trial_settings(request, decoding, own=model.config.decoding)
    name = evaluation_name(request, coverage, trial=trial, scored=len(translations.ids), run=run)
    # Written before scoring: an error in a protocol must not lose the translations.
    predictions = predictions_path(run, name)
    write_predictions(predictions, translations, n_best=n_best)
    translated = translations.of_task(DEFAULT_TASK)
    rows = (
        score_systems(
            Systems(own=[(str(predictions), translated.hypotheses)]),
            translated.references,
            language=language,
            protocols=protocols,
            also=earlier_protocols(run, name, asked=protocols),
            further=[further[id] for id in translated.ids],
        )
        if translated.ids
        else []
    )
    result = Evaluation(
        request=request, name=name, trial=trial, coverage=coverage, rows=rows[: len(protocols)],
        earlier_rows=rows[len(protocols) :], task_scores=score_tasks(translations),
        decoding=vars(decoding), bounds=bounds,
        predictions=predictions, too_long=too_long,
        candidates=scores_of_candidates(
            n_best, translations, language=language, protocol=protocols[0]
        ),
    )  # fmt: skip
    keep_scores(run, result)
    return result


def _decoding(model: StageOneModel | CacheModel, request: Request) -> DecodingConfig:
    """Return the search of the run with the requested changes."""
    if not isinstance(model, StageOneModel):
        return decoding_of(model, request)
    source, overrides = request.decoding
    decoding = load_config(DecodingConfig, base=model.config.decoding, source=source, overrides=overrides)
    # Stage one cannot do diverse beam search, which --set may request here.
    check_search(decoding)
    return decoding


def _translate(
    model: StageOneModel | CacheModel,
    evaluation: EvaluationSet,
    *,
    request: Request,
    decoding: DecodingConfig,
    protocol: str,
) -> tuple[Translations[str], Candidates | None]:
    """Return the chosen sentence of each clip, and ``n_best`` hypotheses if requested."""
    device = resolve_device(request.device)
    dtype = resolve_dtype(model.config.training.precision, device)
    desc = f"translating {request.split}"
    is_drawn = decoding.temperature > 0
    if isinstance(model, StageOneModel) or (request.n_best is None and not is_drawn):
        return predict(model, evaluation, decoding=decoding, device=device, dtype=dtype, desc=desc), None
    return translate_candidates(
        model, evaluation, request=request, decoding=decoding, protocol=protocol,
        device=device, dtype=dtype,
    )  # fmt: skip


def _one_language(of_clips: Sequence[str], tasks: Sequence[Task]) -> str:
    """Return the language of all translations, or an empty text without translations."""
    # Protocols tokenise by language. Other tasks have no protocol.
    pairs = zip(of_clips, tasks, strict=True)
    languages = sorted({language for language, task in pairs if task == DEFAULT_TASK})
    if len(languages) > 1:
        raise DataError(
            f"A score needs one language, but the clips are in {' and '.join(languages)}.\n"
            "Evaluate one cache at a time."
        )
    return "".join(languages)
