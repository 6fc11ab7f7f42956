"""Demo corpus: a constructed sign language rendered as video, small enough to learn on a laptop.

    OUT/annotations.jsonl         one row per clip: id, split, video, text, signer
    OUT/videos/<split>/<n>.mp4    H.264

The corpus has properties of recorded corpora: signs have a few parameters (:mod:`.sign_forms`) and run into
one another (:mod:`.signs`), signers differ (:mod:`.signers`), and the test split has new signers. There are
two languages (:mod:`.language`). The seed determines everything.
"""

import os
import random
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np

from ..core.errors import ConfigError
from ..core.files import atomic_write, write_jsonl
from ..core.progress import progress
from ..core.sample import Sample, Split
from ..core.seeds import derive_seed
from ..corpora.manifest import Manifest
from .figure import draw_clip
from .language import LANGUAGES, LanguageName, SignedSentence
from .signers import SIGNERS, Signer, jitter
from .signs import BodyPose, sentence_poses
from .splits import SentenceDrawing

Utterance = tuple[tuple[str, ...], tuple[str, ...]]
"""Wordings, and signs in signing order."""
CORPUS = "demo"
LANGUAGE = "en"
ANNOTATIONS = "annotations.jsonl"
ENCODING = {"crf": "16", "preset": "veryfast", "g": "12", "x264-params": "mbtree=0"}
"""Options of x264. Macroblock-tree is off: on small pictures the bytes would differ from run to run."""


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Language and size of the demo corpus, and size of the pictures."""

    language: LanguageName = "order"
    """``order``: the order of signs carries the meaning. ``roles``: each word has one role, so that signs in
    any order tell the sentence."""
    train_clips: int = 4200
    """Number of training clips, including clips of a single sign."""
    single_sign_clips: int = 1200
    """Number of training clips with a single sign. All signs are equally frequent."""
    dev_clips: int = 80
    """Number of dev clips, each a sentence of four words or more."""
    test_clips: int = 160
    """Number of test clips, each a sentence of four words or more."""
    image_size: int = 32
    """Side of the square picture in pixels, an even number."""
    fps: float = 12.5
    """Frames per second."""
    paraphrases: bool = False
    """Draw the sentence of each clip from all wordings of its meaning. The other wordings of dev and test are
    further references. Clips of a single sign have one wording."""

    def __post_init__(self) -> None:
        if self.single_sign_clips > self.train_clips:
            raise ConfigError(
                f"single_sign_clips must not exceed train_clips ({self.train_clips}), "
                f"but is {self.single_sign_clips}."
            )
        # yuv420p halves the resolution of colours, so odd sides are impossible.
        if self.image_size < 16 or self.image_size % 2:
            raise ConfigError(f"image_size must be an even number from 16 on, but is {self.image_size}.")


@dataclass(frozen=True, kw_only=True)
class ClipPlan:
    """Plan of a clip."""

    id: str
    split: Split
    text: str
    signs: tuple[str, ...]
    signer: int
    seed: int
    language: LanguageName
    references: tuple[str, ...] = ()
    """Other wordings of a dev or test clip."""

    @property
    def video(self) -> str:
        """Path below the folder of the corpus."""
        return f"videos/{self.split}/{self.id.rpartition('-')[2]}.mp4"


def write_demo_corpus(out: Path, *, config: DemoConfig, seed: int, workers: int | None = None) -> Manifest:
    """Render the demo corpus into ``out`` and return the manifest.

    Args:
        out: folder to fill. Clips of an earlier rendering are replaced.
        config: sizes.
        seed: equal seeds give equal annotations and equal decoded frames.
        workers: number of processes that render. None: one per core. 1: only this process.
    """
    plans = plan_clips(config, seed=seed)
    for split in ("train", "dev", "test"):
        (out / "videos" / split).mkdir(parents=True, exist_ok=True)
    frames = progress(
        _render_all(plans, out, config, workers=workers or os.cpu_count() or 1),
        desc="Rendering the demo corpus", total=len(plans), unit="clip",
    )  # fmt: skip
    samples = tuple(
        _sample(plan, num_frames, fps=config.fps) for plan, num_frames in zip(plans, frames, strict=True)
    )
    # Written last: annotations stand only beside complete videos.
    write_jsonl(out / ANNOTATIONS, map(_row, plans))
    return Manifest(corpus=CORPUS, root=out, samples=samples)


def demo_text(
    *,
    count: int,
    seed: int,
    exclude: Collection[str],
    paraphrases: bool = False,
    language: LanguageName = "order",
) -> list[str]:
    """Return ``count`` distinct sentences of the demo language without a wording in ``exclude``.

    Args:
        count: number of sentences, each of another meaning.
        seed: seed of the sentences.
        exclude: sentences of the corpus.
        paraphrases: draw one of the wordings of each meaning.
        language: the demo language.
    """
    excluded = frozenset(exclude)
    sentences = LANGUAGES[language].draw_sentences(random.Random(derive_seed(seed, "text")))
    new = (sentence for sentence in sentences if excluded.isdisjoint(sentence.wordings))
    wordings = random.Random(derive_seed(seed, "text wordings"))
    drawn = (wordings.choice(one.wordings) if paraphrases else one.text for one in new)
    return list(islice(drawn, count))


def plan_clips(config: DemoConfig, *, seed: int) -> list[ClipPlan]:
    """Return the clips of all splits. No sentence is in two splits."""
    drawing = SentenceDrawing(LANGUAGES[config.language], seed=seed)
    held_out = drawing.held_out()
    dev, test = list(islice(held_out, config.dev_clips)), list(islice(held_out, config.test_clips))
    single = islice(_single_signs(config.language), config.single_sign_clips)
    train = islice(drawing.train(), config.train_clips - config.single_sign_clips)
    return [
        *_plan_split("dev", _utterances(dev, config), config=config, seed=seed),
        *_plan_split("test", _utterances(test, config), config=config, seed=seed),
        *_plan_split("train", chain(single, _utterances(train, config)), config=config, seed=seed),
    ]


def _utterances(sentences: Iterable[SignedSentence], config: DemoConfig) -> Iterator[Utterance]:
    for sentence in sentences:
        yield (*sentence.wordings,) if config.paraphrases else (sentence.text,), sentence.signs


def _single_signs(language: LanguageName) -> Iterator[Utterance]:
    """Yield one-sign utterances in an endless cycle over all signs."""
    texts = LANGUAGES[language].single_sign_texts()
    while True:
        yield from (((text,), (sign,)) for sign, text in texts.items())


def _plan_split(
    split: Split, utterances: Iterable[Utterance], *, config: DemoConfig, seed: int
) -> Iterator[ClipPlan]:
    language = LANGUAGES[config.language]
    known = language.signers - language.new_signers
    for index, (wordings, signs) in enumerate(utterances):
        # A seed per clip: the order of rendering, in any number of processes, changes nothing.
        clip_seed = derive_seed(seed, split, index)
        # New signers show how well a model does with unknown people.
        is_new = split == "test" and index % language.new_signer_every == 0
        said = derive_seed(clip_seed, "wording") % len(wordings)
        yield ClipPlan(
            id=f"{split}-{index:04d}", split=split, text=wordings[said], signs=signs,
            signer=known + clip_seed % language.new_signers if is_new else clip_seed % known,
            seed=clip_seed, language=config.language,
            # A training clip has one target.
            references=() if split == "train" else wordings[:said] + wordings[said + 1 :],
        )  # fmt: skip


def _render_all(plans: list[ClipPlan], out: Path, config: DemoConfig, *, workers: int) -> Iterator[int]:
    """Render every clip, and yield the numbers of frames in order."""
    arguments = (plans, [out] * len(plans), [config] * len(plans))
    if workers == 1:
        yield from map(_render, *arguments)
        return
    # Spawned, not forked: a fork copies no threads of the caller, but copies their locks.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_render, *arguments, chunksize=8)


def clip_poses(plan: ClipPlan) -> tuple[Signer, list[BodyPose]]:
    """Return the signer of a clip with the looks of the day, and the true pose of both hands per frame."""
    rng, language = random.Random(plan.seed), LANGUAGES[plan.language]
    signer = jitter(SIGNERS[plan.signer], rng, manner=language.manner)
    poses = sentence_poses(
        plan.signs, tempo=signer.tempo, rng=rng, forms=language.forms, manner=language.manner
    )
    return signer, poses


def _render(plan: ClipPlan, out: Path, config: DemoConfig) -> int:
    """Draw a clip, write the video, and return the number of frames."""
    signer, poses = clip_poses(plan)
    _write_video(out / plan.video, draw_clip(signer, poses, size=config.image_size), fps=config.fps)
    return len(poses)


def _write_video(path: Path, frames: np.ndarray, *, fps: float) -> None:
    """Write uint8 frames (T, H, W, 3) as H.264 in MP4."""
    _, height, width, _ = frames.shape
    with atomic_write(path) as temporary, av.open(temporary, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options=ENCODING)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = (
            1  # the processes share the cores, and threads would change the bytes
        )
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def _sample(plan: ClipPlan, num_frames: int, *, fps: float) -> Sample:
    return Sample(
        id=plan.id, split=plan.split, video=plan.video, text=plan.text, language=LANGUAGE,
        num_frames=num_frames, fps=fps, signer=SIGNERS[plan.signer].name, references=plan.references,
    )  # fmt: skip


def _row(plan: ClipPlan) -> dict[str, str]:
    return {
        "id": plan.id, "split": plan.split, "video": plan.video, "text": plan.text,
        "signer": SIGNERS[plan.signer].name,
    }  # fmt: skip
