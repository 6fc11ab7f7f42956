"""Clips of a report: frames, sentences and attention of the best, median and worst translations."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import FlaError
from ..core.sample import Split
from ..corpora.manifest import Manifest
from ..pretrain.run_files import read_settings
from .attention import AttentionMap, Maps, caches_of, stage_one_maps, stage_two_maps
from .frames import evaluation_frames, extraction_config, thumbnails
from .read_run import RunRecord
from .sentences import Sentence, choose

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Material:
    """Inputs of a report beside the runs."""

    manifest: Manifest | None = None
    """The clips with their videos. None: no frames, and no attention of stage one."""
    features: Sequence[Path] = ()
    """Caches. Empty: no attention of stage two."""
    llm: str | None = None
    """Present path of the language model. None: the path at tuning."""
    split: Split = "dev"
    device: str = "auto"
    clips: int = 2
    """Number of clips of each kind: best, median, worst."""


@dataclass(frozen=True, kw_only=True)
class Translation:
    """Translation of a clip by one run."""

    run: int
    """Number of the run on the page."""
    name: str
    text: str
    chrf: float
    attention: AttentionMap | None
    """None: not computed for this run."""


@dataclass(frozen=True, kw_only=True)
class ClipCard:
    """A clip with the translations of all runs."""

    kind: str
    """Best, Median or Worst."""
    id: str
    reference: str
    seconds: float | None
    """Duration. None: unknown without a manifest."""
    frames: list[str]
    fault: str | None
    """Reason why the frames cannot be shown. None: they are shown, or there is no manifest."""
    translations: list[Translation]


@dataclass(frozen=True, kw_only=True)
class ClipGroup:
    """Clips of runs that translated the same sentences."""

    runs: list[str]
    cards: list[ClipCard]


@dataclass(kw_only=True)
class Faults:
    """Faults found while a report is made. The report goes on without the thing concerned."""

    found: list[str] = field(default_factory=list[str])

    def add(self, what: str, error: FlaError | str) -> None:
        """Keep and log a fault."""
        self.found.append(f"{what}: {str(error)}")
        logger.warning(self.found[-1])


def clip_groups(
    runs: Sequence[RunRecord], sentences: Sequence[Sequence[Sentence]], *, material: Material, faults: Faults
) -> list[ClipGroup]:
    """Return the clips to show, one group for the runs with the same clips and references.

    Args:
        runs: the runs of the page.
        sentences: the sentences of each run.
        material: manifest, caches and bounds.
        faults: gets what could not be shown.
    """
    groups: dict[frozenset[tuple[str, str]], list[int]] = {}
    for number, rows in enumerate(sentences):
        if rows:
            groups.setdefault(frozenset((row.id, row.reference) for row in rows), []).append(number)
    return [_group(runs, sentences, numbers, material, faults) for numbers in groups.values()]


def _group(
    runs: Sequence[RunRecord],
    sentences: Sequence[Sequence[Sentence]],
    numbers: Sequence[int],
    material: Material,
    faults: Faults,
) -> ClipGroup:
    choices = choose([sentences[number] for number in numbers], count=material.clips)
    kinds = {id: choice.title for choice in choices for id in choice.ids}
    rows = {number: {row.id: row for row in sentences[number] if row.id in kinds} for number in numbers}
    maps = {number: _maps(runs[number], list(rows[number].values()), material, faults) for number in numbers}
    pictures = _Pictures(material, runs[numbers[0]], faults)
    return ClipGroup(
        runs=[runs[number].name for number in numbers],
        cards=[
            ClipCard(
                kind=kind,
                id=id,
                reference=rows[numbers[0]][id].reference,
                **pictures.of(id),
                translations=[
                    Translation(
                        run=number,
                        name=runs[number].name,
                        text=rows[number][id].prediction,
                        chrf=rows[number][id].chrf,
                        attention=maps[number].get(id),
                    )
                    for number in numbers
                ],
            )
            for id, kind in kinds.items()
        ],
    )


class _Pictures:
    """Frames of clips, with the picture settings of one run."""

    def __init__(self, material: Material, run: RunRecord, faults: Faults) -> None:
        self._manifest, self._faults = material.manifest, faults
        samples = material.manifest.split(material.split) if material.manifest else []
        self._samples = {sample.id: sample for sample in samples}
        if run.stage == 1:
            self._config = read_settings(run.folder).encoder
        else:
            self._config = extraction_config(next(iter(run.described.get("streams", [])), {}))

    def of(self, id: str) -> dict[str, Any]:
        """Return the entries ``frames``, ``fault`` and ``seconds`` of a card."""
        if self._manifest is None:
            return {"frames": [], "fault": None, "seconds": None}
        sample = self._samples.get(id)
        if sample is None:
            return self._without("The manifest does not hold the clip.", id, seconds=None)
        seconds = sample.num_frames / sample.fps
        try:
            frames = thumbnails(evaluation_frames(self._manifest, sample, self._config))
        except FlaError as error:
            return self._without(str(error), id, seconds=seconds)
        return {"frames": frames, "fault": None, "seconds": seconds}

    def _without(self, reason: str, id: str, *, seconds: float | None) -> dict[str, Any]:
        self._faults.add(f"Frames of {id!r}", reason)
        return {"frames": [], "fault": reason.split("\n")[0], "seconds": seconds}


def _maps(run: RunRecord, rows: Sequence[Sentence], material: Material, faults: Faults) -> Maps:
    """Return the attention of a run on clips. Empty: an input is absent, or the run cannot be used."""
    try:
        maps = _computed(run, rows, material)
    except FlaError as error:
        faults.add(f"Attention of {run.name}", error)
        return {}
    for id, found in maps.items():
        if found.fault is not None:
            faults.add(f"Attention of {run.name} on {id!r}", found.fault)
    return maps


def _computed(run: RunRecord, rows: Sequence[Sentence], material: Material) -> Maps:
    if not run.is_finished:
        return {}
    split, device = material.split, material.device
    if run.stage == 1 and material.manifest is not None:
        return stage_one_maps(run, rows, material.manifest, split=split, device=device)
    if run.stage == 2 and material.features:
        caches = caches_of(run, material.features, split)
        return stage_two_maps(run, rows, caches, device=device, llm=material.llm)
    return {}
