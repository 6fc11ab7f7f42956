"""Whole pipeline on real recordings: 24 How2Sign clips, learned by heart, with controls.

    python bench/how2sign_memory.py PATH/TO/how2sign --out runs/how2sign

Twenty-four clips cannot teach a language, so the claim is memory, on the training clips. A projector can
remember even an untrained encoder's features, so each figure stands beside two controls: the same clips at a
frame phase never seen in training, and stage two on an encoder with random weights, at both phases.
Takes about 11 minutes on two idle cores; nothing is downloaded.
"""

import argparse
import json
import os
import platform
import time
from dataclasses import replace
from pathlib import Path

import torch

from fla_llm.core.config import load_config
from fla_llm.core.device import resolve_device
from fla_llm.core.files import write_json
from fla_llm.corpora.config import PrepareConfig
from fla_llm.corpora.delimited import read_delimited
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.corpora.prepare import prepare
from fla_llm.demo.config import SmallLlmConfig
from fla_llm.demo.small_llm import make_small_llm
from fla_llm.encoder.model import VisualEncoder
from fla_llm.encoder.store import fingerprint, load_encoder, save_encoder
from fla_llm.extract.config import ExtractConfig
from fla_llm.extract.extraction import extract
from fla_llm.extract.plan import Extraction
from fla_llm.finetune.config import TuneConfig
from fla_llm.finetune.train import tune
from fla_llm.pipeline.evaluate import Request, evaluate_stage_one, evaluate_stage_two
from fla_llm.pretrain.config import PretrainConfig
from fla_llm.pretrain.train import pretrain

HERE = Path(__file__).parent
SEEN, UNSEEN = 0, 3
"""Frame phases: of every four frames, stage one's settings draw from the first three in training."""
DEVICE = "cpu"
TRAIN = Request(split="train", device=DEVICE)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "source", type=Path, help="How2Sign's folder, with the mini annotations and their clips"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/how2sign"))
    arguments = parser.parse_args()
    start, load = time.monotonic(), os.getloadavg()
    manifest = prepare_corpus(arguments.source, arguments.out)
    figures = {
        "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
        "load_average_at_start": load,
        "clips": len(manifest.split("train")),
        "stage_one": train_encoder(manifest, arguments.out),
    }
    llm = make_llm(arguments.source, arguments.out)
    for name, encoder in (("trained", arguments.out / "stage1"), ("untrained", untrained(arguments.out))):
        figures[f"stage_two_on_{name}_encoder"] = tune_on(encoder, name, manifest, llm, arguments.out)
    figures["minutes"] = (time.monotonic() - start) / 60
    write_json(arguments.out / "figures.json", figures)
    print(json.dumps(figures, indent=2))


def prepare_corpus(source: Path, out: Path) -> Manifest:
    """Read the mini annotations. The folder may hold the official annotations without clips."""
    config = PrepareConfig(annotations="how2sign_realigned_mini_{split}.csv")
    manifest = prepare("how2sign", source, config=config).manifest
    write_manifest(out / "manifest.jsonl", manifest)
    return manifest


def train_encoder(manifest: Manifest, out: Path) -> dict[str, float]:
    """Train stage one, and return the scores of the light translator."""
    config = load_config(PretrainConfig, source=str(HERE / "how2sign_memory.yaml"))
    pretrain(manifest, config=config, out=out / "stage1", device=DEVICE)
    path = out / "manifest.jsonl"
    return {
        f"phase_{phase}": evaluate_stage_one(
            out / "stage1", path, request=replace(TRAIN, phase=phase)
        ).scores.bleu4
        for phase in (SEEN, UNSEEN)
    }


def untrained(out: Path) -> Path:
    """Save an encoder of the same shape with random weights."""
    folder = out / "untrained"
    torch.manual_seed(0)
    save_encoder(VisualEncoder(load_encoder(out / "stage1").config), folder / "encoder")
    return folder


def make_llm(source: Path, out: Path) -> Path:
    """Make a small language model from the official val sentences, none of which is in the train split."""
    table = read_delimited(source / "how2sign_realigned_val.csv", delimiter="\t", required=["SENTENCE"])
    sentences = [row["SENTENCE"] for row in table]
    return make_small_llm(
        sentences, out / "llm", config=SmallLlmConfig(kind="seq2seq", layers=3), device=DEVICE
    )


def tune_on(encoder: Path, name: str, manifest: Manifest, llm: Path, out: Path) -> dict[str, float]:
    """Extract at both phases, tune on the seen phase, and score both phases and shuffled features."""
    for phase in (SEEN, UNSEEN):
        extract(
            Extraction(
                manifest=manifest,
                encoder=load_encoder(encoder),
                fingerprint=fingerprint(encoder),
                out=out / f"cache-{name}-{phase}",
                splits=("train",),
                config=ExtractConfig(phase=phase),
                device=resolve_device(DEVICE),
            )
        )
    config = load_config(TuneConfig, source=str(HERE / "how2sign_memory_tune.yaml"))
    run, cache = out / f"stage2-{name}", out / f"cache-{name}-{SEEN}"
    tune([cache], llm=str(llm), config=config, out=run, device=DEVICE)
    shuffled = replace(TRAIN, shuffle_features=True)
    return {
        f"phase_{SEEN}": evaluate_stage_two(run, cache, request=TRAIN).scores.bleu4,
        f"phase_{SEEN}_shuffled": evaluate_stage_two(run, cache, request=shuffled).scores.bleu4,
        f"phase_{UNSEEN}": evaluate_stage_two(
            run, out / f"cache-{name}-{UNSEEN}", request=TRAIN
        ).scores.bleu4,
    }


if __name__ == "__main__":
    main()
