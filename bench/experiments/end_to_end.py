"""Encoder and language model as one model: trained jointly, or with a part of the encoder frozen."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fla_llm.finetune.model import StageTwoModel
from fla_llm.pretrain.model import StageOneModel
from fla_llm.training.config import DecodingConfig
from fla_llm.training.model import TranslationModel


class EndToEnd(TranslationModel):
    """Stage two behind a visual encoder that stage two trains too, in whole or in part."""

    unit = "steps"

    def __init__(self, stage_one: StageOneModel, stage_two: StageTwoModel, *, tuned: str) -> None:
        """Train the language model with ``tuned`` (``temporal`` or ``all``) of the encoder."""
        super().__init__()
        self.encoder, self.stage_two, self.tuned = stage_one.encoder, stage_two, tuned
        training = stage_one.config.training
        self.rates = {"backbone": training.learning_rate * stage_one.config.backbone_lr_scale}
        self.rates["temporal"] = training.learning_rate
        self.encoder.backbone.requires_grad_(tuned == "all")

    def forward(
        self, *, labels: Tensor, num_items_in_batch: Tensor | int | None = None, **inputs: Any
    ) -> dict[str, Tensor]:
        return self.stage_two(labels=labels, num_items_in_batch=num_items_in_batch, **self._encoded(inputs))

    def translate(self, batch: Mapping[str, Any], decoding: DecodingConfig) -> list[str]:
        return self.stage_two.translate(self._encoded(batch), decoding)

    def padded_size(self, batch: Mapping[str, Any]) -> int:
        return len(batch["frames"])

    def train(self, mode: bool = True) -> "EndToEnd":
        """Keep the statistics of a frozen backbone: ``requires_grad_`` alone would not stop BatchNorm."""
        super().train(mode)
        if self.tuned != "all":
            self.encoder.backbone.eval()
        return self

    def parameter_groups(self) -> list[dict[str, Any]]:
        parts = {"backbone": self.encoder.backbone, "temporal": self.encoder.require_temporal()}
        if self.tuned != "all":
            del parts["backbone"]
        groups = [
            {"name": name, "params": list(part.parameters()), "lr": self.rates[name]}
            for name, part in parts.items()
        ]
        return [*self.stage_two.parameter_groups(), *groups]

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """Return the language model, the encoder and the last layer of each: the paper's Fig. 2."""
        llm, encoder = self.stage_two.llm, self.encoder
        layers = [module for module in llm.modules() if isinstance(module, nn.ModuleList)][-1]
        modules = {
            "llm": llm, "llm_last_layer": layers[-1],
            "encoder": encoder, "encoder_last_layer": encoder.require_temporal(),
        }  # fmt: skip
        return {
            name: [parameter for parameter in module.parameters() if parameter.requires_grad]
            for name, module in modules.items()
        }

    def _encoded(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        features = self.encoder(batch["frames"], batch["lengths"])
        rest = ("prompt_ids", "prompt_lengths", "decoder_prefix_ids")
        return {
            "features": features,
            "feature_lengths": batch["lengths"],
            **{key: batch[key] for key in rest},
        }


@torch.no_grad()
def features_of(model: StageOneModel, frames: Tensor, *, kind: str) -> Tensor:
    """Return the features of one clip: (T, 3, S, S) -> (T, F).

    Args:
        model: a stage-one model in evaluation mode.
        frames: the clip.
        kind: ``frame``, ``sign``, or ``states`` of the encoder of Light-T.
    """
    units = model.encoder.frame_features(frames)
    if kind == "frame":
        return units
    signs = model.encoder.sign_features(units)
    if kind == "sign":
        return signs
    light: Any = model.translator.get_encoder()
    return light(inputs_embeds=model.adapter(signs)[None]).last_hidden_state[0]
