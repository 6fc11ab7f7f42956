"""The encoder an extraction uses: from a directory, or straight from timm."""

from pathlib import Path

import torch

from ..core.errors import ModelError
from ..encoder.model import VisualEncoder
from ..encoder.store import fingerprint, fingerprint_of, load_encoder, timm_encoder
from .config import ExtractConfig

_TIMM = "timm:"


def load_source(
    *, ckpt: Path | None, encoder: str | None, config: ExtractConfig
) -> tuple[VisualEncoder, str]:
    """Return the frozen encoder and its fingerprint.

    Args:
        ckpt: an encoder directory, or a run directory that holds one; or
        encoder: ``timm:NAME``.
        config: how a timm backbone is made.

    Raises:
        ModelError: there is no such encoder.
    """
    if ckpt is not None:
        return load_encoder(ckpt), fingerprint(ckpt)
    if encoder is None or not encoder.startswith(_TIMM):
        raise ModelError(f"--encoder must be {_TIMM}NAME, but is {encoder!r}.\nGive a directory by --ckpt.")
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        backbone = timm_encoder(
            encoder.removeprefix(_TIMM),
            pretrained=config.timm.pretrained,
            image_size=config.timm.image_size,
        )
    return backbone, fingerprint_of(backbone)
