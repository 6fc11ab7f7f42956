"""Report of runs: one HTML file that needs no network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..core.errors import CacheError
from ..core.files import atomic_write
from ..pretrain.run_files import read_settings
from ..scoring.scorecard import COLUMNS
from .attention import caches_of, signers_of
from .clips import ClipGroup, Faults, Material, clip_groups
from .curves import HEIGHT, WIDTH, draw_charts
from .frames import SeenClip, seen_clip
from .page import render
from .read_run import RunRecord, read_run, run_names
from .sentences import Group, Sentence, by_length, by_signer, has_no_spaces, read_sentences
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
    """What could not be shown, with the reason. What was not given, such as a manifest, is no fault."""

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


def write_report(folders: Sequence[Path], out: Path, *, material: Material) -> Report:
    """Write the report of runs into one HTML file.

    Args:
        folders: run directories of either stage.
        out: the file. An existing file is replaced.
        material: manifest, caches, split and bounds.

    Raises:
        RunError: a folder is no run.
        DataError: a file of a run is damaged.
    """
    names = run_names(folders)
    runs = [
        read_run(folder, name=name, split=material.split) for folder, name in zip(folders, names, strict=True)
    ]
    faults = Faults()
    sentences = [read_sentences(run) for run in runs]
    groups = clip_groups(runs, sentences, material=material, faults=faults)
    page = render(_content(runs, sentences, groups, material, faults))
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
    runs: Sequence[RunRecord],
    sentences: Sequence[Sequence[Sentence]],
    groups: Sequence[ClipGroup],
    material: Material,
    faults: Faults,
) -> dict[str, Any]:
    """Return what the templates show, by name."""
    rows = [
        score_rows(number, run, own, split=material.split)
        for number, (run, own) in enumerate(zip(runs, sentences, strict=True))
    ]
    return {
        "version": __version__,
        "runs": runs,
        "material": material,
        "columns": list(COLUMNS),
        "headlines": [headline(own) for own in rows],
        "score_rows": [row for own in rows for row in own],
        "charts": draw_charts(runs),
        "chart_size": (WIDTH, HEIGHT),
        "seen": _seen(runs, material, faults),
        "groups": groups,
        "breakdowns": _breakdowns(runs, sentences, material, faults),
        "uncovered": _uncovered(runs, sentences, material),
        "faults": faults.found,
        "settings": settings_table(runs),
        "provenance": provenance_table(runs),
    }


def _seen(runs: Sequence[RunRecord], material: Material, faults: Faults) -> list[SeenClip]:
    """Return a training clip as the encoder of each finished stage-one run receives it."""
    if material.manifest is None:
        return []
    found = [
        seen_clip(run, material.manifest, read_settings(run.folder))
        for run in runs
        if run.stage == 1 and run.is_finished
    ]
    for clip in filter(None, found):
        if clip.fault is not None:
            faults.add(f"Training frames of {clip.run}, clip {clip.id!r}", clip.fault)
    return [clip for clip in found if clip is not None]


def _breakdowns(
    runs: Sequence[RunRecord], sentences: Sequence[Sequence[Sentence]], material: Material, faults: Faults
) -> list[Breakdown]:
    found: list[Breakdown] = []
    for number, (run, rows) in enumerate(zip(runs, sentences, strict=True)):
        if not rows:
            continue
        signers = _signers(run, material, faults)
        found.append(
            Breakdown(
                run=number,
                name=run.name,
                unit="characters" if has_no_spaces(rows[0].language) else "words",
                by_length=by_length(rows),
                by_signer=by_signer(rows, signers) if signers else [],
            )
        )
    return found


def _signers(run: RunRecord, material: Material, faults: Faults) -> dict[str, str]:
    try:
        caches = (
            caches_of(run, material.features, material.split) if run.stage == 2 and material.features else []
        )
    except CacheError as error:
        faults.add(f"Signers of {run.name}", error)
        caches = []
    return dict(signers_of(material.manifest, caches, split=material.split))


def _uncovered(
    runs: Sequence[RunRecord], sentences: Sequence[Sequence[Sentence]], material: Material
) -> list[dict[str, str]]:
    """Return for each run the clips of the split without a sentence: id -> reason."""
    planned = [sample.id for sample in material.manifest.split(material.split)] if material.manifest else []
    found: list[dict[str, str]] = []
    for run, rows in zip(runs, sentences, strict=True):
        known, own = {row.id for row in rows}, dict(run.missing.get(material.split, {}))
        for id in planned if rows else ():
            if id not in known:
                own.setdefault(id, "The predictions do not hold the clip.")
        found.append(own)
    return found
