"""Model of stage one: visual encoder, VL-Adapter, and a light translation model (Light-T).

Light-T has MBart's architecture (pre-norm), small and with random weights. The paper names no norm.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import MBartConfig, MBartForConditionalGeneration

from ..core.errors import DataError
from ..encoder.chunks import in_chunks
from ..encoder.store import TrainableEncoder
from ..llm.attention import eager_attention, mean_weights
from ..training.config import DecodingConfig
from ..training.model import IGNORED, TranslationModel
from .config import PretrainConfig, TranslatorConfig
from .tokenizer import BOS, EOS, PAD, SentenceTokenizer


class StageOneModel(TranslationModel):
    """Model from frames of clips to sentences.

    Letters: B clips, N frames of all clips, T steps of the longest clip, D width of a feature, L tokens.
    """

    unit = "steps"

    def __init__(
        self, encoder: TrainableEncoder, tokenizer: SentenceTokenizer, config: PretrainConfig
    ) -> None:
        """Put a light translation model with random weights behind ``encoder``."""
        super().__init__()
        self.config = config
        self.tokenizer = tokenizer
        width = config.translator.hidden_size
        self.encoder = encoder
        self.adapter = nn.Sequential(
            nn.Linear(encoder.output_size, width), nn.GELU(), nn.Linear(width, width)
        )
        # A function, not a module: names of weights stay the same.
        features = encoder.frame_features
        self._forward_frames = torch.compile(features) if config.training.compile else features
        self.translator = MBartForConditionalGeneration(_mbart_config(config.translator, len(tokenizer)))

    def forward(
        self, *, labels: Tensor, num_items_in_batch: Tensor | int | None = None, **inputs: Any
    ) -> dict[str, Tensor]:
        """Return the label-smoothed cross-entropy. ``inputs`` holds ``frames`` and ``lengths``."""
        source, mask = self._source(inputs["frames"], inputs["lengths"])
        hidden = self.translator.model(
            inputs_embeds=source, attention_mask=mask, decoder_input_ids=_shifted(labels), use_cache=False
        ).last_hidden_state
        valid = labels != IGNORED  # logits are large: none are computed for padding
        logits = self.translator.lm_head(hidden[valid])  # (B, L, D) -> (valid labels, V)
        loss = functional.cross_entropy(
            logits.float(),  # bf16 has too few digits for a sum over the vocabulary
            labels[valid],
            reduction="sum",
            label_smoothing=self.config.translator.label_smoothing,
        )
        return {"loss": loss / (valid.sum() if num_items_in_batch is None else num_items_in_batch)}

    def padded_size(self, batch: Mapping[str, Any]) -> int:
        """Return the number of frames of all clips."""
        return len(batch["frames"])

    def halve(self, batch: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the first and the second half of the clips. BatchNorm sees a half at a time."""
        clips = len(batch["lengths"])
        if clips == 1:
            return None
        middle = clips // 2
        frames = int(batch["lengths"][:middle].sum())
        first = {name: tensor[: frames if name == "frames" else middle] for name, tensor in batch.items()}
        second = {name: tensor[frames if name == "frames" else middle :] for name, tensor in batch.items()}
        return first, second

    @property
    def memory_remedy(self) -> str:
        """Settings that lower the memory of a batch."""
        chunk = self.config.training.frame_chunk
        smaller = "training.frame_chunk" if chunk is None else f"a training.frame_chunk below {chunk}"
        return f"Set {smaller}, or a smaller training.batch_steps, or training.batch_clips."

    @property
    def waiting_remedy(self) -> str:
        """Settings that shorten the waiting for batches. Only videos have small copies."""
        remedy = "Set more training.workers, or keep more clips in memory (keep_frames_gib)."
        if self.config.encoder.medium == "video":
            remedy += " Small copies of large videos (fla shrink) are read faster."
        return remedy

    def translate(self, batch: Mapping[str, Any], decoding: DecodingConfig) -> list[str]:
        """Search a sentence for each clip. The batch holds ``frames`` and ``lengths``."""
        source, mask = self._source(batch["frames"], batch["lengths"])
        light: Any = self.translator  # the type checker does not know generate()
        found = light.generate(
            inputs_embeds=source,
            attention_mask=mask,
            num_beams=decoding.num_beams,
            # The decoder has no positions beyond this number, and the begin token takes the first.
            max_new_tokens=min(decoding.max_new_tokens, self.config.translator.positions - 1),
            length_penalty=decoding.length_penalty,
            do_sample=False,
        )
        return [self.tokenizer.decode(ids) for ids in found.tolist()]

    @torch.no_grad()
    def cross_attention(self, batch: Mapping[str, Any]) -> Tensor:
        """Return the cross-attention of each label on each time step, averaged over heads and layers.

        Args:
            batch: ``frames``, ``lengths`` and ``labels``, on the device of the model.

        Returns:
            Weights (B, L, T). The row of a valid label sums to 1 over the steps of the clip.
        """
        source, mask = self._source(batch["frames"], batch["lengths"])
        with eager_attention(self.translator):
            decoded = self.translator.model(
                inputs_embeds=source, attention_mask=mask, decoder_input_ids=_shifted(batch["labels"]),
                use_cache=False, output_attentions=True,
            )  # fmt: skip
        return mean_weights(decoded.cross_attentions, kind="mbart")

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return two groups: the backbone, with a scaled learning rate, and the rest."""
        backbone = list(self.encoder.backbone.parameters())
        known = {id(parameter) for parameter in backbone}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in known]
        return [
            {"name": "backbone", "params": backbone, "lr_scale": self.config.backbone_lr_scale},
            {"name": "translator", "params": rest},
        ]

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """Return the visual encoder, and the light translation model with its adapter."""
        translator = [*self.adapter.parameters(), *self.translator.parameters()]
        return {"encoder": list(self.encoder.parameters()), "translator": translator}

    def count_work(self, batch: Mapping[str, Any]) -> dict[str, int]:
        """Return the clips and the frames of a batch."""
        return super().count_work(batch) | {"frames": len(batch["frames"])}

    def _source(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the inputs of the translator (B, T, D) and the mask of valid steps (B, T)."""
        steps, positions = int(lengths.max()), self.config.translator.positions
        if steps > positions:
            raise DataError(
                f"A clip must have at most translator.positions ({positions}) frames after thinning, but has "
                f"{steps}.\nLower encoder.sampling.max_frames, or train with more positions."
            )
        # (N, 3, H, W) -> (B, T, D)
        signs = self.encoder(frames, lengths, frame_features=self._frame_features)
        mask = torch.arange(steps, device=lengths.device) < lengths[:, None]
        return self.adapter(signs), mask.long()

    def _frame_features(self, frames: Tensor) -> Tensor:
        """Apply the backbone in chunks: (N, 3, H, W) -> (N, F)."""
        return in_chunks(
            self._forward_frames,
            frames,
            size=self.config.training.frame_chunk,
            module=self.encoder.backbone,
        )


def _shifted(labels: Tensor) -> Tensor:
    """Return the decoder inputs: the begin token, then all labels but the last."""
    begin = labels.new_full((len(labels), 1), BOS)
    return torch.cat([begin, labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, PAD)], dim=1)


def _mbart_config(config: TranslatorConfig, vocab_size: int) -> MBartConfig:
    """Return the configuration of Light-T."""
    # MBart's initial weights (standard deviation 0.02) suit a width of 1024. In a narrow model they make
    # cross-attention so weak that the decoder ignores the video for good. width ** -0.5 avoids this.
    return MBartConfig(
        init_std=config.hidden_size**-0.5,
        vocab_size=vocab_size,
        d_model=config.hidden_size,
        encoder_layers=config.encoder_layers,
        decoder_layers=config.decoder_layers,
        encoder_attention_heads=config.heads,
        decoder_attention_heads=config.heads,
        encoder_ffn_dim=config.ffn_size,
        decoder_ffn_dim=config.ffn_size,
        max_position_embeddings=config.positions,
        dropout=config.dropout,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
        decoder_start_token_id=BOS,
        forced_eos_token_id=EOS,
    )
