"""Positions of the language model that each clip takes, checked against the limit of the model."""

from collections.abc import Sequence

import torch

from ..core.errors import DataError
from .data import FeatureItems
from .model import StageTwoModel

SOURCE = "feature steps and prompt"
ONE_SIDE = ("feature steps, prompt and sentence",)
TWO_SIDES = (SOURCE, "its sentence alone")


def source_positions(
    model: StageTwoModel, stream_lengths: Sequence[Sequence[int]], *, languages: Sequence[str]
) -> list[int]:
    """Return the positions of each clip's projected features, with the prompt and what else is around.

    Args:
        model: what will read them.
        stream_lengths: of each stream, feature steps of each clip.
        languages: of each clip.
    """
    codec = model.codec
    streams = zip(model.projectors, stream_lengths, strict=True)
    parts = [projector.output_lengths(torch.tensor(lengths)) for projector, lengths in streams]
    steps = torch.stack(parts).sum(dim=0).tolist()
    lead = len(codec.lead_ids())
    around = {language: lead + len(codec.prompt_ids(language)) for language in set(languages)}
    return [own + around[language] for own, language in zip(steps, languages, strict=True)]


def clip_positions(model: StageTwoModel, items: FeatureItems) -> tuple[list[int], ...]:
    """Return the positions of each clip with its sentence, on each side that is padded apart.

    A decoder-only model reads clip, prompt and sentence in one sequence; of an encoder-decoder the encoder
    reads clip and prompt, the decoder the sentence. Nothing is ever cut.

    Raises:
        DataError: a clip needs more positions than the language model has; it names the one that needs most
            and what it is made of.
    """
    codec = model.codec
    starts = {language: len(codec.decoder_prefix_ids(language)) for language in set(items.languages)}
    sides = model.conditioned_lm.positions(
        source_positions(model, items.stream_lengths, languages=items.languages),
        [len(codec.target_ids(text)) for text in items.texts],
        [starts[language] for language in items.languages],
    )
    for needed, what in zip(sides, ONE_SIDE if len(sides) == 1 else TWO_SIDES, strict=True):
        check_positions(model, needed, ids=items.ids, steps=items.lengths, what=what)
    return sides


def check_positions(
    model: StageTwoModel, needed: Sequence[int], *, ids: Sequence[str], steps: Sequence[int], what: str
) -> None:
    """Refuse clips that need more positions than the language model has; T5 has no bound.

    Args:
        model: what will read the clips.
        needed: positions that each clip needs.
        ids: of each clip, for the error.
        steps: feature steps of each clip, for the error.
        what: what the positions are needed for, for the error.

    Raises:
        DataError: a clip needs more; the error names the clip that needs most.
    """
    most: int | None = getattr(model.language_model.model.config, "max_position_embeddings", None)
    longest = max(range(len(needed)), key=needed.__getitem__)
    if most is not None and needed[longest] > most:
        raise DataError(
            f"Clip {ids[longest]!r} must fit into the language model's positions ({most}), but needs "
            f"{needed[longest]} for {what} ({steps[longest]} feature steps).\n"
            "Extract with a larger stride, set projector.kind=conv, shorten the prompt or the sentence, or "
            "give another --llm."
        )
