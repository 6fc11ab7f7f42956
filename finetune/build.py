"""Build the parts of a stage-two model from settings."""

import logging
from collections.abc import Sequence
from typing import Any

import torch

from ..core.device import resolve_dtype
from ..core.errors import ConfigError
from ..core.sample import Task
from ..llm.causal import CausalLM
from ..llm.conditioned_lm import ConditionedLM
from ..llm.config import PromptPlace
from ..llm.load import LanguageModel
from ..llm.lora import add_lora
from ..llm.prompt import Prompts
from ..llm.quantisation import prepare_frozen
from ..llm.seq2seq import Seq2SeqLM
from ..llm.text_codec import TextCodec
from .config import TuneConfig
from .data import FeatureItems
from .projector import FusedProjector, GatedProjectors, Projector, StreamProjectors
from .streams import StreamRecord

logger = logging.getLogger(__name__)


def base_dtype(config: TuneConfig, device: torch.device) -> torch.dtype:
    """Return the dtype of weights without quantisation.

    Trained weights are fp32: steps of 1e-5 would be lost to bf16's rounding.
    """
    return torch.float32 if config.train == "full" else resolve_dtype(config.training.precision, device)


def trained_llm(base: Any, config: TuneConfig) -> Any:
    """Return the language model ready for training: with new adapters, whole, or frozen."""
    prepare_frozen(base, activation_checkpointing=config.activation_checkpointing)
    if config.train in ("lora", "lora+projector"):
        return add_lora(base, config.lora)
    # prepare_frozen() froze every weight: a full run needs all gradients again.
    return base.requires_grad_(config.train == "full")


def make_projector(
    base: Any, streams: Sequence[StreamRecord], *, config: TuneConfig
) -> Projector | StreamProjectors | GatedProjectors | FusedProjector:
    """Return new projectors from each stream's features to the embeddings of ``base``.

    Raises:
        ConfigError: the settings name a stream that does not exist, a projector cannot read its stream, or
            projectors of gated streams do not make equal numbers of embeddings.
    """
    for number in config.projector_by_stream:
        if int(number) > len(streams):
            raise ConfigError(
                f"'projector_by_stream' must name streams in 1..{len(streams)}, but names {number}.\n"
                "Give --features once for each stream."
            )
    # The embedding and not the config: some models embed words in a width of their own.
    embedding_size: int = base.get_input_embeddings().embedding_dim
    if config.fuse == "channels" and len(streams) > 1:
        width = sum(stream.feature_size for stream in streams)
        return FusedProjector(Projector(width, embedding_size, config=config.projector))
    projectors = [
        Projector(stream.feature_size, embedding_size, config=config.projector_of(number))
        for number, stream in enumerate(streams)
    ]
    if len(projectors) == 1:
        return projectors[0]
    if config.fuse == "time":
        return StreamProjectors(projectors)
    if len({projector.stride for projector in projectors}) > 1:
        raise ConfigError(
            "Projectors must make one embedding of the same number of steps where 'fuse' is gate, but make "
            f"one of {' and of '.join(str(projector.stride) for projector in projectors)} steps.\n"
            "Set projector and projector_by_stream."
        )
    return GatedProjectors(projectors, embedding_size)


def make_conditioned_lm(
    language_model: LanguageModel, codec: TextCodec, *, prompt_place: PromptPlace
) -> ConditionedLM:
    """Return the wrapper for the architecture: decoder-only or encoder-decoder."""
    kind = Seq2SeqLM if language_model.model.config.is_encoder_decoder else CausalLM
    return kind(
        language_model.model, lead_ids=codec.lead_ids(), pad_id=codec.pad_id, eos_id=codec.eos_id,
        prompt_place=prompt_place,
    )  # fmt: skip


def warn_of_equal_prompts(prompts: Prompts, items: FeatureItems) -> None:
    """Log a warning if two tasks have one prompt: nothing else tells the model its task."""
    tasks: dict[str, set[Task]] = {}
    for language, task in set(zip(items.languages, items.tasks, strict=True)):
        tasks.setdefault(prompts.prompt(language, task), set()).add(task)
    for prompt, found in tasks.items():
        if len(found) > 1:
            *first, last = sorted(found)
            logger.warning(
                f"The model cannot tell {', '.join(first)} and {last} apart: the prompt is {prompt!r}.\n"
                "Set prompt_by_task."
            )
