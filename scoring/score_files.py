"""Scores of files of sentences: reading, matching by id, checks, scores."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import DataError
from .export import export_pairs
from .guessing import count_verbatim, guesses
from .pairing import (
    check_same_references,
    common_language,
    differing_references,
    drop_missing,
    further_references,
    pair,
)
from .protocols import DEFAULT_PROTOCOL, named_protocols
from .score import DEFAULT_RESAMPLES
from .scorecard import ProtocolScores, Systems, describe_rows, score_systems
from .sentences import SentenceFile, Sentences, read_sentence_file

logger = logging.getLogger(__name__)

SHOWN = 3
"""Number of differing references to print."""


@dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """Hypotheses to score, and how to score them."""

    hypotheses: Sequence[Path]
    """One file, or two files to compare."""
    refs: Sentences | None = None
    """References. None: those in the predictions file, else those of ``manifest``."""
    further: Sequence[Sentences] = ()
    """Further references, for multi-reference BLEU. An empty sentence is no reference."""
    manifest: Sentences | None = None
    """Sentences of the corpus, which the references must equal."""
    language: str | None = None
    """ISO 639 code. None: the language in the files, else English."""
    protocol: str = DEFAULT_PROTOCOL
    """Name of a protocol, or ``all``."""
    intervals: bool = False
    """Whether to compute 95 % intervals."""
    resamples: int = DEFAULT_RESAMPLES
    """Number of test sets drawn for intervals and comparisons."""
    train: Sentences | None = None
    """Training sentences, to count test sentences that occur in training."""
    baselines: bool = False
    """Whether to score guesses that use no video. Needs ``train``."""
    allow_missing: bool = False
    """Whether to score only the ids that all files have."""
    export: Path | None = None
    """Folder for the input files of other metrics."""


@dataclass(frozen=True, kw_only=True)
class Scorecard:
    """Scores of the files, with the sentences that could not be used."""

    rows: Sequence[ProtocolScores]
    missing: Sequence[str]
    """Ids that a file lacks. They are not scored."""
    differing: Sequence[str]
    """A line for each reference that differs from the manifest's sentence."""
    verbatim: int | None
    """Number of test sentences that occur in training. None: no training sentences."""

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints: protocol -> figures."""
        more: dict[str, Any] = {}
        if self.missing:
            more["missing"] = list(self.missing)
        if self.differing:
            more["differing_references"] = len(self.differing)
        if self.verbatim is not None:
            more["verbatim_in_train"] = self.verbatim
        return {row.protocol: row.to_dict() | more for row in self.rows}

    def describe(self) -> str:
        """Return the scores as text for people."""
        parts = [describe_rows(self.rows, missing=len(self.missing))]
        if self.missing:
            parts.append(
                f"{len(self.missing)} sentences are missing and not scored: {', '.join(self.missing)}"
            )
        if self.verbatim is not None:
            parts.append(f"{self.verbatim} of the test sentences stand verbatim in the training file")
        if self.differing:
            parts.append(
                f"{len(self.differing)} references are not the manifest's sentences:\n"
                + "\n".join(f"  {line}" for line in self.differing[:SHOWN])
            )
        return "\n\n".join(parts)


def score_files(request: ScoreRequest) -> Scorecard:
    """Score files of hypotheses.

    Raises:
        DataError: a file is unreadable, the files hold different sentences, no references are given, or a
            protocol cannot score a text.
        ConfigError: no protocol has the given name.
    """
    # A misspelt name is refused before files are read.
    protocols = named_protocols(request.protocol)
    files = [read_sentence_file(path) for path in request.hypotheses]
    sides = [file.hypotheses() for file in files]
    references = _references(files, request)
    truth = request.manifest
    missing: list[str] = []
    if request.allow_missing:
        # All systems are scored on the common ids, so that the figures can be compared.
        references, sides, missing = drop_missing(references, sides)
        if truth is not None:
            # A predictions file with its own references may lack clips of the manifest too.
            truth, _, beyond = drop_missing(truth, [references])
            missing = list(dict.fromkeys([*missing, *beyond]))
    systems = [(side.source, pair(side, references)) for side in sides]
    language = request.language or common_language(references, *sides) or _assumed_language()
    training = None if request.train is None else request.train.texts
    if request.export is not None:
        ids = references.ids or tuple(str(number) for number in range(1, len(references.texts) + 1))
        # Other metrics score one system at a time: the first.
        own = systems[0][1]
        export_pairs(request.export, ids=ids, hypotheses=own, references=references.texts, language=language)
    return Scorecard(
        rows=score_systems(
            Systems(own=systems, guesses=_guesses(systems[0][1], references.texts, training, request)),
            references.texts,
            language=language,
            protocols=protocols,
            resamples=request.resamples,
            intervals=request.intervals,
            further=further_references(request.further, references),
        ),
        missing=missing,
        differing=[] if truth is None else differing_references(references, truth),
        verbatim=None if training is None else count_verbatim(references.texts, training),
    )


def _references(files: Sequence[SentenceFile], request: ScoreRequest) -> Sentences:
    """Return the given references, or else the references of the predictions files."""
    if request.refs is not None:
        return request.refs
    if not files[0].is_predictions:
        if request.manifest is not None:
            return request.manifest
        raise DataError(
            f"{files[0].path} must be scored against references, but has none.\nName them: --refs"
        )
    references = files[0].references()
    # Scores of two systems are comparable only on the same references.
    for file in files[1:]:
        if file.is_predictions and not request.allow_missing:
            check_same_references(file.references(), references)
    return references


def _guesses(
    hypotheses: Sequence[str],
    references: Sequence[str],
    training: Sequence[str] | None,
    request: ScoreRequest,
) -> dict[str, list[str]]:
    if not request.baselines:
        return {}
    if training is None:
        raise DataError(
            "The baselines are made of training sentences, but none are given.\nGive them: --train"
        )
    return guesses(hypotheses, references, training)


def _assumed_language() -> str:
    logger.warning("The files do not say their language: taken as en. Name it with --language.")
    return "en"
