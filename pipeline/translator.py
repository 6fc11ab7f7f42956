"""Translator that stays loaded: encoder of stage one, and a run of stage two with either decoder."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from ..core.config import load_config
from ..core.device import resolve_device
from ..core.errors import ConfigError, DataError, RunError
from ..core.files import read_json
from ..core.sample import DEFAULT_TASK, Task
from ..diffusion.model import DiffusionModel
from ..encoder.encode import encode
from ..encoder.mapper import apply_mapper
from ..finetune.mapped_streams import load_mappers
from ..finetune.run_files import RUN, check_fingerprint
from ..finetune.streams import StreamRecord
from ..video import Clip, select_from_arrays
from .cache_models import CacheModel, batch_of, load_cache_model
from .clip_files import ClipReader
from .evaluation import Decoding
from .feature_recipe import recipe_of
from .sharing import find_model
from .stream_encoder import encoder_of

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    Video = str | Path | np.ndarray | Sequence[np.ndarray | VideoFrame]

_WORDS: dict[Task, str] = {
    "translate": "translate", "recognise": "recognise glosses", "isolated": "name single signs",
}  # fmt: skip
BATCH_CLIPS = 8
"""Clips that are translated at a time. A row of a batch has the sentence that it has alone."""


class Translator:
    """Translate videos, or frames in memory, with a model that is loaded once.

    >>> translator = Translator.from_pretrained("models/phoenix")  # doctest: +SKIP
    >>> translator("clip.mp4")  # doctest: +SKIP
    'am tag wechseln sonne und wolken'
    """

    def __init__(
        self,
        run: Path | str,
        *,
        ckpt: Path | str | None = None,
        llm: str | None = None,
        language: str | None = None,
        task: Task = DEFAULT_TASK,
        decoding: Decoding = (None, ()),
        device: str = "auto",
    ) -> None:
        """Load encoder and model.

        Args:
            run: a stage-two run, or an export.
            ckpt: stage-one run or encoder directory that made the features of the run. None: the encoder lies
                in ``run``, as ``fla export --ckpt`` puts it there, or the features are key points without
                training.
            llm: present path of the language model, if the model was moved.
            language: language of the sentences. None: the language of the tuning.
            task: what to write of each video: a sentence, glosses, or the word of a single sign.
            decoding: changes to the search of the run.
            device: a name for :func:`.resolve_device`.

        Raises:
            CacheError: ``ckpt`` is not the encoder of the run's features, or cannot follow their recipe.
            ConfigError: the run was tuned on several languages, and ``language`` is None, or was tuned
                without ``task``.
            ModelError: the encoder or the language model is missing or damaged.
            RunError: ``run`` is no run of ``fla tune``, or was tuned on several streams.
        """
        run = Path(run)
        self.device = resolve_device(device)
        _check_task(run, task)
        self.task: Task = task
        self.model = load_cache_model(run, device=self.device, llm=llm)
        _check_one_stream(run, self.model)
        stream = self.model.streams[0]
        encoder, fingerprint = encoder_of(run, None if ckpt is None else Path(ckpt), stream)
        check_fingerprint(fingerprint, tuned_on=stream.encoder_fingerprint)
        self.mappers = load_mappers(run, self.model.streams, device=self.device)
        self.encoder = encoder
        self.recipe = recipe_of(run, stream, encoder=self.encoder, device=self.device)
        self.language = language or _only_language(run)
        source, overrides = decoding
        own: Any = self.model.config.decoding
        # A diffusion run has further settings, those of its sampler.
        self.decoding = load_config(type(own), base=own, source=source, overrides=overrides)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        llm: str | None = None,
        language: str | None = None,
        task: Task = DEFAULT_TASK,
        device: str = "auto",
    ) -> Self:
        """Load a model folder, as ``fla export`` writes it, or a model on the hub by its name.

        Args:
            folder: a folder, or ``user/name`` or ``user/name@revision`` on the hub.
            llm: as the class.
            language: as the class.
            task: as the class.
            device: as the class.

        Raises:
            ModelError: as :func:`.sharing.find_model`.
            FlaError: as the class.
        """
        return cls(find_model(str(folder)), llm=llm, language=language, task=task, device=device)

    def __call__(self, video: "Video", *, fps: float | None = None) -> str:
        """Return the sentence of one video.

        Args:
            video: a video file, a folder of pictures, for an encoder of poses a pose file; or an array of
                frames (N, H, W, 3), uint8, RGB, or a sequence of such frames or of PyAV frames.
            fps: frames per second of frames in memory. Needed where the features have a target frame rate.

        Raises:
            DataError: the video cannot be read, or is too long for the language model.
        """
        return self.translate([video], fps=fps)[0]

    def translate(self, videos: "Sequence[Video]", *, fps: float | None = None) -> list[str]:
        """Return the sentences of several videos, in order. See :meth:`__call__`."""
        texts: list[str] = []
        for start in range(0, len(videos), BATCH_CLIPS):
            some = videos[start : start + BATCH_CLIPS]
            # Frames in memory have no name: errors name the place in the list.
            names = [str(v) if isinstance(v, str | Path) else f"clip {start + n}" for n, v in enumerate(some)]
            texts += self.sentences(self.features(some, fps=fps), names=names)
        return texts

    def features(self, videos: "Sequence[Video]", *, fps: float | None = None) -> list[np.ndarray]:
        """Return the features (T, F), float16, of several videos, as ``fla extract`` computes them."""
        # A generator, so that the frames of all clips are never in memory at once.
        return self.encode(self.frames(video, fps=fps) for video in videos)

    def encode(self, clips: Iterable[np.ndarray]) -> list[np.ndarray]:
        """Return the features (T, F), float16, of the frames of clips, as :meth:`frames` returns them."""
        recipe = self.recipe
        encoded = encode(
            self.encoder, enumerate(clips), frame_batch=recipe.frame_batch, level=recipe.level,
            device=self.device, dtype=recipe.dtype,
        )  # fmt: skip
        return [features for _, features in encoded]

    def sentences(self, features: Sequence[np.ndarray], *, names: Sequence[str]) -> list[str]:
        """Return the sentences of features (T, F), one per clip.

        Args:
            features: features of each clip.
            names: name of each clip, for errors.

        Raises:
            DataError: a clip has more steps than the language model has positions.
        """
        return self.model.translate(self.batch(features, names=names), self.decoding)

    def candidates(self, features: np.ndarray, *, count: int, name: str = "the clip") -> list[dict[str, Any]]:
        """Return the best sentences of a clip, best first, as ``{"text", "score"}``.

        Args:
            features: features (T, F) of the clip.
            count: number of sentences, at most the beams of the search, if tokens are not drawn.
            name: name of the clip, for errors.

        Raises:
            ConfigError: ``count`` is above ``num_beams``.
            DataError: the clip has more steps than the language model has positions.
        """
        [found] = self.model.translate_n_best(
            self.batch([features], names=[name]), self.decoding, count=count
        )
        return found

    def attention(self, features: np.ndarray, text: str) -> torch.Tensor:
        """Return the attention (L, S) of each token of a sentence, and of its end, on the steps of a clip.

        Raises:
            DataError: the clip has more steps than the language model has positions.
            RunError: the run draws sentences by diffusion, whose attention is not on tokens.
        """
        if isinstance(self.model, DiffusionModel):
            raise RunError("A run of --decoder diffusion has no attention of tokens on the clip.")
        [weights] = self.model.feature_attention(self.batch([features], names=["the clip"], texts=[text]))
        return weights

    def batch(
        self, features: Sequence[np.ndarray], *, names: Sequence[str], texts: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Return a batch of clips for the model, on its device.

        Args:
            features: features (T, F) of each clip.
            names: name of each clip, for errors.
            texts: sentences as labels. Empty: the clips have no sentences.

        Raises:
            DataError: a clip has more steps than the language model has positions.
        """
        streams = [self._streams_of(each) for each in features]
        return batch_of(self.model, streams, language=self.language, task=self.task, names=names, texts=texts)

    @torch.no_grad()
    def _streams_of(self, features: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the features of every stream, from the features of the encoder."""
        return tuple(
            features if mapper is None else apply_mapper(mapper, features) for mapper in self.mappers
        )

    def frames(self, video: "Video", *, fps: float | None = None) -> np.ndarray:
        """Return the selected frames of one video as squares (T, S, S, 3), uint8, or key points (T, 69, 3).

        Raises:
            DataError: the video cannot be read.
        """
        recipe, config = self.recipe, self.encoder.config
        if isinstance(video, str | Path):
            return ClipReader(config, recipe)(Clip(path=Path(video)))
        if config.medium == "poses":
            raise DataError("An encoder of poses must be given pose files, but is given frames in memory.")
        return select_from_arrays(
            video, sampling=recipe.sampling, fps=fps, phase=recipe.phase, size=config.resize_size,
            fit=config.fit,
        )  # fmt: skip


def _check_one_stream(run: Path, model: CacheModel) -> None:
    # --ckpt names one encoder, which gives the features of one stream and, by mappers, of others.
    encoders = list(dict.fromkeys(stream.encoder_fingerprint for stream in model.streams))
    if len(encoders) > 1:
        raise RunError(
            f"{run} must be tuned on one stream of features to translate videos, but was tuned on "
            f"{len(encoders)} encoders: --ckpt gives the features of one.\n"
            "Extract the videos with each encoder, and run: fla evaluate"
        )
    # Without this check the features of one level would be given to both projectors.
    levels = sorted(
        {level for stream in model.streams if stream.mapped_from is None for level in stream.levels}
    )
    if len(levels) > 1:
        raise RunError(
            f"{run} must be tuned on one level of features to translate videos, but was tuned on "
            f"{' and '.join(levels)}.\nExtract the videos at each level, and run: fla evaluate"
        )
    # A mapper reads the steps of its own cache: other frames would shift one stream against the other.
    recipes = {str(_frames_of(stream)) for stream in model.streams}
    if len(recipes) > 1:
        raise RunError(
            f"{run} must be tuned on streams of the same frames to translate videos, but was tuned on "
            f"{' and '.join(sorted(recipes))}.\nMap the cache that is the other stream: fla map --from"
        )


def _frames_of(stream: StreamRecord) -> dict[str, object]:
    seen = stream.made_by[0]["preprocessing"] if stream.made_by else {}
    return {name: seen.get(name) for name in ("sampling", "phase")}


def _check_task(run: Path, task: Task) -> None:
    # Runs from before there were tasks translate.
    tuned: list[str] = read_json(run / RUN).get("tasks", [DEFAULT_TASK]) if (run / RUN).is_file() else [task]
    if task not in tuned:
        raise ConfigError(f"{run} was tuned on {' and '.join(tuned)} alone, but is asked to {_WORDS[task]}.")


def _only_language(run: Path) -> str:
    languages: list[str] = read_json(run / RUN)["languages"]
    if len(languages) != 1:
        raise ConfigError(f"{run} was tuned on {', '.join(languages)}.\nSay which one with --language.")
    return languages[0]
