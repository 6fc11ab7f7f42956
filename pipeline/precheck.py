"""Checks of what a command is given, before torch is loaded, which takes seconds.

Nothing here replaces a check of the work itself: here are the mistakes that files and settings alone show.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ..cache.reader import shard_paths
from ..core.config import load_config
from ..core.hub import find_source
from ..core.sample import Split
from ..corpora.manifest import read_manifest
from ..diffusion.run_files import check_diffusion_parts, is_diffusion_run, read_diffusion_settings
from ..encoder.folder import CLIP_SOURCE, check_encoder, is_encoder
from ..finetune.run_files import base_of, check_parts, reads_key_points
from ..finetune.run_files import read_settings as read_stage_two
from ..pretrain.run_files import read_settings as read_stage_one
from ..training.config import DecodingConfig

Decoding = tuple[str | None, tuple[str, ...]]


def precheck_stage_one(run: Path, manifest: Path, *, decoding: Decoding) -> None:
    """Check a stage-one run, a manifest, and the decoding that goes over the run's own.

    Raises:
        RunError, ModelError: the run is not whole.
        DataError: the manifest cannot be used.
        ConfigError: a setting is unknown or out of range.
    """
    _check_decoding(read_stage_one(run).decoding, decoding)
    check_encoder(run)
    # Read for the errors alone: the command reads the manifest again.
    read_manifest(manifest)


def precheck_stage_two(
    run: Path,
    *,
    decoding: Decoding,
    llm: str | None,
    features: Sequence[Path] = (),
    split: Split = "test",
    ckpt: Path | None = None,
) -> None:
    """Check a stage-two run, where its language model lies, and what the run is to translate.

    Args:
        run: the run.
        decoding: settings that go over the run's own.
        llm: where the language model lies, if it was moved.
        features: caches.
        split: the split that each cache must have.
        ckpt: the encoder, where videos are translated. None: the run holds or names the encoder.

    Raises:
        RunError, ModelError: the run or the encoder is not whole.
        CacheError: a cache lacks the split.
        ConfigError: a setting is unknown or out of range.
    """
    described = check_run_parts(run)
    settings = read_diffusion_settings(run) if is_diffusion_run(run) else read_stage_two(run)
    _check_decoding(settings.decoding, decoding)
    find_source(base_of(run, described, llm=llm))
    # Weights of other code, for a recorded timm model or clip encoder, are checked where they are loaded.
    if ckpt is not None and (is_encoder(ckpt) or not needs_weights(described)):
        check_encoder(ckpt)
    check_features(features, split)


def check_run_parts(run: Path) -> dict[str, Any]:
    """Check the files of a finished run of ``fla tune``, whatever its decoder. Return ``run.json``.

    Raises:
        RunError, ModelError: the run is not whole.
    """
    return check_diffusion_parts(run) if is_diffusion_run(run) else check_parts(run)


def how_named(made: Mapping[str, Any]) -> Literal["name", "weights"] | None:
    """Return how the encoder behind features can be made again, if it was neither trained here nor of poses.

    Args:
        made: record of the features in ``run.json``.

    Returns:
        ``name``: the record names weights of timm or of the hub, ``weights``: the weights must be given.
        None: the record describes no timm model and no clip encoder, or crops of hands.
    """
    settings = made.get("encoder_config") or {}
    # Crops need key points of each clip, which a video alone does not have.
    if "crop" in settings:
        return None
    if settings.get("source") == CLIP_SOURCE:
        return "name" if "hub_id" in made["preprocessing"] else "weights"
    # An encoder of stage one was stored, which switches pretrained off. Weights of a file are on record as
    # pretrained, too: only the fingerprint tells them from timm's own.
    return "name" if settings.get("pretrained") and not settings.get("temporal", True) else None


def needs_weights(described: Mapping[str, Any]) -> bool:
    """Return whether a run's features are of a timm model or a clip encoder, by ``run.json``."""
    return any(how_named(made) for made in _made_by(described))


def knows_encoder(run: Path, described: Mapping[str, Any]) -> bool:
    """Return whether videos can be translated with a run alone: it holds its encoder, or names one."""
    is_named = any(how_named(made) == "name" for made in _made_by(described))
    return is_encoder(run) or is_named or reads_key_points(dict(described))


def _made_by(described: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [made for stream in described.get("streams", ())[:1] for made in stream["made_by"]]


def check_features(features: Sequence[Path], split: Split) -> None:
    """Check that each cache has a split.

    Raises:
        CacheError: a folder is no cache, or lacks the split.
    """
    for folder in features:
        shard_paths(folder, split)


def _check_decoding(own: DecodingConfig, decoding: Decoding) -> None:
    source, overrides = decoding
    # Loaded for the errors alone.
    load_config(type(own), base=own, source=source, overrides=overrides)
