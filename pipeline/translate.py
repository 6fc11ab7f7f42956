"""A video in, a sentence out: stage one's encoder, then stage two's language model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..core.config import load_config
from ..core.device import resolve_device
from ..core.errors import ConfigError, DataError, RunError
from ..core.files import read_json
from ..core.progress import progress
from ..encoder.encode import encode
from ..encoder.model import VisualEncoder
from ..encoder.store import fingerprint, load_encoder
from ..finetune.model import StageTwoModel
from ..finetune.run_files import RUN
from ..finetune.store import check_features, load_stage_two
from ..training.config import DecodingConfig
from ..video import Clip, read_frames
from .as_cached import Making, making_of
from .evaluation import Decoding


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
    llm: str | None = None,
    language: str | None = None,
    decoding: Decoding = (None, ()),
    device: str = "auto",
) -> Translated:
    """Translate videos that stand in no manifest.

    Args:
        videos: video files, or folders of frames.
        run: a stage-two run.
        ckpt: the stage-one run, or its encoder directory, that the run's features came from.
        llm: where the run's language model lies now, if it was moved.
        language: language of the sentences; None for the one the run was tuned on.
        decoding: settings of the search, over the run's own.
        device: as :func:`resolve_device` takes it.

    Raises:
        CacheError: ``ckpt`` is another encoder than the run was tuned on, or cannot see videos as the run's
            features were made.
        RunError: the run was tuned on several streams: one encoder gives one.
        ConfigError: the run was tuned on several languages and none is named.
    """
    where = resolve_device(device)
    encoder = load_encoder(ckpt).to(where)
    model = load_stage_two(run, device=where, llm=llm)
    _check_one_stream(run, model)
    check_features(model, fingerprint(ckpt))
    making = making_of(run, model.streams[0], encoder=encoder, device=where)
    spoken = language or _only_language(run)
    search = load_config(
        DecodingConfig, base=model.config.decoding, source=decoding[0], overrides=decoding[1]
    )
    faults: list[str] = []
    features = encode_videos(encoder, videos, making=making, device=where, faults=faults)
    done = [
        (video, _sentence(model, array, language=spoken, decoding=search))
        for video, array in progress(features, desc="translating", total=len(videos), unit="videos")
    ]
    return Translated(translations=tuple(done), faults=tuple(faults))


def encode_videos(
    encoder: VisualEncoder,
    videos: Sequence[Path],
    *,
    making: Making,
    device: torch.device,
    faults: list[str],
) -> Iterator[tuple[Path, np.ndarray]]:
    """Yield each readable video with its features (T, F), float16; the others' sentences go to ``faults``."""
    return encode(
        encoder,
        _readable(encoder, videos, making, faults),
        frame_batch=making.frame_batch,
        level=making.level,
        device=device,
        dtype=making.dtype,
    )


def _readable(
    encoder: VisualEncoder, videos: Sequence[Path], making: Making, faults: list[str]
) -> Iterator[tuple[Path, np.ndarray]]:
    config = encoder.config
    for video in videos:
        try:
            frames = read_frames(
                Clip(path=video),
                sampling=making.sampling,
                phase=making.phase,
                size=config.resize_size,
                fit=config.fit,
                keep_partial=making.keep_partial,
            )
        except DataError as error:
            faults.append(str(error))
            continue
        yield video, frames


def _check_one_stream(run: Path, model: StageTwoModel) -> None:
    if len(model.streams) > 1:
        raise RunError(
            f"{run} must be tuned on one stream of features to translate videos, but was tuned on "
            f"{len(model.streams)}: --ckpt gives those of one encoder.\n"
            "Extract the videos with each encoder, and run: fla evaluate"
        )


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
