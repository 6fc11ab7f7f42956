"""Language model positions of each clip, checked against the limit of the model."""

from collections.abc import Sequence

import torch

from ..core.errors import CacheError, DataError
from ..core.sample import Task
from .data import FeatureItems
from .model import StageTwoModel

SOURCE = "feature steps and prompt"
ONE_SIDE = ("feature steps, prompt and sentence",)
TWO_SIDES = (SOURCE, "its sentence alone")


def source_positions(
    model: StageTwoModel,
    stream_lengths: Sequence[Sequence[int]],
    *,
    languages: Sequence[str],
    tasks: Sequence[Task],
) -> list[int]:
    """Return the positions of each clip: lead, projected features and prompt.

    Args:
        model: model of the positions.
        stream_lengths: feature steps of each clip, for each stream.
        languages: language code of each clip.
        tasks: task of each clip.
    """
    codec, kinds = model.codec, list(zip(languages, tasks, strict=True))
    steps = model.output_lengths([torch.tensor(lengths) for lengths in stream_lengths]).tolist()
    lead = len(codec.lead_ids())
    # A prompt is tokenised for each language and task, not for each clip.
    around = {kind: lead + len(codec.prompt_ids(*kind)) for kind in set(kinds)}
    return [own + around[kind] for own, kind in zip(steps, kinds, strict=True)]


def clip_positions(model: StageTwoModel, items: FeatureItems) -> tuple[list[int], ...]:
    """Return the positions of each clip and sentence, for each separately padded side.

    A decoder-only model reads clip, prompt and sentence in a single sequence. An encoder reads clip and
    prompt, a decoder reads the sentence. Clips and sentences are never cut.

    Raises:
        DataError: a clip needs more positions than the language model has. The message names the longest clip
            and the parts of the sequence.
    """
    if model.config.fuse != "time":
        _check_equal_steps(items)
    codec = model.codec
    starts = {language: len(codec.decoder_prefix_ids(language)) for language in set(items.languages)}
    sides = model.conditioned_lm.positions(
        # The longest view counts, so that the batches are the same in every epoch.
        source_positions(model, items.stream_lengths, languages=items.languages, tasks=items.tasks),
        [len(codec.target_ids(text)) for text in items.texts],
        [starts[language] for language in items.languages],
    )
    for needed, what in zip(sides, ONE_SIDE if len(sides) == 1 else TWO_SIDES, strict=True):
        check_positions(model, needed, ids=items.ids, steps=items.lengths, what=what)
    return sides


def _check_equal_steps(items: FeatureItems) -> None:
    """Refuse streams that cannot be joined step by step."""
    for id, *steps in zip(items.ids, *items.stream_lengths, strict=True):
        if len(set(steps)) > 1:
            raise CacheError(
                f"Streams joined step by step must have the same steps, but {id!r} has "
                f"{' and '.join(map(str, steps))}.\n"
                "Extract all with equal stride and largest number of frames, or set fuse=time."
            )


def check_positions(
    model: StageTwoModel, needed: Sequence[int], *, ids: Sequence[str], steps: Sequence[int], what: str
) -> None:
    """Refuse clips with more positions than the language model has. T5 has no limit.

    Args:
        model: model with a limit of positions.
        needed: positions of each clip.
        ids: id of each clip, for the error.
        steps: feature steps of each clip, for the error.
        what: content of the positions, for the error.

    Raises:
        DataError: a clip is longer than the limit. The error names the longest clip.
    """
    most: int | None = getattr(model.language_model.model.config, "max_position_embeddings", None)
    # The longest clip alone is named: settings that fit this clip fit all others.
    longest = max(range(len(needed)), key=needed.__getitem__)
    if most is not None and needed[longest] > most:
        raise DataError(
            f"Clip {ids[longest]!r} must fit into the language model's positions ({most}), but needs "
            f"{needed[longest]} for {what} ({steps[longest]} feature steps).\n"
            "Extract with a larger stride, set projector.kind=conv, shorten the prompt or the sentence, or "
            "give another --llm."
        )
