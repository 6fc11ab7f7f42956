"""Report of runs: one HTML file that needs no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..cache.reader import FeatureCache
from ..core.errors import CacheError
from ..core.files import atomic_write
from ..core.sample import Split
from ..pretrain.run_files import read_settings
from ..scoring.scorecard import COLUMNS
from .attention import caches_of, signers_of
from .clips import ClipGroup, Shown, clip_groups
from .curves import HEIGHT, WIDTH, draw_charts
from .faults import Faults
from .frames import SeenClip, seen_clip
from .inputs import Request, find_inputs
from .page import render
from .read_run import read_run, run_names
from .sentences import Group, by_length, by_signer, has_no_spaces, read_sentences
from .tables import headline, provenance_table, score_rows, settings_table


@dataclass(frozen=True, kw_only=True)
class Report:
    """Result of ``fla report``."""

    out: Path
    size_bytes: int
    runs: list[str]
    clips: int
    """Number of clips shown."""
    faults: list[str]
    """Parts that could not be shown, with the reason. An absent manifest or cache is no fault."""

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        return vars(self) | {"out": str(self.out)}

    def describe(self) -> str:
        """Return the result as text for people."""
        lines = [
            f"{self.out}   {self.size_bytes / 1024:.0f} KiB, {self.clips} clips of {', '.join(self.runs)}"
        ]
        return "\n".join([*lines, *(f"not shown: {fault}" for fault in self.faults)])


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """Scores of a run by groups of clips."""

    run: int
    name: str
    unit: str
    """Unit of lengths: words or characters."""
    by_length: list[Group]
    by_signer: list[Group]
    """Empty: no signer is known."""


def write_report(folders: Sequence[Path], out: Path, *, request: Request) -> Report:
    """Write the report of runs into one HTML file.

    Args:
        folders: run directories of either stage.
        out: the file. An existing file is replaced.
        request: manifest, caches, split and bounds.

    Raises:
        RunError: a folder is no run.
        DataError: a file of a run, or the given manifest, is damaged.
    """
    names, faults = run_names(folders), Faults()
    runs = [
        read_run(folder, name=name, split=request.split) for folder, name in zip(folders, names, strict=True)
    ]
    inputs = find_inputs(runs, request, faults)
    shown = [
        Shown(number=number, run=run, sentences=read_sentences(run), inputs=own)
        for number, (run, own) in enumerate(zip(runs, inputs, strict=True))
    ]
    # Before the page: faults found here stand on it.
    groups = clip_groups(shown, request=request, faults=faults)
    page = render(_content(shown, groups, request, faults))
    with atomic_write(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Report(
        out=out,
        size_bytes=out.stat().st_size,
        runs=names,
        clips=sum(len(group.cards) for group in groups),
        faults=faults.found,
    )


def _content(
    shown: Sequence[Shown], groups: Sequence[ClipGroup], request: Request, faults: Faults
) -> dict[str, Any]:
    """Return what the templates show, by name."""
    runs = [own.run for own in shown]
    rows = [score_rows(own.number, own.run, own.sentences, split=request.split) for own in shown]
    return {
        "version": __version__,
        "runs": runs,
        "split": request.split,
        "columns": list(COLUMNS),
        "headlines": [headline(own) for own in rows],
        "score_rows": [row for own in rows for row in own],
        "charts": draw_charts(runs),
        "chart_size": (WIDTH, HEIGHT),
        "seen": _seen(shown, faults),
        "groups": groups,
        "needs": [need for own in shown for need in own.inputs.needs],
        "breakdowns": [_breakdown(own, request, faults) for own in shown if own.sentences],
        "uncovered": [_uncovered(own, request.split) for own in shown],
        "faults": faults.found,
        "settings": settings_table(runs),
        "provenance": provenance_table(runs),
    }


def _seen(shown: Sequence[Shown], faults: Faults) -> list[SeenClip]:
    """Return a training clip as the encoder of each finished stage-one run receives it."""
    found: list[SeenClip] = []
    for own in shown:
        if own.run.stage == 2 or not own.run.is_finished or own.inputs.manifest is None:
            continue
        clip = seen_clip(own.run, own.inputs.manifest, read_settings(own.run.folder))
        if clip is not None:
            found.append(clip)
            if clip.fault is not None:
                faults.add(f"Training frames of {clip.run}, clip {clip.id!r}", clip.fault)
    return found


def _breakdown(shown: Shown, request: Request, faults: Faults) -> Breakdown:
    rows, signers = shown.sentences, _signers(shown, request, faults)
    return Breakdown(
        run=shown.number,
        name=shown.run.name,
        unit="characters" if has_no_spaces(rows[0].language) else "words",
        by_length=by_length(rows),
        by_signer=by_signer(rows, signers) if signers else [],
    )


def _signers(shown: Shown, request: Request, faults: Faults) -> Mapping[str, str]:
    caches: list[FeatureCache] = []
    try:
        if shown.run.stage == 2 and shown.inputs.features:
            caches = caches_of(shown.run, shown.inputs.features, request.split)
    except CacheError as error:
        faults.add(f"Signers of {shown.run.name}", error)
    return signers_of(shown.inputs.manifest, caches, split=request.split)


def _uncovered(shown: Shown, split: Split) -> dict[str, str]:
    """Return the clips of the split without a sentence: id -> reason."""
    found = dict(shown.run.missing.get(split, {}))
    # Missing clips of training have a reason, the others only the fact.
    # All rows of the file count: only translations have a place among the sentences.
    file = shown.run.predictions
    known = set() if file is None else set(file.columns["id"])
    # A run that has not translated the split at all lacks no single clips.
    planned = shown.inputs.manifest.split(split) if shown.inputs.manifest and known else []
    for sample in planned:
        if sample.id not in known:
            found.setdefault(sample.id, "The predictions do not hold the clip.")
    return found
