"""A video in, a sentence out: stage one's encoder, then stage two's language model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..core.config import load_config
from ..core.device import resolve_device, resolve_dtype
from ..core.errors import ConfigError, DataError
from ..core.files import read_json
from ..core.progress import progress
from ..encoder import VisualEncoder, encode, fingerprint, load_encoder
from ..extract.config import FRAME_BATCH, ExtractConfig
from ..finetune.model import StageTwoModel
from ..finetune.store import RUN, check_features, load_stage_two
from ..training.config import DecodingConfig
from ..video import Clip, read_frames
from .evaluate import Decoding


@dataclass(frozen=True, kw_only=True)
class Translated:
    """What became of the videos."""

    translations: tuple[tuple[Path, str], ...]
    """Each readable video with its sentence, in the order given."""
    faults: tuple[str, ...]
    """A sentence for each video that could not be read."""


def translate(
    videos: Sequence[Path],
    *,
    run: Path,
    ckpt: Path,
    language: str | None = None,
    decoding: Decoding = (None, ()),
    device: str = "auto",
) -> Translated:
    """Translate videos that stand in no manifest.

    Args:
        videos: video files, or folders of frames.
        run: a stage-two run.
        ckpt: the stage-one run, or its encoder directory, that the run's features came from.
        language: language of the sentences; None for the one the run was tuned on.
        decoding: settings of the search, over the run's own.
        device: as :func:`resolve_device` takes it.

    Raises:
        CacheError: ``ckpt`` is another encoder than the run was tuned on.
        ConfigError: the run was tuned on several languages and none is named.
    """
    where = resolve_device(device)
    encoder = load_encoder(ckpt).to(where)
    model = load_stage_two(run, device=where)
    check_features(model, fingerprint(ckpt))
    spoken = language or _only_language(run)
    search = load_config(
        DecodingConfig, base=model.config.decoding, source=decoding[0], overrides=decoding[1]
    )
    faults: list[str] = []
    features = _features(encoder, videos, device=where, faults=faults)
    done = [
        (video, _sentence(model, array, language=spoken, decoding=search))
        for video, array in progress(features, desc="translating", total=len(videos), unit="videos")
    ]
    return Translated(translations=tuple(done), faults=tuple(faults))


def _features(
    encoder: VisualEncoder, videos: Sequence[Path], *, device: torch.device, faults: list[str]
) -> Iterator[tuple[Path, np.ndarray]]:
    config = ExtractConfig()
    return encode(
        encoder,
        _readable(encoder, videos, faults),
        frame_batch=FRAME_BATCH,
        level="sign",
        device=device,
        dtype=resolve_dtype(config.precision, device),
    )


def _readable(
    encoder: VisualEncoder, videos: Sequence[Path], faults: list[str]
) -> Iterator[tuple[Path, np.ndarray]]:
    config = encoder.config
    for video in videos:
        try:
            frames = read_frames(
                Clip(path=video), sampling=config.sampling, size=config.resize_size, fit=config.fit
            )
        except DataError as error:
            faults.append(str(error))
            continue
        yield video, frames


@torch.no_grad()
def _sentence(model: StageTwoModel, features: np.ndarray, *, language: str, decoding: DecodingConfig) -> str:
    batch = model.collate([{"id": "", "features": features, "text": "", "language": language}])
    device = model.llm.device
    return model.translate({name: value.to(device) for name, value in batch.items()}, decoding)[0]


def _only_language(run: Path) -> str:
    languages: list[str] = read_json(run / RUN)["languages"]
    if len(languages) != 1:
        raise ConfigError(f"{run} was tuned on {', '.join(languages)}.\nSay which one with --language.")
    return languages[0]
