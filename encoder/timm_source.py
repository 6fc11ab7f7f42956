"""Frozen timm backbone as an encoder, with timm's weights or the weights of a local file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..video.sampling import FrameSampling
from .backbone_weights import check_weights_at_hand, training_input
from .config import EncoderConfig
from .model import VisualEncoder
from .timm_models import check_timm_name


def timm_encoder(
    name: str,
    *,
    image_size: int | None = None,
    resize_size: int | None = None,
    pretrained: bool = True,
    weights: Path | None = None,
    pool: str = "avg",
    scales: tuple[int, ...] = (1,),
    sampling: FrameSampling | None = None,
) -> VisualEncoder:
    """Build a frozen timm backbone as an encoder: level "frame" only.

    Args:
        name: a timm model, as in ``resnet18`` or ``vit_base_patch16_224.augreg_in21k``.
        image_size: side of the input. None: the side in the training of the backbone.
        resize_size: side of decoded frames at scale 1. None: the side that leads to timm's crop.
        pretrained: use timm's weights, fetched when not on disk, instead of random weights.
        weights: a ``.safetensors`` file with other weights, or a directory as timm's hub models have.
        pool: pooling, as in :class:`EncoderConfig`.
        scales: scales of a frame, as multiples of ``image_size``. Frames are decoded at the largest scale.
        sampling: sampling of frames. None: the defaults of :class:`FrameSampling`.

    Raises:
        ModelError: the name is unknown, or the weights cannot be fetched, do not fit or are pickled.
        ConfigError: ``pool`` or ``scales`` is not valid.
    """
    check_timm_name(name)
    if pretrained and weights is None:
        check_weights_at_hand(name, key="timm.pretrained")
    trained = training_input(name, weights)
    side: int = image_size or trained["input_size"][-1]
    largest = max(scales, default=1)
    config = EncoderConfig(
        backbone=name,
        pretrained=pretrained,
        weights=str(weights) if weights is not None else None,
        pool=pool,
        temporal=False,
        image_size=side * largest,
        resize_size=(resize_size or round(side / trained["crop_pct"])) * largest,
        mean=_three(trained["mean"]),
        std=_three(trained["std"]),
        sampling=sampling or FrameSampling(),
        scales=None if scales == (1,) else scales,
    )
    encoder = VisualEncoder(config)
    if weights is not None:
        # A cache must not depend on the place of the file.
        encoder.config = replace(config, pretrained=True, weights=None)
    return encoder.requires_grad_(False).eval()


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue
