"""Translation of one uploaded video for a page: bounded, with all that the page shows."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ..core.errors import DataError, FlaError
from ..finetune.run_files import check_parts
from ..pipeline.sharing import find_model
from ..pipeline.translator import Translator
from ..video import Clip, read_timeline
from .attention import MOST_STEPS, AttentionMap, attention_map
from .page import render
from .pictures import evenly_spaced, frame_uri

FRAMES = 8
"""Frames that are shown of a video."""
BYTES_PER_MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of an uploaded video."""

    megabytes: int = 200
    """Largest size of the file, in units of 10**6 bytes."""
    seconds: float = 60.0
    """Largest duration."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Translation of a video, with all that the page shows."""

    candidates: list[dict[str, Any]]
    """Sentences, best first, as ``{"text", "score"}``."""
    frames: list[str]
    """Data URIs of frames as the encoder sees them. Empty for key points."""
    steps: int
    """Features of the clip."""
    attention: AttentionMap | None
    """None: the clip is too long, or the model gives no attention."""
    latency_seconds: Mapping[str, float]
    """Part of the work -> seconds."""

    @property
    def text(self) -> str:
        """The best sentence."""
        return self.candidates[0]["text"]


@dataclass(kw_only=True)
class LiveTranslator:
    """Model folders for a page. One is loaded at a time."""

    models: Mapping[str, Path]
    """Name on the page -> folder of ``fla export``, or run that names its encoder. At least one."""
    limits: Limits = field(default_factory=Limits)
    candidates: int = 3
    """Sentences per video, at most the beams of the model's search."""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Keyword arguments of :class:`.Translator`: ``ckpt``, ``llm``, ``language``, ``device``."""
    _lock: Lock = field(default_factory=Lock)
    _loaded: tuple[str, Translator] | None = None

    def load(self, name: str) -> Translator:
        """Return the translator of a model. The model before is dropped first: two may not fit in memory.

        Raises:
            DataError: ``name`` is none of the models.
            FlaError: as :class:`.Translator`.
        """
        if self._loaded is None or self._loaded[0] != name:
            # Names come from requests: a name is looked up, and never part of a path.
            if name not in self.models:
                raise DataError(f"The model must be one of {', '.join(self.models)}, but is {name!r}.")
            self._loaded = None
            self._loaded = (name, Translator(self.models[name], **self.settings))
        return self._loaded[1]

    def translate(self, video: Path, *, model: str) -> Answer:
        """Translate a video file.

        Raises:
            DataError: the file is too large or too long, or cannot be read.
            FlaError: as :meth:`load`.
        """
        with self._lock:
            translator = self.load(model)
            self._check(video)
            began = time.perf_counter()
            frames = translator.frames(video)
            read = time.perf_counter()
            [features] = translator.encode([frames])
            encoded = time.perf_counter()
            count = self.candidates if translator.decoding.temperature else translator.decoding.num_beams
            found = translator.candidates(features, count=min(self.candidates, count), name="The video")
            latency = {
                "reading": read - began,
                "encoder": encoded - read,
                "language model": time.perf_counter() - encoded,
            }
            return Answer(
                candidates=found, frames=_shown(frames, translator), steps=len(features),
                attention=_attention(translator, features, found[0]["text"]), latency_seconds=latency,
            )  # fmt: skip

    def page(self, video: Path | None, *, model: str) -> str:
        """Return the answer for a video as HTML, or a sentence about the fault. Every text is escaped."""
        if video is None:
            return render({"fault": "Drop a video, or record one."}, template="answer.html")
        try:
            answer = self.translate(video, model=model)
        except FlaError as error:
            # The path is that of a temporary file, which says nothing to the person who chose the file.
            fault = str(error).replace(str(video), "The video")
            return render({"fault": fault}, template="answer.html")
        return render({"fault": None, "answer": answer}, template="answer.html")

    def _check(self, video: Path) -> None:
        size, limits = video.stat().st_size, self.limits
        if size > limits.megabytes * BYTES_PER_MEGABYTE:
            raise DataError(
                f"The video must have at most {limits.megabytes} MB, but has {size / BYTES_PER_MEGABYTE:.1f}."
            )
        # For an encoder of key points too: the detector would take minutes for a long video.
        timeline = read_timeline(Clip(path=video))
        length = timeline.end_seconds - timeline.times[0] if timeline.times is not None else 0.0
        if length > limits.seconds:
            raise DataError(
                f"The video must take at most {limits.seconds:g} s, but takes {length:.1f} s.\n"
                "Translate long videos by: fla translate --segment pauses"
            )


def find_models(given: list[str]) -> dict[str, Path]:
    """Return the model folders that are given by their names, which are made distinct.

    Args:
        given: model folders, folders of model folders, or names on the hub.

    Raises:
        RunError: a folder is no model folder and holds none.
        ModelError: as :func:`.sharing.find_model`.
    """
    found: list[Path] = []
    for path in map(find_model, given):
        inner = sorted(file.parent for file in path.glob("*/run.json"))
        if (path / "run.json").is_file() or not inner:
            # The check names the missing files.
            check_parts(path)
            found.append(path)
        else:
            found += inner
    names = [path.resolve().name for path in found]
    return {
        name if names.count(name) == 1 else f"{name} ({number + 1})": path
        for number, (name, path) in enumerate(zip(names, found, strict=True))
    }


def _shown(frames: np.ndarray, translator: Translator) -> list[str]:
    config = translator.encoder.config
    if config.medium != "video":
        return []
    # The encoder takes the centre of a frame.
    margin = (config.resize_size - config.image_size) // 2
    centre = slice(margin, margin + config.image_size)
    chosen = evenly_spaced(FRAMES, of=len(frames))
    return [frame_uri(np.ascontiguousarray(frame[centre, centre])) for frame in frames[chosen]]


def _attention(translator: Translator, features: np.ndarray, text: str) -> AttentionMap | None:
    if len(features) > MOST_STEPS:
        return None
    try:
        weights = translator.attention(features, text)
    # The translation is worth showing without a picture of the attention.
    except FlaError:
        return None
    codec = translator.model.codec
    return attention_map(weights, codec.target_ids(text), codec.decode, language=translator.language)
