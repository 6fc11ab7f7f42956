"""Clips of a report: frames, sentences and attention of the best, median and worst translations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import FlaError
from ..core.sample import Split
from ..pretrain.run_files import read_settings
from .attention import AttentionMap, Maps, caches_of, stage_one_maps, stage_two_maps
from .faults import Faults
from .frames import evaluation_frames, extraction_config, thumbnails
from .inputs import Inputs, Request
from .read_run import RunRecord
from .sentences import Sentence, choose


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A run of the page, with all that is shown of the run."""

    number: int
    """Number of the run on the page, from 0, which decides the colour."""
    run: RunRecord
    sentences: list[Sentence]
    """Empty: the split has not been translated."""
    inputs: Inputs


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


def clip_groups(shown: Sequence[Shown], *, request: Request, faults: Faults) -> list[ClipGroup]:
    """Return the clips to show, one group for the runs with the same clips and references.

    Args:
        shown: the runs of the page, with their sentences and inputs.
        request: split, device and bounds.
        faults: gets what could not be shown.
    """
    groups: dict[frozenset[tuple[str, str]], list[Shown]] = {}
    for own in shown:
        if own.sentences:
            groups.setdefault(frozenset((row.id, row.reference) for row in own.sentences), []).append(own)
    return [_group(members, request, faults) for members in groups.values()]


def _group(members: Sequence[Shown], request: Request, faults: Faults) -> ClipGroup:
    choices = choose([own.sentences for own in members], count=request.clips)
    # A dict keeps the order of the choices: best, median, worst.
    kinds = {id: choice.title for choice in choices for id in choice.ids}
    rows = {own.number: {row.id: row for row in own.sentences if row.id in kinds} for own in members}
    # Each model is loaded once, for all clips of the group.
    maps = {own.number: _maps(own, list(rows[own.number].values()), request, faults) for own in members}
    # The frames of a clip are shown as one run gets them: of several runs the first whose videos are there.
    pictures = _Pictures(
        next((own for own in members if own.inputs.manifest), members[0]), request.split, faults
    )
    return ClipGroup(
        runs=[own.run.name for own in members],
        cards=[
            ClipCard(
                kind=kind,
                id=id,
                reference=rows[members[0].number][id].reference,
                **pictures.of(id),
                translations=[
                    Translation(
                        run=own.number,
                        name=own.run.name,
                        text=rows[own.number][id].prediction,
                        chrf=rows[own.number][id].chrf,
                        attention=maps[own.number].get(id),
                    )
                    for own in members
                ],
            )
            for id, kind in kinds.items()
        ],
    )


class _Pictures:
    """Frames of clips, with the picture settings of one run."""

    def __init__(self, shown: Shown, split: Split, faults: Faults) -> None:
        self._manifest, self._faults = shown.inputs.manifest, faults
        samples = self._manifest.split(split) if self._manifest else []
        self._samples = {sample.id: sample for sample in samples}
        if shown.run.stage == 1:
            self._config = read_settings(shown.run.folder).encoder
        else:
            self._config = extraction_config(next(iter(shown.run.described.get("streams", [])), {}))

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


def _maps(shown: Shown, rows: Sequence[Sentence], request: Request, faults: Faults) -> Maps:
    """Return the attention of a run on clips. Empty: an input is absent, or the run cannot be used."""
    try:
        maps = _computed(shown, rows, request)
    except FlaError as error:
        faults.add(f"Attention of {shown.run.name}", error)
        return {}
    for id, found in maps.items():
        if found.fault is not None:
            faults.add(f"Attention of {shown.run.name} on {id!r}", found.fault)
    return maps


def _computed(shown: Shown, rows: Sequence[Sentence], request: Request) -> Maps:
    run, inputs = shown.run, shown.inputs
    if not run.is_finished or not request.attention:
        return {}
    if run.stage == 1 and inputs.manifest is not None:
        return stage_one_maps(run, rows, inputs.manifest, split=request.split, device=request.device)
    if run.stage == 2 and inputs.features:
        caches = caches_of(run, inputs.features, request.split)
        return stage_two_maps(run, rows, caches, device=request.device, llm=request.llm)
    return {}
