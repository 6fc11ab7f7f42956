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
from ..finetune.collate import collate
from ..finetune.model import StageTwoModel
from ..finetune.positions import SOURCE, check_positions, source_positions
from ..finetune.run_files import RUN
from ..finetune.store import check_features, load_stage_two
from ..training.config import DecodingConfig
from ..video import Clip, list_clips, read_frames
from .evaluation import Decoding
from .feature_recipe import FeatureRecipe, recipe_of


@dataclass(frozen=True, kw_only=True)
class Translation:
    """Sentence of one video, or why there is none."""

    video: Path
    text: str = ""
    """The sentence; empty where there is a fault."""
    fault: str | None = None


def translate(
    videos: Sequence[Path],
    *,
    run: Path,
    ckpt: Path,
    llm: str | None = None,
    language: str | None = None,
    decoding: Decoding = (None, ()),
    device: str = "auto",
) -> list[Translation]:
    """Translate videos that stand in no manifest.

    Each video gives one result, in the order given: a fault in a video stops no other.

    Args:
        videos: video files, folders of frames, or folders of both, which stand for all clips in them.
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
    torch_device = resolve_device(device)
    encoder = load_encoder(ckpt).to(torch_device)
    model = load_stage_two(run, device=torch_device, llm=llm)
    _check_one_stream(run, model)
    check_features(model, fingerprint(ckpt))
    recipe = recipe_of(run, model.streams[0], encoder=encoder, device=torch_device)
    spoken = language or _only_language(run)
    search = load_config(
        DecodingConfig, base=model.config.decoding, source=decoding[0], overrides=decoding[1]
    )
    paths, faults = _inputs(videos)
    sentences: dict[int, str] = {}
    found = encode_videos(encoder, paths, recipe=recipe, device=torch_device, faults=faults)
    for number, features in progress(found, desc="translating", total=len(paths), unit="videos"):
        try:
            sentences[number] = _sentence(
                model, features, video=paths[number], language=spoken, decoding=search
            )
        except DataError as error:
            faults[number] = str(error)
    return [
        Translation(video=path, text=sentences.get(number, ""), fault=_named(path, faults.get(number)))
        for number, path in enumerate(paths)
    ]


def encode_videos(
    encoder: VisualEncoder,
    videos: Sequence[Path],
    *,
    recipe: FeatureRecipe,
    device: torch.device,
    faults: dict[int, str],
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number of each readable video with its features (T, F), float16, in order.

    Args:
        encoder: the frozen encoder.
        videos: video files or folders of frames.
        recipe: how frames are chosen and encoded.
        device: where to compute.
        faults: number of a video -> why it has no features. These videos are passed over, and others added.
    """
    begin = 0

    def first_open() -> int:
        """Return the number of the video that comes next: the reader runs ahead of the encoder."""
        return next(number for number in range(begin, len(videos)) if number not in faults)

    while begin < len(videos):
        clips = _readable(encoder, videos, recipe, faults, begin=begin)
        encoded = encode(
            encoder, clips, frame_batch=recipe.frame_batch, level=recipe.level, device=device,
            dtype=recipe.dtype,
        )  # fmt: skip
        try:
            for _, features in encoded:
                number = first_open()
                yield number, features
                begin = number + 1
            return
        except DataError as error:  # features that float16 cannot hold: the videos behind are encoded again
            number = first_open()
            faults[number] = str(error)
            begin = number + 1


def _readable(
    encoder: VisualEncoder,
    videos: Sequence[Path],
    recipe: FeatureRecipe,
    faults: dict[int, str],
    *,
    begin: int,
) -> Iterator[tuple[Path, np.ndarray]]:
    config = encoder.config
    for number in range(begin, len(videos)):
        if number in faults:
            continue
        try:
            frames = read_frames(
                Clip(path=videos[number]),
                sampling=recipe.sampling,
                phase=recipe.phase,
                size=config.resize_size,
                fit=config.fit,
                keep_partial=recipe.keep_partial,
            )
        except DataError as error:
            faults[number] = str(error)
            continue
        yield videos[number], frames


def _inputs(given: Sequence[Path]) -> tuple[list[Path], dict[int, str]]:
    """Return all clips that are meant; a folder without any stands for itself, with its fault."""
    paths: list[Path] = []
    faults: dict[int, str] = {}
    for path in given:
        try:
            paths += list_clips(path)
        except DataError as error:
            faults[len(paths)] = str(error)
            paths.append(path)
    return paths, faults


def _named(path: Path, fault: str | None) -> str | None:
    return fault if fault is None or str(path) in fault else f"{path}: {fault}"


def _check_one_stream(run: Path, model: StageTwoModel) -> None:
    if len(model.streams) > 1:
        raise RunError(
            f"{run} must be tuned on one stream of features to translate videos, but was tuned on "
            f"{len(model.streams)}: --ckpt gives those of one encoder.\n"
            "Extract the videos with each encoder, and run: fla evaluate"
        )


@torch.no_grad()
def _sentence(
    model: StageTwoModel, features: np.ndarray, *, video: Path, language: str, decoding: DecodingConfig
) -> str:
    steps = len(features)
    needed = source_positions(model, [[steps]], languages=[language])
    check_positions(model, needed, ids=[str(video)], steps=[steps], what=SOURCE)
    batch = collate([{"id": "", "features": features, "text": "", "language": language}], codec=model.codec)
    device = model.llm.device
    return model.translate({name: value.to(device) for name, value in batch.items()}, decoding)[0]


def _only_language(run: Path) -> str:
    languages: list[str] = read_json(run / RUN)["languages"]
    if len(languages) != 1:
        raise ConfigError(f"{run} was tuned on {', '.join(languages)}.\nSay which one with --language.")
    return languages[0]
