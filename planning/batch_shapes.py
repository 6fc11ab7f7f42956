"""Shapes of the batches of a run, from clip lengths and the batching of ``fla tune``."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PretrainedConfig

from ..finetune.config import TuneConfig
from ..llm.causal import CausalLM
from ..llm.seq2seq import Seq2SeqLM
from ..training.batches import make_batches
from .sequence_lengths import ClipLength, longest_of


@dataclass(frozen=True, kw_only=True)
class BatchShape:
    """Shape of a padded batch."""

    clips: int
    steps: tuple[int, ...]
    """Feature steps of each stream's longest clip."""
    projected: int
    """Positions of the projected features."""
    source: int
    """Positions before the sentence: features and prompt."""
    labels: int
    """Tokens of the longest sentence."""
    whole: int
    """Positions of clip, prompt and sentence in a single sequence. The end token is never read."""


def positions(
    lengths: Sequence[ClipLength], *, tune: TuneConfig, config: PretrainedConfig
) -> tuple[list[int], ...]:
    """Return the positions of each clip in the model of ``config``, as :class:`.ConditionedLM` counts."""
    family = Seq2SeqLM if config.is_encoder_decoder else CausalLM
    sources = [shape_of([clip], tune=tune).source for clip in lengths]
    return family.positions(sources, [clip.labels for clip in lengths], [clip.prefix for clip in lengths])


def train_shapes(
    lengths: Sequence[ClipLength], *, tune: TuneConfig, config: PretrainedConfig
) -> list[BatchShape]:
    """Return the training batches of a run with these settings."""
    return _shapes(lengths, positions(lengths, tune=tune, config=config), tune=tune, seed=tune.seed)


def evaluation_shapes(lengths: Sequence[ClipLength], *, tune: TuneConfig) -> list[BatchShape]:
    """Return the translation batches of a run with these settings. Sentences do not count there."""
    sources = [shape_of([clip], tune=tune).source for clip in lengths]
    return _shapes(lengths, (sources,), tune=tune, seed=0)


def _shapes(
    lengths: Sequence[ClipLength], sides: Sequence[Sequence[int]], *, tune: TuneConfig, seed: int
) -> list[BatchShape]:
    training = tune.training
    batches = make_batches(*sides, max_clips=training.batch_clips, max_steps=training.batch_tokens, seed=seed)
    return [shape_of([lengths[i] for i in batch], tune=tune) for batch in batches]


def shape_of(batch: Sequence[ClipLength], *, tune: TuneConfig) -> BatchShape:
    """Return the shape of a batch of these clips. Each stream is rounded up to the stride separately."""
    longest = longest_of(batch)

    def project(clip: ClipLength) -> int:
        return sum(projected_steps(clip.steps, tune=tune))

    return BatchShape(
        clips=len(batch),
        steps=longest.steps,
        projected=project(longest),
        source=project(longest) + longest.prompt,
        labels=longest.labels,
        # The longest clip and the longest sentence may belong to different samples.
        whole=max(project(clip) + clip.prompt + clip.labels - 1 for clip in batch),
    )


def projected_steps(steps: Sequence[int], *, tune: TuneConfig) -> list[int]:
    """Return the positions of each stream for the steps of each stream, or of all streams joined."""
    embeddings = projector_steps(steps, tune=tune)
    return embeddings if tune.fuse == "time" else embeddings[:1]


def projector_steps(steps: Sequence[int], *, tune: TuneConfig) -> list[int]:
    """Return the embeddings that each projector makes, for the steps of each stream."""
    # Streams joined along channels have one projector.
    read = steps[:1] if tune.fuse == "channels" else steps
    return [-(-own // tune.projector_of(number).output_stride) for number, own in enumerate(read)]
