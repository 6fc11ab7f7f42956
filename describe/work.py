"""Description: every clip is decoded, its frames are described in batches, and the lines are written."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..cache.format import partial_folder
from ..cache.writer import name_full_disk
from ..core.device import torch_threads
from ..core.errors import CacheError, DataError
from ..core.progress import progress
from ..core.sample import Sample
from ..core.signals import Interrupted, interrupted_by_signals
from ..corpora.descriptions import write_descriptions
from ..extract.result import Extracted
from ..video.pictures import read_pictures
from .describer import Describer
from .estimate import Estimate, measure
from .journal import DescriptionJournal, count_described
from .plan import Description, FilePlan

logger = logging.getLogger(__name__)


def describe(description: Description) -> Extracted:
    """Write every file of a description, each from where an earlier run ended.

    Raises:
        CacheError: another process writes a file, or as :meth:`.plan.Description.check`.
        ModelError: as :class:`.describer.Describer`.
        ConfigError: the device has too little memory.
        Interrupted: SIGTERM or SIGINT came. Finished batches are kept.
    """
    description.check()
    result = Extracted()
    with interrupted_by_signals():
        todo = [plan for plan in description.plans if plan.finished is None]
        # A run whose files are all finished loads no model.
        describer = _ready_describer(description, todo) if todo else None
        for plan in description.plans:
            if plan.finished is None:
                assert describer is not None, "a file is unfinished"
                with torch_threads(plan.threads):
                    _FileWriter(plan, description, describer, result).write()
            else:
                logger.info(f"{plan.path} is finished: skipped")
                result.skipped.append(plan.path)
                reason = (
                    f"It could not be read when {plan.path.name} was written; delete that file to try again."
                )
                result.add_rejected(
                    plan.path.name.partition("-")[0], dict.fromkeys(plan.finished.rejected, reason)
                )
            result.shards.append(plan.path)
    return result


def estimate(description: Description) -> Estimate | None:
    """Return the cost of what is not finished, measured with the model on frames of the first readable clip.

    None: every file is finished.

    Raises:
        FlaError: as :func:`describe`.
        DataError: no clip can be read.
    """
    description.check()
    todo = [plan for plan in description.plans if plan.finished is None]
    if not todo:
        return None
    pictures = _first_batch(description, todo)
    if isinstance(pictures, DataError):
        raise DataError(f"A clip must be readable to be described, but none is: {pictures}")
    describer = Describer(description.model, config=description.config, device=description.device)
    return _measured(describer, description, todo, pictures)


def _ready_describer(description: Description, todo: list[FilePlan]) -> Describer:
    """Load the model and log the estimated cost."""
    describer = Describer(description.model, config=description.config, device=description.device)
    pictures = _first_batch(description, todo)
    # Files of unreadable clips alone have no cost, and are written: they list the clips.
    if not isinstance(pictures, DataError):
        with torch_threads(todo[0].threads):
            logger.info(_measured(describer, description, todo, pictures).describe())
    return describer


def _first_batch(description: Description, todo: Sequence[FilePlan]) -> list[np.ndarray] | DataError:
    """Return pictures of the first readable clip, at most a batch, or the fault of the last clip."""
    fault = DataError("there is no clip.")
    for sample in (sample for plan in todo for sample in plan.samples):
        try:
            return list(_pictures(description, sample).values())[: description.config.batch]
        except DataError as error:  # listed as rejected later
            fault = error
    return fault


def _measured(
    describer: Describer, description: Description, todo: Sequence[FilePlan], pictures: Sequence[np.ndarray]
) -> Estimate:
    done = sum(count_described(partial_folder(plan.path)) for plan in todo)
    frames = max(0, sum(plan.frames for plan in todo) - done)
    return measure(describer, pictures, frames=frames, device=description.device)


def _pictures(description: Description, sample: Sample) -> Mapping[int, np.ndarray]:
    clip, config = description.manifest.clip(sample), description.config
    return read_pictures(clip, sampling=config.sampling, longest_side=config.longest_side)


class _FileWriter:
    """Writer of one description file, from where its journal ends."""

    def __init__(
        self, plan: FilePlan, description: Description, describer: Describer, result: Extracted
    ) -> None:
        self._plan, self._description, self._describer, self._result = plan, description, describer, result
        # Lines of the batch in progress, each with the picture of its frame. Rejected clips have no picture.
        self._waiting: list[tuple[dict[str, Any], np.ndarray | None]] = []

    def write(self) -> None:
        """Describe the remaining frames, and write the file."""
        with self._opened() as journal, self._bar(journal) as bar:
            self._journal, self._progress = journal, bar
            for sample, done in self._remaining(journal):
                self._add_clip(sample, done)
            self._flush()
            reasons = {entry["id"]: entry["rejected"] for entry in journal.entries if "rejected" in entry}
            self._result.add_rejected(self._plan.header["split"], reasons)
            with self._result.timed("write"):
                # In the journal's folder, which the next start cleans after a kill.
                temporary = journal.folder / "file.jsonl"
                write_descriptions(temporary, self._plan.header, journal.entries)
                temporary.replace(self._plan.path)
                journal.remove()

    def _remaining(self, journal: DescriptionJournal) -> Iterator[tuple[Sample, int]]:
        """Yield the clips that are not complete in the journal, with the number of described frames."""
        # The end of the last clip is not recorded: it is opened again.
        ids = [entry["id"] for entry in journal.entries]
        begun = dict.fromkeys(ids)
        first = max(0, len(begun) - 1)
        for number, sample in enumerate(self._plan.samples[first:], start=first):
            if number == first and begun and "rejected" in journal.entries[-1]:
                continue
            yield sample, ids.count(sample.id) if number == first else 0

    def _add_clip(self, sample: Sample, done: int) -> None:
        """Add the frames of a clip behind the first ``done``, or the reason why it cannot be read."""
        try:
            with self._result.timed("decode"):
                pictures = _pictures(self._description, sample)
        except DataError as error:  # one damaged video must not end the description
            logger.warning(f"{sample.id}: {error}")
            self._waiting.append(({"id": sample.id, "rejected": str(error)}, None))
            # Without frames in progress the line belongs to the batch before.
            if all(picture is None for _, picture in self._waiting):
                self._flush()
            return
        self._result.clips += done < len(pictures)
        for frame, picture in list(pictures.items())[done:]:
            self._waiting.append(({"id": sample.id, "frame": frame}, picture))
            if sum(picture is not None for _, picture in self._waiting) == self._description.config.batch:
                self._flush()

    def _flush(self) -> None:
        """Describe the frames of the batch in progress, and write all its lines at once."""
        pictures = [picture for _, picture in self._waiting if picture is not None]
        with self._result.timed("encode"):
            texts = iter(self._describer(pictures) if pictures else [])
        lines = [
            line if picture is None else {**line, "text": next(texts)} for line, picture in self._waiting
        ]
        with self._result.timed("write"):
            self._journal.add(lines)
        # Only now: an interrupted batch is described again.
        self._waiting.clear()
        self._result.frames += len(pictures)
        self._progress.update(len(pictures))

    @contextmanager
    def _opened(self) -> Iterator[DescriptionJournal]:
        """Open the journal. Tell a user who stops the run how to continue."""
        plan = self._plan
        with name_full_disk(plan.path):
            journal = DescriptionJournal(
                partial_folder(plan.path), header=plan.header, batch=self._description.config.batch,
                note={"threads": plan.threads},
            )  # fmt: skip
            try:
                # The lock keeps another process from finishing the file meanwhile.
                if plan.path.exists():
                    journal.remove()
                    raise CacheError(f"{plan.path} was finished by another process.\nRun the command again.")
                yield journal
            except Interrupted as interrupted:
                done = sum("text" in entry for entry in journal.entries)
                logger.warning(
                    f"Ended by {interrupted.signal.name}: {done} of about {plan.frames} frames of "
                    f"{plan.path} are done and kept.\nRun the same command again: it goes on from there."
                )
                raise
            finally:
                journal.close()

    @contextmanager
    def _bar(self, journal: DescriptionJournal) -> Iterator[Any]:
        done = sum("text" in entry for entry in journal.entries)
        bar = progress(
            desc=f"describe {self._plan.path.stem}", total=self._plan.frames, initial=done, unit="frame"
        )
        try:
            yield bar
        finally:
            bar.close()
