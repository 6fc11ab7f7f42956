"""Score files of sentences: read them, bring them together, check and score."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import DataError
from ..core.progress import say
from ..corpora.manifest import is_manifest, read_manifest
from ..scoring.export import export_pairs
from ..scoring.guessing import count_verbatim, guesses
from ..scoring.pairing import (
    check_same_references,
    common_language,
    differing_references,
    drop_missing,
    pair,
)
from ..scoring.protocols import DEFAULT_PROTOCOL, named_protocols
from ..scoring.score import DEFAULT_RESAMPLES
from ..scoring.scorecard import ProtocolScores, Systems, describe_rows, score_systems
from ..scoring.sentences import SentenceFile, Sentences, read_sentence_file

SHOWN = 3
"""Differing references that are shown."""


@dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """What is to be scored, and how."""

    hypotheses: Sequence[Path]
    """One file, or two to be compared."""
    refs: Path | None = None
    """References or a manifest; None: the predictions file's own, or those of ``manifest``."""
    manifest: Path | None = None
    """Whose sentences the references must be."""
    split: str = "test"
    """Of a manifest."""
    language: str | None = None
    """ISO 639 code; None: what the files say, else English."""
    protocol: str = DEFAULT_PROTOCOL
    """A name, or ``all``."""
    intervals: bool = False
    """Give 95 % intervals."""
    resamples: int = DEFAULT_RESAMPLES
    """Test sets drawn for intervals and comparisons."""
    train: Path | None = None
    """Training sentences: a file of sentences, or a manifest, whose split ``train`` is taken."""
    baselines: bool = False
    """Score what sees no video, too; needs ``train``."""
    allow_missing: bool = False
    """Score the ids that all files have."""
    export: Path | None = None
    """Folder for what other metrics need."""


@dataclass(frozen=True, kw_only=True)
class Scorecard:
    """All that was found."""

    rows: Sequence[ProtocolScores]
    missing: Sequence[str]
    """Ids that were left out, since a file lacks them."""
    differing: Sequence[str]
    """References that are not the manifest's sentences, in words."""
    verbatim: int | None
    """Test sentences that stand in the training file."""

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
        """Return the same for people."""
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
    """Score what a request names.

    Raises:
        DataError: files that cannot be read or do not belong together, or text a protocol cannot score.
        ConfigError: no such protocol.
    """
    protocols = named_protocols(request.protocol)
    files = [read_sentence_file(path) for path in request.hypotheses]
    sides = [file.hypotheses() for file in files]
    references = _references(files, request)
    truth = None if request.manifest is None else _read_sentences(request.manifest, request.split)
    missing: list[str] = []
    if request.allow_missing:
        references, sides, missing = drop_missing(references, sides)
        if truth is not None:  # a predictions file that brings its own references may lack clips as well
            truth, _, beyond = drop_missing(truth, [references])
            missing = list(dict.fromkeys([*missing, *beyond]))
    systems = [(side.source, pair(side, references)) for side in sides]
    language = request.language or common_language(references, *sides) or _assumed_language()
    training = None if request.train is None else _read_sentences(request.train, "train").texts
    if request.export is not None:
        ids = references.ids or tuple(str(number) for number in range(1, len(references.texts) + 1))
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
        ),
        missing=missing,
        differing=[] if truth is None else differing_references(references, truth),
        verbatim=None if training is None else count_verbatim(references.texts, training),
    )


def _references(files: Sequence[SentenceFile], request: ScoreRequest) -> Sentences:
    """Return the references named, or else those of predictions files, which must agree."""
    if request.refs is not None:
        return _read_sentences(request.refs, request.split)
    if not files[0].is_predictions:
        if request.manifest is not None:
            return _read_sentences(request.manifest, request.split)
        raise DataError(
            f"{files[0].path} must be scored against references, but has none.\nName them: --refs"
        )
    references = files[0].references()
    for file in files[1:]:
        if file.is_predictions and not request.allow_missing:
            check_same_references(file.references(), references)
    return references


def _read_sentences(path: Path, split: str) -> Sentences:
    """Return the sentences of a manifest's split, or the references of any other file."""
    if not is_manifest(path):
        return read_sentence_file(path).references()
    samples = read_manifest(path).split(split)
    return Sentences(
        source=f"{path} ({split})",
        texts=tuple(sample.text for sample in samples),
        ids=tuple(sample.id for sample in samples),
        languages=frozenset(sample.language for sample in samples),
    )


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
            "The baselines are made of training sentences, but none are named.\nName them: --train"
        )
    return guesses(hypotheses, references, training)


def _assumed_language() -> str:
    say("The files do not say their language: taken as en. Name it with --language.")
    return "en"
