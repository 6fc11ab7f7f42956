"""Model of stage two: a language model conditioned on projected features.

The setting ``train`` chooses the trained weights, by default LoRA and the projector.
"""

import logging
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Self

import torch
from peft import PeftModel
from torch import Tensor

from ..core.errors import ConfigError
from ..llm.conditioned_lm import Conditioning, label_counts
from ..llm.load import LanguageModel
from ..llm.lora import lora_groups
from ..llm.loss import summed_cross_entropy
from ..llm.text_codec import TextCodec
from ..training.batches import padded_size
from ..training.config import DecodingConfig
from ..training.model import IGNORED, TranslationModel
from .build import make_conditioned_lm, make_projector, trained_llm
from .config import TuneConfig
from .contrast import check_contrast, contrastive_loss
from .projector import GatedProjectors, Projector
from .streams import StreamRecord, stream_names

logger = logging.getLogger(__name__)


class StageTwoModel(TranslationModel):
    """Projector, prompt and language model, trained by the engine of ``training/``.

    Attributes:
        llm: the language model, wrapped by peft if LoRA layers are trained.
        feature_fingerprint: encoder fingerprint of the first stream.
        streams: record of each input stream.
        projector: a :class:`Projector` for a single stream, else the join of :mod:`.projector` by ``fuse``.
        untranslatable: counts of :func:`.untranslatable.check_sentences` for the sentences of the run. None
            before the check.
    """

    unit = "tokens"

    def __init__(
        self,
        language_model: LanguageModel,
        *,
        config: TuneConfig,
        feature_size: int,
        feature_fingerprint: str,
        streams: Sequence[StreamRecord] = (),
        lora: PeftModel | None = None,
    ) -> None:
        """Build the projector and the text codec for the language model.

        Args:
            language_model: the loaded, frozen model. In fp32 if every weight is trained.
            config: settings of the run.
            feature_size: width F of the features of the first stream.
            feature_fingerprint: encoder fingerprint of the first stream.
            streams: record of every stream. Empty for a single stream, known by width and fingerprint alone.
            lora: the language model with trained adapters. None adds new adapters if adapters are trained.
        """
        super().__init__()
        base = language_model.model
        self.llm = lora or trained_llm(base, config)
        self.config = config
        self.language_model = language_model
        self.feature_fingerprint = feature_fingerprint
        self.codec = TextCodec(language_model.tokenizer, base.config, prompts=config.prompts)
        self.conditioned_lm = make_conditioned_lm(
            language_model, self.codec, prompt_place=config.prompt_place
        )
        self.untranslatable: dict[str, int] | None = None
        self.feature_size = feature_size
        alone = StreamRecord(fingerprint=feature_fingerprint, feature_size=feature_size)
        self.streams = tuple(streams) or (alone,)
        self.projector = make_projector(base, self.streams, config=config).to(base.device)
        self.projector.requires_grad_(config.train != "lora")
        self._say_what_differs()

    def forward(
        self, *, labels: Tensor, num_items_in_batch: Tensor | int | None = None, **inputs: Any
    ) -> dict[str, Tensor]:
        """Return the loss of a batch from :func:`.collate.collate`. See :class:`TranslationModel`."""
        targets = labels[labels != IGNORED]
        with self._autocast():
            conditioning = self._conditioning(inputs)
            total = self._translation_loss(conditioning, labels, targets)
            if self.config.contrastive.weight > 0:
                # As if each label carried the mean of the batch.
                contrast = contrastive_loss(
                    conditioning,
                    labels,
                    lm=self.conditioned_lm,
                    adapted=self.llm,
                    config=self.config.contrastive,
                )
                total = total + self.config.contrastive.weight * len(targets) * contrast
        # The engine counts the labels of all accumulated batches, so that each label weighs the same.
        return {"loss": total / (len(targets) if num_items_in_batch is None else num_items_in_batch)}

    @torch.no_grad()
    def translate(self, batch: Mapping[str, Any], decoding: DecodingConfig) -> list[str]:
        """Return a sentence for each clip of a batch on the device. The model must be in eval mode."""
        assert not self.training, "with checkpointing, generate() in train mode gives wrong text"
        with self._autocast():
            found = self.conditioned_lm.generate(self._conditioning(batch), decoding)
        return [self.codec.decode(ids) for ids in found.tolist()]

    @torch.no_grad()
    def translate_n_best(
        self, batch: Mapping[str, Any], decoding: DecodingConfig, *, count: int
    ) -> list[list[dict[str, Any]]]:
        """Return the ``count`` best sentences of each clip, best first, as ``{"text", "score"}``.

        A diverse search may find a sentence several times. Repeated sentences are removed, so the result may
        hold fewer than ``count`` sentences. The model must be in eval mode.

        Args:
            batch: a batch from :func:`.collate.collate`, on the device of the model.
            decoding: settings of the search.
            count: number of sentences, at most ``num_beams`` unless tokens are drawn.

        Raises:
            ConfigError: ``count`` is above ``num_beams``.
        """
        assert not self.training, "with checkpointing, generate() in train mode gives wrong text"
        check_n_best(count, decoding)
        with self._autocast():
            conditioning = self._conditioning(batch)
            found = self.conditioned_lm.search(conditioning, decoding, n_best=count)
        clips = zip(found.ids.tolist(), found.scores.tolist(), strict=True)
        return [self._sentences(*clip, once=decoding.diversity > 0)[:count] for clip in clips]

    @torch.no_grad()
    def feature_attention(self, batch: Mapping[str, Any]) -> list[Tensor]:
        """Return the attention of each label on the projected features, (L_i, S_i) for each clip.

        See :meth:`.ConditionedLM.feature_attention`.
        """
        with self._autocast():
            return self.conditioned_lm.feature_attention(self._conditioning(batch), batch["labels"])

    def padded_size(self, batch: Mapping[str, Any]) -> int:
        """Return the number of computed language model positions, padding included."""
        steps = self.output_lengths([batch[lengths] for _, lengths in self._stream_names()])
        sources = steps + batch["prompt_lengths"] + len(self.conditioned_lm.lead_ids)
        clips, prefix = batch["decoder_prefix_ids"].shape
        labels = label_counts(batch["labels"])
        return padded_size(
            range(clips), *self.conditioned_lm.positions(sources.tolist(), labels, [prefix] * clips)
        )

    def halve(self, batch: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the first and the second half of the clips, with padding cut to the longest clip of each."""
        clips = len(batch["features"])
        if clips == 1:
            return None
        first, second = (
            {name: tensor[part] for name, tensor in batch.items()}
            for part in (slice(clips // 2), slice(clips // 2, None))
        )
        # The whole batch did not fit. Without the cut, one long clip would set the size of both halves.
        for half, (name, lengths) in product((first, second), self._stream_names()):
            half[name] = half[name][:, : int(half[lengths].max())]
        return first, second

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the trained parameters, with a separate learning rate for the projector."""
        groups: list[dict[str, Any]] = []
        if isinstance(self.llm, PeftModel):
            groups += lora_groups(self.llm, self.config.lora)
        elif self.config.train == "full":
            groups.append({"name": "llm", "params": list(self.llm.parameters())})
        if self.config.train != "lora":
            groups += self._projector_groups()
        return groups

    def _projector_groups(self) -> list[dict[str, Any]]:
        """Return a group for all projectors of ``projector``, and a group for each of other streams."""
        groups: dict[str, dict[str, Any]] = {}
        for number, projector in enumerate(self.projectors):
            is_own = str(number + 1) in self.config.projector_by_stream
            name = f"projector_{number + 1}" if is_own else "projector"
            # Projectors start from random weights, and need a larger rate than a pretrained model.
            rate = self.config.projector_of(number).learning_rate
            group = groups.setdefault(name, {"name": name, "params": [], "lr": rate})
            group["params"] += projector.parameters()
        if isinstance(self.projector, GatedProjectors):
            rate, gates = self.config.projector.learning_rate, list(self.projector.gates.parameters())
            groups["gates"] = {"name": "gates", "params": gates, "lr": rate}
        return list(groups.values())

    def train(self, mode: bool = True) -> Self:
        """Set train or eval mode. A frozen projector stays in eval mode."""
        super().train(mode)
        # In train mode the statistics of BatchNorm would move, and normalise by the batch.
        if self.config.train == "lora":
            self.projector.eval()
        return self

    def checkpoint_state(self) -> dict[str, Tensor]:
        """Return the trained weights, and always the projector. Frozen weights and buffers are left out."""
        trained = {name for name, p in self.named_parameters() if p.requires_grad}
        # Frozen weights are loaded again from their files: gigabytes that no checkpoint needs.
        state = {name: t for name, t in super().checkpoint_state().items() if name in trained}
        return state | {f"projector.{name}": t for name, t in self.projector.state_dict().items()}

    @property
    def num_trained(self) -> int:
        """Number of trained values."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    @property
    def projectors(self) -> list[Projector]:
        """The projector of each stream, or the one of joined streams."""
        return [self.projector] if isinstance(self.projector, Projector) else self.projector.projectors

    def output_lengths(self, lengths: Sequence[Tensor]) -> Tensor:
        """Return the embeddings of each clip (B,), for the lengths (B,) of each stream."""
        # Streams joined step by step take the positions of the first stream.
        given = lengths if self.config.fuse == "time" else lengths[:1]
        projectors = self.projectors[: len(given)]
        parts = [p.output_lengths(own) for p, own in zip(projectors, given, strict=True)]
        return torch.stack(parts).sum(dim=0)

    def _sentences(self, ids: list[list[int]], scores: list[float], *, once: bool) -> list[dict[str, Any]]:
        """Return the hypotheses of a clip as sentences. ``once`` removes repeated sentences."""
        texts = [self.codec.decode(row) for row in ids]
        rows = [{"text": text, "score": score} for text, score in zip(texts, scores, strict=True)]
        return [row for number, row in enumerate(rows) if not once or row["text"] not in texts[:number]]

    def _stream_names(self) -> list[tuple[str, str]]:
        return [stream_names(number) for number in range(len(self.streams))]

    def _conditioning(self, inputs: Mapping[str, Tensor]) -> Conditioning:
        features, feature_lengths = self._projected(inputs)
        return Conditioning(
            features=features,
            feature_lengths=feature_lengths,
            prompt_ids=inputs["prompt_ids"],
            prompt_lengths=inputs["prompt_lengths"],
            decoder_prefix_ids=inputs["decoder_prefix_ids"],
        )

    def _projected(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the features of a batch as embeddings (B, S, D) with joined streams, and lengths (B,)."""
        if not isinstance(self.projector, Projector):
            names = self._stream_names()
            return self.projector([inputs[name] for name, _ in names], [inputs[steps] for _, steps in names])
        lengths = inputs["feature_lengths"]
        return self.projector(inputs["features"], lengths), self.projector.output_lengths(lengths)

    def _autocast(self) -> torch.autocast:
        """Return the autocast context of this model, for any context of the caller."""
        return self.language_model.autocast(self.config.training.precision)

    def _translation_loss(self, conditioning: Conditioning, labels: Tensor, targets: Tensor) -> Tensor:
        """Return the weighted sum of the cross entropy over all labels."""
        weight = self.config.contrastive.translation_weight
        if weight == 0:
            return torch.zeros((), device=labels.device)
        head = self.conditioned_lm.head
        states = self.conditioned_lm.labelled_states(conditioning, labels)
        return weight * summed_cross_entropy(
            states, targets, head=head, label_smoothing=self.config.label_smoothing
        )

    def _say_what_differs(self) -> None:
        kind = self.language_model.model.config.model_type
        if self.conditioned_lm.head is None:
            logger.warning(
                f"The loss has not been checked for {kind!r}: the logits it computes itself are used, at all "
                "positions. That takes more memory."
            )
        check_contrast(self.config, self.language_model.model)


def check_n_best(count: int, decoding: DecodingConfig) -> None:
    """Refuse more hypotheses than the search keeps. Draws are unlimited.

    Raises:
        ConfigError: ``count`` is above ``num_beams``.
    """
    if decoding.temperature == 0 and decoding.num_beams < count:
        raise ConfigError(
            f"decoding.num_beams must be at least {count} for --n-best {count}, "
            f"but is {decoding.num_beams}.\nAdd --set num_beams={count}, or ask for fewer."
        )
