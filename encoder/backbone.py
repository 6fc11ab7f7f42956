"""The part that sees single frames: a timm model, and how its feature map becomes one vector."""

from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.errors import ModelError, did_you_mean
from .config import EncoderConfig


class Backbone(nn.Module):
    """Normalised frames (N, 3, H, W) -> vectors (N, F)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.name, self.grid_size = config.backbone, config.grid_size
        self.net = create_timm_model(config)
        self.feature_size = self._measure(config)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return one vector a frame."""
        if self.grid_size is None:
            return self.net(pixels)  # built without a classifier: timm's own pooled features
        cells = F.adaptive_avg_pool2d(self._feature_map(pixels), self.grid_size)
        return cells.flatten(1)  # (N, C, g, g) -> (N, C g g)

    def _feature_map(self, pixels: Tensor) -> Tensor:
        """Return the last feature map as (N, C, h, w), whatever the layout of the model."""
        features: Tensor | list[Tensor] = self.net.forward_features(pixels)  # type: ignore[operator]  # timm builds by name
        channels: int = self.net.num_features  # type: ignore[assignment]  # timm builds by name
        if isinstance(features, Tensor) and features.ndim == 3:
            return self._patch_map(features)
        if isinstance(features, Tensor) and features.ndim == 4 and features.shape[1] == channels:
            return features
        if isinstance(features, Tensor) and features.ndim == 4 and features.shape[3] == channels:
            return features.permute(0, 3, 1, 2)
        shape = tuple(features.shape) if isinstance(features, Tensor) else f"a {type(features).__name__}"
        raise ModelError(f"pool must be avg for backbone {self.name}: its features ({shape}) are no map.")

    def _patch_map(self, tokens: Tensor) -> Tensor:
        """Lay a vision transformer's patch tokens out as a map: (N, P + h w, C) -> (N, C, h, w)."""
        patches = tokens[:, getattr(self.net, "num_prefix_tokens", 0) :]
        side = round(patches.shape[1] ** 0.5)
        if side * side != patches.shape[1]:
            raise ModelError(
                f"pool must be avg for backbone {self.name}: its {patches.shape[1]} patches are no square."
            )
        return patches.transpose(1, 2).unflatten(2, (side, side))

    @torch.no_grad()
    def _measure(self, config: EncoderConfig) -> int:
        """Return F, from a trial run on one black frame that leaves BatchNorm statistics alone."""
        trained = self.net.training
        self.net.eval()
        try:
            pixels = torch.zeros(1, 3, config.image_size, config.image_size)
            if self.grid_size is not None or config.output_stride is not None:
                self._check_map(self._feature_map(pixels), config)
            return self(pixels).shape[1]
        except (RuntimeError, AssertionError) as error:  # as models refuse a size; some assert
            raise ModelError(
                f"backbone {self.name} cannot see pictures of {config.image_size} pixels: {error}"
            ) from error
        finally:
            self.net.train(trained)

    def _check_map(self, features: Tensor, config: EncoderConfig) -> None:
        side = features.shape[-1]
        stride = config.output_stride
        if stride is not None and side != -(-config.image_size // stride):
            raise ModelError(
                f"backbone {self.name} does not support output_stride {stride}: at {config.image_size} pixels"
                f" its map measures {side} x {side}."
            )
        if self.grid_size is not None and side < self.grid_size:
            raise ModelError(
                f"pool grid-{self.grid_size} needs a map of {self.grid_size} x {self.grid_size} or more,"
                f" but backbone {self.name} gives {side} x {side} at {config.image_size} pixels.\n"
                "Set a smaller output_stride, a larger image_size or a coarser grid."
            )


def create_timm_model(config: EncoderConfig) -> nn.Module:
    """Build a timm model without classifier.

    Raises:
        ModelError: the name is unknown, the model has no such option, or its weights cannot be fetched.
    """
    check_timm_name(config.backbone)
    options: dict[str, Any] = {}
    if config.output_stride is not None:
        options["output_stride"] = config.output_stride
    pretrained_cfg = timm.get_pretrained_cfg(config.backbone)
    if pretrained_cfg is not None and pretrained_cfg.fixed_input_size:
        options["img_size"] = config.image_size
    try:
        return timm.create_model(config.backbone, pretrained=config.pretrained, num_classes=0, **options)
    except (TypeError, AssertionError, NotImplementedError, ValueError) as error:
        raise ModelError(f"backbone {config.backbone} cannot be built with {options}: {error}") from error
    except (OSError, RuntimeError) as error:
        if not config.pretrained:
            raise
        raise ModelError(
            f"The weights of backbone {config.backbone} are not on disk and cannot be fetched: {error}\n"
            "Connect once so that they are kept, or set pretrained: false."
        ) from error


def check_timm_name(name: str) -> None:
    """Refuse a name, or the tag behind its dot, that timm does not know.

    Raises:
        ModelError: with the nearest name timm knows.
    """
    model, _, tag = name.partition(".")
    known = timm.list_models()
    if model not in known:
        raise ModelError(f"backbone must be a timm model, but is {name!r}.{did_you_mean(model, known)}")
    tagged = timm.list_pretrained(f"{model}.*") if tag else [name]
    if name not in tagged:
        raise ModelError(f"timm has no weights {name!r}.{did_you_mean(name, tagged)}")
