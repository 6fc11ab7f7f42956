"""The model of stage two: a frozen language model with LoRA, conditioned on projected features."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

from ..training.config import DecodingConfig
from ..training.model import IGNORED, TranslationModel
from .causal import CausalFamily
from .config import TuneConfig
from .data import collate
from .family import Family, Source
from .llm import LanguageModel
from .lora import add_lora
from .loss import summed_cross_entropy
from .projector import Projector
from .quantise import prepare_frozen
from .seq2seq import Seq2SeqFamily
from .wording import Wording


class StageTwoModel(TranslationModel):
    """Projector, prompt and language model, trained by the engine of ``training/``.

    Attributes:
        llm: the language model with LoRA layers inside, as peft wraps it.
        feature_fingerprint: of the encoder whose features this model reads.
        collate: makes a batch of clips; see :func:`.data.collate`.
    """

    def __init__(
        self,
        language_model: LanguageModel,
        *,
        config: TuneConfig,
        feature_size: int,
        feature_fingerprint: str,
        lora: PeftModel | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            language_model: as loaded; its weights are frozen here.
            config: the run's settings.
            feature_size: F of the cache.
            feature_fingerprint: of the cache's encoder.
            lora: the language model with trained adapters; None adds new ones.
        """
        super().__init__()
        base = language_model.model
        if lora is None:
            prepare_frozen(base, activation_checkpointing=config.activation_checkpointing)
        self.llm = lora or add_lora(base, config.lora)
        self.config = config
        self.language_model = language_model
        self.feature_fingerprint = feature_fingerprint
        self.wording = Wording(language_model.tokenizer, base.config, prompt=config.prompt)
        self.collate = partial(collate, wording=self.wording)
        self.family = _family(language_model, self.wording)
        self.feature_size = feature_size
        self.projector = Projector(feature_size, _embedding_size(base), config=config.projector).to(
            base.device
        )

    def forward(
        self, *, labels: Tensor, num_items_in_batch: Tensor | int | None = None, **inputs: Any
    ) -> dict[str, Tensor]:
        """Return the loss of a batch as :meth:`collate` makes it; see :class:`TranslationModel`."""
        states = self.family.labelled_states(self._source(inputs), labels)
        targets = labels[labels != IGNORED]
        total = summed_cross_entropy(
            states, targets, head=self.family.head, label_smoothing=self.config.label_smoothing
        )
        return {"loss": total / (len(targets) if num_items_in_batch is None else num_items_in_batch)}

    @torch.no_grad()
    def translate(self, batch: Mapping[str, Any], decoding: DecodingConfig) -> list[str]:
        """Return a sentence for each clip of a batch; the model must be in eval mode."""
        assert not self.training, "with checkpointing, generate() in train mode gives wrong text"
        tensors = {name: value.to(self.llm.device) for name, value in batch.items() if torch.is_tensor(value)}
        found = self.family.generate(self._source(tensors), decoding)
        return [self.wording.decode(ids) for ids in found.tolist()]

    def count_steps(self, batch: Mapping[str, Any]) -> int:
        """Return clips times the longest clip's feature steps."""
        clips, steps, _ = batch["features"].shape
        return clips * steps

    def halve(self, batch: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the first and the second half of the clips, without the padding they no longer need."""
        clips = len(batch["features"])
        if clips == 1:
            return None
        first, second = (
            {name: tensor[part] for name, tensor in batch.items()}
            for part in (slice(clips // 2), slice(clips // 2, None))
        )
        for half in (first, second):
            half["features"] = half["features"][:, : int(half["feature_lengths"].max())]
        return first, second

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return LoRA at the run's learning rate and the projector at its own."""
        lora = [p for p in self.llm.parameters() if p.requires_grad]
        return [
            {"name": "lora", "params": lora},
            {
                "name": "projector",
                "params": list(self.projector.parameters()),
                "lr": self.config.projector.learning_rate,
            },
        ]

    def checkpoint_state(self) -> dict[str, Tensor]:
        """Return LoRA and projector; the frozen model's buffers stay out."""
        trained = {name for name, p in self.named_parameters() if p.requires_grad}
        state = super().checkpoint_state()
        return {name: t for name, t in state.items() if name in trained or name.startswith("projector.")}

    @property
    def num_trained(self) -> int:
        """Numbers that training changes."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def _source(self, inputs: Mapping[str, Tensor]) -> Source:
        return Source(
            features=self.projector(inputs["features"]),
            feature_lengths=inputs["feature_lengths"],
            prompt_ids=inputs["prompt_ids"],
            prompt_lengths=inputs["prompt_lengths"],
            decoder_prefix_ids=inputs["decoder_prefix_ids"],
        )


def _embedding_size(base: Any) -> int:
    return base.get_input_embeddings().embedding_dim


def _family(language_model: LanguageModel, wording: Wording) -> Family:
    kind = Seq2SeqFamily if language_model.model.config.is_encoder_decoder else CausalFamily
    return kind(
        language_model.model, lead_ids=wording.lead_ids(), pad_id=wording.pad_id, eos_id=wording.eos_id
    )
