"""Translation of videos with the encoder of stage one and the language model of stage two."""

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
    """Sentence of a video, or the fault of the video."""

    video: Path
    text: str = ""
    """Sentence. Empty if there is a fault."""
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
    """Translate videos without a manifest.

    The result has one entry per video, in the given order. A fault in a video does not stop the other videos.

    Args:
        videos: video files, folders of frames, or folders with several clips.
        run: a stage-two run.
        ckpt: stage-one run or encoder directory that made the features of the run.
        llm: present path of the language model, if the model was moved.
        language: language of the sentences. None: the language of the tuning.
        decoding: changes to the search of the run.
        device: a name for :func:`resolve_device`.

    Raises:
        CacheError: ``ckpt`` is not the encoder of the run's features, or cannot follow their recipe.
        RunError: the run was tuned on several streams.
        ConfigError: the run was tuned on several languages, and ``language`` is None.
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
        # A video may have more steps than the language model has positions.
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
    """Yield the number and the features (T, F), float16, of each readable video in order.

    Args:
        encoder: the frozen encoder.
        videos: video files or folders of frames.
        recipe: choice of frames, and settings of the encoder.
        device: device of the computation.
        faults: number of a video -> fault. These videos are skipped, and new faults are added.
    """
    begin = 0

    def first_open() -> int:
        """Return the number of the next video without a fault."""
        # Not counted while reading: the reader runs ahead of the encoder.
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
        except DataError as error:  # float16 cannot hold the features: the next videos are encoded again
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
        # The fault is reported with the results. The encoder goes on with the next video.
        except DataError as error:
            faults[number] = str(error)
            continue
        yield videos[number], frames


def _inputs(given: Sequence[Path]) -> tuple[list[Path], dict[int, str]]:
    """Return all clips in the given paths, and the faults of folders without clips."""
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
    # Errors of decoding name the file already, others only the clip.
    return fault if fault is None or str(path) in fault else f"{path}: {fault}"


def _check_one_stream(run: Path, model: StageTwoModel) -> None:
    # --ckpt names one encoder, which gives the features of one stream.
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
