"""Text autoencoder: a sentence to a few latents, and back through the decoder of a frozen language model.

The form is that of LD4LG (Lovelace et al., NeurIPS 2023). The encoder of the language model reads the
sentence, a resampler makes latents of equal length of its states, an expander makes states of the latents,
and the decoder of the language model reads these states in place of the encoder's.

Letters: B sentences, L tokens, K latents, E width of a latent, D width of the language model.
"""

from collections.abc import Mapping
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..core.errors import ModelError
from ..llm.conditioned_lm import label_counts
from ..llm.given_states import DecoderOverStates, states_alone
from ..llm.load import LanguageModel
from ..llm.loss import summed_cross_entropy
from ..llm.prompt import Prompts
from ..llm.quantisation import prepare_frozen
from ..llm.text_codec import TextCodec
from ..training.batches import padded_size
from ..training.config import DecodingConfig
from ..training.model import IGNORED, TranslationModel
from .config import AutoencoderConfig, DiffusionConfig
from .layers import Block

QUERY_STD = 0.02
"""Standard deviation of new queries and positions, as of embeddings in BERT and BART."""


class Resampler(nn.Module):
    """Learned queries that read the states of a sentence (B, L, D) and become latents (B, K, E)."""

    def __init__(self, width: int, config: AutoencoderConfig) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(config.latents, width) * QUERY_STD)
        self.norm_states = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            Block(width, has_context=True, dropout=config.dropout) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, config.latent_size)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Return latents (B, K, E) of unit variance. ``mask`` (B, L) marks real states."""
        # The states of language models differ in magnitude by orders, so they are normalised first.
        x, context = self.queries.expand(len(states), -1, -1), self.norm_states(states)
        for block in self.blocks:
            x = block(x, context=context, context_mask=mask)
        return unit_variance(self.out(self.norm(x)))


class Expander(nn.Module):
    """Transformer from latents (B, K, E) to states (B, K, D) with the magnitude of the encoder's states."""

    scale: Tensor

    def __init__(self, width: int, config: AutoencoderConfig) -> None:
        super().__init__()
        self.input = nn.Linear(config.latent_size, width)
        self.places = nn.Parameter(torch.randn(config.latents, width) * QUERY_STD)
        self.blocks = nn.ModuleList(Block(width, dropout=config.dropout) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        # Apart from the norm's own gain: the optimiser sees a gain near 1 and moves it by small shares.
        self.register_buffer("scale", torch.ones(()))

    def forward(self, latents: Tensor) -> Tensor:
        """Return the states."""
        x = self.input(latents) + self.places
        for block in self.blocks:
            x = block(x)
        return self.norm(x) * self.scale


class TextAutoencoder(TranslationModel):
    """Frozen encoder-decoder model with a trained resampler and expander.

    Attributes:
        language_model: the frozen model.
        codec: text codec of the model.
        decoder: decoder of the model over the states of the expander.
    """

    unit = "tokens"

    def __init__(self, language_model: LanguageModel, *, config: DiffusionConfig) -> None:
        """Build resampler and expander for the language model.

        Raises:
            ModelError: the language model has no encoder.
        """
        super().__init__()
        base = language_model.model
        if not base.config.is_encoder_decoder:
            raise ModelError(
                f"--llm {language_model.source} must be an encoder-decoder for --decoder diffusion, but is "
                f"{base.config.model_type!r}.\nGive a model such as mBART, T5 or mT5."
            )
        prepare_frozen(base, activation_checkpointing=False)
        self.llm: Any = base
        self.language_model, self.config = language_model, config
        # No prompt is read: the states of a sentence come from the sentence alone.
        self.codec = TextCodec(language_model.tokenizer, base.config, prompts=Prompts(default=""))
        self.decoder = DecoderOverStates(
            base, lead_ids=[], pad_id=self.codec.pad_id, eos_id=self.codec.eos_id
        )
        embed: Any = base.get_input_embeddings()
        width: int = embed.embedding_dim
        self.resampler = Resampler(width, config.autoencoder).to(base.device)
        self.expander = Expander(width, config.autoencoder).to(base.device)

    def forward(
        self, *, labels: Tensor, num_items_in_batch: Tensor | int | None = None, **inputs: Any
    ) -> dict[str, Tensor]:
        """Return the loss of reconstructed sentences (B, L). See :class:`TranslationModel`."""
        targets = labels[labels != IGNORED]
        with self._autocast():
            latents = self._latents(labels)
            noise = self.config.autoencoder.latent_noise
            # Latents that the denoiser draws are never exact: neighbours of a latent mean the same sentence.
            if self.training and noise > 0:
                latents = unit_variance(latents + noise * torch.randn_like(latents))
            given = states_alone(self.expander(latents), inputs["decoder_prefix_ids"])
            states = self.decoder.labelled_states(given, labels)
            total = summed_cross_entropy(states, targets, head=self.decoder.head, label_smoothing=0.0)
        return {"loss": total / (len(targets) if num_items_in_batch is None else num_items_in_batch)}

    @torch.no_grad()
    def encode(self, labels: Tensor) -> Tensor:
        """Return the latents (B, K, E), float32, of sentences as labels (B, L)."""
        with self._autocast():
            return self._latents(labels).float()

    @torch.no_grad()
    def decode(
        self, latents: Tensor, decoder_prefix_ids: Tensor, decoding: DecodingConfig
    ) -> list[dict[str, Any]]:
        """Return the best sentence of each row of latents (B, K, E), as ``{"text", "score"}``.

        The score is the log-likelihood of the sentence, given its latents, by the number of tokens to the
        power of ``length_penalty``.
        """
        with self._autocast():
            given = states_alone(self.expander(latents), decoder_prefix_ids)
            found = self.decoder.search(given, decoding)
        # Candidates of a clip come from several draws, not from several beams.
        best = zip(found.ids[:, 0].tolist(), found.scores[:, 0].tolist(), strict=True)
        return [{"text": self.codec.decode(ids), "score": score} for ids, score in best]

    def translate(self, batch: Mapping[str, Any], decoding: DecodingConfig) -> list[str]:
        """Return the reconstructed sentences of a batch. Here the labels are the input."""
        found = self.decode(self.encode(batch["labels"]), batch["decoder_prefix_ids"], decoding)
        return [row["text"] for row in found]

    @torch.no_grad()
    def calibrate(self, labels: Tensor) -> None:
        """Give the expander's states the magnitude that the encoder has on sentences (B, L)."""
        with self._autocast():
            states, mask = self._states(labels)
        # Padded positions have states too, which no decoder reads.
        self.expander.scale.fill_(float(states[mask].float().square().mean().sqrt()))

    def padded_size(self, batch: Mapping[str, Any]) -> int:
        """Return the number of tokens, padding included."""
        return padded_size(range(len(batch["labels"])), label_counts(batch["labels"]))

    def halve(self, batch: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the first and the second half of the sentences."""
        half = len(batch["labels"]) // 2
        if half == 0:
            return None
        first = {name: value[:half] for name, value in batch.items()}
        return first, {name: value[half:] for name, value in batch.items()}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the parameters of resampler and expander."""
        parts = {"resampler": self.resampler, "expander": self.expander}
        return [{"name": name, "params": list(part.parameters())} for name, part in parts.items()]

    def train(self, mode: bool = True) -> Self:
        """Set train or eval mode. The language model stays in eval mode."""
        super().train(mode)
        # Dropout of a frozen model would only blur the targets.
        self.llm.eval()
        return self

    def checkpoint_state(self) -> dict[str, Tensor]:
        """Return the tensors of resampler and expander. The language model is loaded from its own files."""
        return {name: tensor.detach() for name, tensor in self.trained.state_dict(keep_vars=True).items()}

    @property
    def trained(self) -> nn.ModuleDict:
        """Resampler and expander."""
        return nn.ModuleDict({"resampler": self.resampler, "expander": self.expander})

    def _latents(self, labels: Tensor) -> Tensor:
        # No gradient reaches the frozen encoder.
        with torch.no_grad():
            states, mask = self._states(labels)
        return cast(Tensor, self.resampler(states, mask))

    def _states(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the encoder's states (B, L, D) of sentences, and the mask of real states (B, L)."""
        # The end token is read too: the encoders of T5 and mBART were trained on inputs with an end.
        mask = labels != IGNORED
        ids = labels.masked_fill(~mask, self.codec.pad_id)
        encoded = self.llm.get_encoder()(input_ids=ids, attention_mask=mask.long())
        return encoded.last_hidden_state, mask

    def _autocast(self) -> torch.autocast:
        return self.language_model.autocast(self.config.autoencoder.training.precision)


def unit_variance(latents: Tensor) -> Tensor:
    """Return latents (B, K, E), each with the length sqrt(E), so that a value has variance 1.

    >>> unit_variance(torch.tensor([[[3.0, 4.0]]])).square().mean().item()
    1.0
    """
    # In fp32, because the sampler adds up many small steps.
    return normalize(latents.float(), dim=-1) * latents.shape[-1] ** 0.5
