"""Loading of the encoder: from a directory, from timm, or from transformers."""

from dataclasses import replace
from pathlib import Path

import torch

from ..core.errors import ConfigError, ModelError, did_you_mean
from ..corpora.descriptions import Descriptions
from ..encoder.frozen import FrozenEncoder
from ..encoder.hand_encoder import HandEncoder
from ..encoder.pose_encoder import PoseEncoder
from ..encoder.store import fingerprint, fingerprint_of, load_frozen
from .config import ExtractConfig

KINDS = ("timm", "hf-video", "hf-text")


def load_source(
    *, ckpt: Path | None, encoder: str | None, config: ExtractConfig, descriptions: Descriptions | None = None
) -> tuple[FrozenEncoder, str]:
    """Return the frozen encoder and the fingerprint.

    Args:
        ckpt: an encoder directory, or a run directory with an encoder directory; or
        encoder: ``timm:NAME``, ``hf-video:NAME`` or ``hf-text:NAME``, where the name may be a directory,
            or ``poses``.
        config: settings of a timm backbone, a clip encoder, a text encoder or key points, and of crops.
        descriptions: descriptions of the frames, for a text encoder.

    Raises:
        ModelError: the encoder does not exist or cannot be loaded.
        ConfigError: a text encoder has no descriptions, or another encoder has some. Hands are cropped for an
            encoder of other input than single pictures.
    """
    if (descriptions is not None) != (encoder or "").startswith("hf-text:"):
        raise ConfigError(
            "--descriptions DIR must be given for --encoder hf-text:NAME, and for no other encoder, but is "
            f"{'not given' if descriptions is None else 'given'}."
        )
    if config.crop == "hands":
        plain = replace(config, crop="none")
        pictures, _ = load_source(ckpt=ckpt, encoder=encoder, config=plain, descriptions=descriptions)
        hands = HandEncoder(pictures, config.hands)
        return hands, fingerprint_of(hands)
    if ckpt is not None:
        return load_frozen(ckpt), fingerprint(ckpt)
    if encoder == "poses":
        points = PoseEncoder(config.poses.encoder)
        return points, fingerprint_of(points)
    kind, _, name = (encoder or "").partition(":")
    if kind not in KINDS or not name:
        raise ModelError(
            f"--encoder must be timm:NAME, hf-video:NAME, hf-text:NAME or poses, but is {encoder!r}."
            f"{did_you_mean(kind, [*KINDS, 'poses'])}\n"
            "Give a directory of stage one by --ckpt."
        )
    if kind == "timm" and "/" in name and Path(name).expanduser().is_dir():
        raise ModelError(
            f"--encoder must be timm:NAME, but {name} is a directory.\n"
            f"Give the model's name, and the directory by --set timm.weights={name}"
        )
    if kind == "hf-text":
        assert descriptions is not None, "checked above"
        made = _hf_text(name, config, descriptions)
    else:
        made = _timm(name, config) if kind == "timm" else _hf_video(name, config)
    return made, fingerprint_of(made)


def _timm(name: str, config: ExtractConfig) -> FrozenEncoder:
    from ..encoder.timm_source import timm_encoder

    how = config.timm
    # Random weights depend on the seed alone, and the caller's random numbers stay as they were.
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        return timm_encoder(
            name,
            pretrained=how.pretrained,
            weights=Path(how.weights).expanduser() if how.weights else None,
            image_size=how.image_size,
            pool=how.pool,
            scales=how.scales,
            sampling=how.sampling,
        )


def _hf_video(name: str, config: ExtractConfig) -> FrozenEncoder:
    from ..encoder.hf_video import hf_video_encoder  # transformers is slow to load, and only needed here

    how = config.hf_video
    return hf_video_encoder(
        name, window_stride=how.window_stride, pool=how.pool, sampling=how.sampling, fetch=how.fetch
    )


def _hf_text(name: str, config: ExtractConfig, descriptions: Descriptions) -> FrozenEncoder:
    from ..encoder.hf_text import hf_text_encoder  # transformers is slow to load, and only needed here
    from .text_clips import text_sampling

    how = config.hf_text
    return hf_text_encoder(
        name, pool=how.pool, max_tokens=how.max_tokens, sampling=text_sampling(descriptions, how),
        fetch=how.fetch,
    )  # fmt: skip
