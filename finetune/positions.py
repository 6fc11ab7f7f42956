"""Whether every clip, with its prompt and sentence, has room in the language model."""

from typing import TYPE_CHECKING, Any

import torch

from ..core.errors import DataError

if TYPE_CHECKING:
    from .data import FeatureItems
    from .model import StageTwoModel


def check_positions(model: "StageTwoModel", items: "FeatureItems") -> None:
    """Refuse clips that need more positions than the language model has; nothing is ever cut.

    A decoder-only model reads clip, prompt and sentence in one sequence; of an encoder-decoder the encoder
    reads clip and prompt, the decoder the sentence. Models with relative positions alone (T5) have no bound.

    Raises:
        DataError: as said; it names the clip that needs most and what it is made of.
    """
    config: Any = model.language_model.model.config
    most: int | None = getattr(config, "max_position_embeddings", None)
    if most is None:
        return
    wording = model.wording
    streams = zip(model.projectors, items.stream_lengths, strict=True)
    parts = [projector.output_lengths(torch.tensor(lengths)) for projector, lengths in streams]
    steps = torch.stack(parts).sum(dim=0).tolist()
    prompts = {language: len(wording.prompt_ids(language)) for language in set(items.languages)}
    clips = [lead + prompts[language] for lead, language in zip(steps, items.languages, strict=True)]
    sentences = [len(wording.target_ids(text)) for text in items.texts]
    if config.is_encoder_decoder:
        _refuse_longest(clips, items, most=most, what="feature steps and prompt")
        starts = [len(wording.decoder_prefix_ids(language)) - 1 for language in items.languages]
        needed = [start + tokens for start, tokens in zip(starts, sentences, strict=True)]
        _refuse_longest(needed, items, most=most, what="its sentence alone")
        return
    first = len(wording.lead_ids()) - 1  # the end token is only told, never read
    needed = [first + clip + tokens for clip, tokens in zip(clips, sentences, strict=True)]
    _refuse_longest(needed, items, most=most, what="feature steps, prompt and sentence")


def _refuse_longest(needed: list[int], items: "FeatureItems", *, most: int, what: str) -> None:
    longest = max(range(len(needed)), key=needed.__getitem__)
    if needed[longest] > most:
        raise DataError(
            f"Clip {items.ids[longest]!r} must fit into the language model's positions ({most}), but needs "
            f"{needed[longest]} for {what} ({items.lengths[longest]} feature steps).\n"
            "Extract with a larger stride, set projector.kind=conv, shorten the prompt or the sentence, or "
            "give another --llm."
        )
