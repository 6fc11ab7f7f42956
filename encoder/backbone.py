"""Backbone: a timm model for single frames, and the pooling of its feature map into a vector."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.errors import ModelError
from .config import EncoderConfig
from .timm_models import create_timm_model


class Backbone(nn.Module):
    """Normalised frames (N, 3, H, W) -> vectors (N, F)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.name, self.pool, self.grid_size = config.backbone, config.pool, config.grid_size
        self.net = create_timm_model(config)
        self.feature_size = self._measure(config)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return a vector for each frame."""
        if self.pool == "avg":
            return self.net(pixels)  # built without a classifier: timm's own pooled features
        features = self._features(pixels)
        if self.pool == "token":
            return self._class_token(features)
        if self.pool == "mean":
            return self._cells(features).mean(2)  # (N, C, cells) -> (N, C)
        # Means over a grid keep the position of a hand, which a mean over the whole map loses.
        cells = F.adaptive_avg_pool2d(self._feature_map(features), self.grid_size)
        return cells.flatten(1)  # (N, C, g, g) -> (N, C g g)

    def _features(self, pixels: Tensor) -> Tensor | list[Tensor]:
        """Return the features before pooling: a map, tokens, or a list of maps."""
        return self.net.forward_features(pixels)  # type: ignore[operator]  # timm builds by name

    @property
    def _num_prefix_tokens(self) -> int:
        """Number of tokens (class, distillation, registers) before the patch tokens."""
        # Older timm models have no num_prefix_tokens.
        has_class_token = getattr(self.net, "cls_token", None) is not None
        return getattr(self.net, "num_prefix_tokens", int(has_class_token))

    def _class_token(self, features: Tensor | list[Tensor]) -> Tensor:
        """Return the class token, the first of timm's tokens: (N, P + h w, C) -> (N, C)."""
        if getattr(self.net, "cls_token", None) is None or isinstance(features, list) or features.ndim != 3:
            raise ModelError(f"pool must be avg or mean for backbone {self.name}: it has no class token.")
        return features[:, 0]

    def _cells(self, features: Tensor | list[Tensor]) -> Tensor:
        """Return patches or map cells as a sequence, (N, C, cells)."""
        if isinstance(features, Tensor) and features.ndim == 3:
            return features[:, self._num_prefix_tokens :].transpose(1, 2)
        return self._feature_map(features).flatten(2)

    def _feature_map(self, features: Tensor | list[Tensor]) -> Tensor:
        """Return the last feature map as (N, C, h, w), for any memory layout of the model."""
        channels: int = self.net.num_features  # type: ignore[assignment]  # timm builds by name
        if isinstance(features, Tensor) and features.ndim == 3:
            return self._patch_map(features)
        # Swin and similar models put channels last. The number of channels tells the layouts apart.
        if isinstance(features, Tensor) and features.ndim == 4 and features.shape[1] == channels:
            return features
        if isinstance(features, Tensor) and features.ndim == 4 and features.shape[3] == channels:
            return features.permute(0, 3, 1, 2)
        shape = tuple(features.shape) if isinstance(features, Tensor) else f"a {type(features).__name__}"
        raise ModelError(f"pool must be avg for backbone {self.name}: its features ({shape}) are no map.")

    def _patch_map(self, tokens: Tensor) -> Tensor:
        """Arrange the patch tokens of a vision transformer as a map: (N, P + h w, C) -> (N, C, h, w)."""
        patches = tokens[:, self._num_prefix_tokens :]
        side = round(patches.shape[1] ** 0.5)
        if side * side != patches.shape[1]:
            raise ModelError(
                f"pool must be avg, token or mean for backbone {self.name}: its {patches.shape[1]} patches"
                " are no square."
            )
        return patches.transpose(1, 2).unflatten(2, (side, side))

    @torch.no_grad()
    def _measure(self, config: EncoderConfig) -> int:
        """Return F, measured on a black frame."""
        trained = self.net.training
        self.net.eval()  # else the black frame would enter the statistics of BatchNorm
        try:
            pixels = torch.zeros(1, 3, config.tile_size, config.tile_size)
            # A model can ignore output_stride silently, so the size of the map is measured.
            if self.grid_size is not None or config.output_stride is not None:
                self._check_map(self._feature_map(self._features(pixels)), config)
            return self(pixels).shape[1]
        except (RuntimeError, AssertionError) as error:  # as models refuse a size; some assert
            raise ModelError(
                f"backbone {self.name} cannot see pictures of {config.tile_size} pixels: {error}"
            ) from error
        finally:
            self.net.train(trained)

    def _check_map(self, features: Tensor, config: EncoderConfig) -> None:
        side = features.shape[-1]
        stride = config.output_stride
        if stride is not None and side != -(-config.tile_size // stride):
            raise ModelError(
                f"backbone {self.name} does not support output_stride {stride}: at {config.tile_size} pixels"
                f" its map measures {side} x {side}."
            )
        if self.grid_size is not None and side < self.grid_size:
            raise ModelError(
                f"pool grid-{self.grid_size} needs a map of {self.grid_size} x {self.grid_size} or more,"
                f" but backbone {self.name} gives {side} x {side} at {config.tile_size} pixels.\n"
                "Set a smaller output_stride, a larger image_size or a coarser grid."
            )
