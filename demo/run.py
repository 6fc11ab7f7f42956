"""``fla demo``: the whole pipeline on a generated sign language, in one process.

Every stage runs the code of the other commands. Only the corpus and the language model are generated here.
"""

import logging
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.config import write_config
from ..core.device import resolve_device
from ..core.errors import DataError
from ..core.files import write_json
from ..core.run import new_folder
from ..corpora.manifest import Manifest, write_manifest
from ..encoder.store import fingerprint, load_encoder
from ..extract.extraction import extract
from ..extract.plan import Extraction
from ..finetune.train import tune
from ..pipeline.evaluate import evaluate_stage_one, evaluate_stage_two
from ..pipeline.evaluation import Evaluation, Request
from ..pipeline.translator import Translator
from ..pretrain.train import pretrain
from .baselines import baseline_figures
from .config import DemoRunConfig
from .corpus import demo_text, plan_clips, write_demo_corpus
from .small_llm import make_small_llm
from .summary import describe_figures, score_figures

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Scores of the demo, as data and as text."""

    figures: dict[str, Any]
    text: str


def describe_plan(config: DemoRunConfig, out: Path) -> str:
    """Return the plan of a run as text."""
    corpus = config.corpus
    return "\n".join(
        [
            f"{out}/corpus   {corpus.train_clips} + {corpus.dev_clips} + {corpus.test_clips} clips",
            f"{out}/stage1   {config.pretrain.training.epochs} epochs, {config.pretrain.encoder.backbone}",
            f"{out}/cache    features of every clip",
            f"{out}/llm      a small language model, {config.text_sentences} sentences",
            f"{out}/stage2   {config.tune.training.epochs} epochs, {config.tune.quantise} + LoRA",
        ]
    )


def run_demo(out: Path, *, config: DemoRunConfig, device: str = "auto", is_trial: bool = False) -> Summary:
    """Run prepare, pretrain, extract, tune, evaluate and translate below ``out``.

    Args:
        out: a new or empty folder.
        config: settings of all stages.
        device: a name for :func:`resolve_device`.
        is_trial: mark the scores as a trial's, whose sizes are too small to learn the language.

    Raises:
        RunError: ``out`` is not empty.
    """
    new_folder(out)
    # Seconds mean little without the load of the machine.
    load_at_start = os.getloadavg()
    write_config(config, out / "config.yaml")
    seconds: dict[str, float] = {}
    with _step("prepare", seconds):
        manifest = write_demo_corpus(out / "corpus", config=config.corpus, seed=config.seed)
        manifest = write_manifest(out / "manifest.jsonl", manifest)
    _train(out, manifest, config=config, device=device, seconds=seconds)
    with _step("evaluate", seconds):
        scores = _evaluate(out, device=device, seed=config.seed)
        baselines = baseline_figures(plan_clips(config.corpus, seed=config.seed))
    with _step("translate", seconds):
        example = _translate_one(out, manifest, device=device)
    figures = {
        "is_trial": is_trial,
        **score_figures(scores, manifest),
        "baselines": baselines,
        "train_clips": len(manifest.split("train")),
        "single_sign_clips": config.corpus.single_sign_clips,
        "test_clips": len(manifest.split("test")),
        "example": example,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "load_average_at_start": load_at_start,
        "peak_memory_gb": round(_peak_memory_gb(), 2),
    }
    write_json(out / "summary.json", figures)
    return Summary(figures=figures, text=describe_figures(out, figures))


def _train(
    out: Path, manifest: Manifest, *, config: DemoRunConfig, device: str, seconds: dict[str, float]
) -> None:
    with _step("pretrain", seconds):
        pretrain(manifest, config=config.pretrain, out=out / "stage1", device=device)
    with _step("extract", seconds):
        extracted = extract(
            Extraction(
                manifest=manifest,
                encoder=load_encoder(out / "stage1"),
                fingerprint=fingerprint(out / "stage1"),
                out=out / "cache",
                config=config.extract,
                device=resolve_device(device),
            )
        )
        # These videos were rendered a moment ago: a rejected one is a fault of the demo.
        if extracted.rejected:
            raise DataError(f"The demo's own videos must be readable, but: {extracted.rejected[0]}")
    with _step("llm", seconds):
        # The language model must not know the test sentences: they would score without any video.
        own = {sample.text for sample in manifest.samples}
        sentences = demo_text(
            count=config.text_sentences, seed=config.seed, exclude=own,
            paraphrases=config.corpus.paraphrases, language=config.corpus.language,
        )  # fmt: skip
        make_small_llm(sentences, out / "llm", config=config.llm, seed=config.seed, device=device)
    with _step("tune", seconds):
        tune([out / "cache"], llm=str(out / "llm"), config=config.tune, out=out / "stage2", device=device)


def _evaluate(out: Path, *, device: str, seed: int) -> dict[str, Evaluation]:
    # With shuffled features the score shows how much guessing achieves.
    plain, shuffled = Request(device=device), Request(device=device, seed=seed, shuffle_features=True)
    return {
        "stage_one": evaluate_stage_one(out / "stage1", out / "manifest.jsonl", request=plain),
        "test": evaluate_stage_two(out / "stage2", out / "cache", request=plain),
        "test_shuffled": evaluate_stage_two(out / "stage2", out / "cache", request=shuffled),
    }


def _translate_one(out: Path, manifest: Manifest, *, device: str) -> dict[str, str]:
    sample = manifest.split("test")[0]
    video = manifest.clip(sample).path
    translation = Translator(out / "stage2", ckpt=out / "stage1", device=device)(video)
    return {"video": str(video), "reference": sample.text, "translation": translation}


@contextmanager
def _step(name: str, seconds: dict[str, float]) -> Iterator[None]:
    logger.info(f"\n== {name}")
    start = time.monotonic()
    yield
    seconds[name] = time.monotonic() - start


def _peak_memory_gb() -> float:
    """Return the largest resident size of this process plus the largest child, GB."""
    # Linux counts in KiB. Children that render or load batches add to the memory that a user needs.
    kib = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return kib * 1024 / 1e9
