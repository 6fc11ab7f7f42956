"""Checks of what a command is given, before torch is loaded, which takes seconds.

Nothing here replaces a check of the work itself: here are the mistakes that files and settings alone show.
"""

from collections.abc import Sequence
from pathlib import Path

from ..cache.reader import shard_paths
from ..core.config import load_config
from ..core.hub import find_source
from ..core.sample import Split
from ..corpora.manifest import read_manifest
from ..encoder.folder import check_encoder
from ..finetune.run_files import base_of, check_parts
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
        ckpt: the encoder, where videos are translated.

    Raises:
        RunError, ModelError: the run or the encoder is not whole.
        CacheError: a cache lacks the split.
        ConfigError: a setting is unknown or out of range.
    """
    described = check_parts(run)
    _check_decoding(read_stage_two(run).decoding, decoding)
    find_source(base_of(run, described, llm=llm))
    if ckpt is not None:
        check_encoder(ckpt)
    check_features(features, split)


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
    load_config(DecodingConfig, base=own, source=source, overrides=overrides)
