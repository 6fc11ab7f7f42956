"""The experiments of the paper (tables 4, 5, 6, 8, 9 and Fig. 2) on a small set, with several seeds.

    python bench/experiments/run.py MANIFEST --out runs/experiments [--only factorized joint] [--seeds 0 1 2]

MANIFEST is written by ``fla prepare``. Variants are in variants.yaml and sizes in settings.yaml, where the
file of --settings (demo.yaml, letters.yaml) replaces single values. Each variant of each seed is a file in
DIR/records, and a finished file is not computed again. The table and the figures are DIR/table.md,
DIR/scores.svg and DIR/norms.svg.
"""

import argparse
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from end_to_end import EndToEnd
from experiment_clips import FeatureClips, batches_of, collate_frames, evaluation_of
from experiment_report import write_report
from experiment_setup import Experiment, fewer_people

from fla_llm.core.config import first_difference, merge_settings, read_settings_file
from fla_llm.core.errors import RunError
from fla_llm.core.files import read_json, write_json
from fla_llm.corpora.manifest import Manifest, read_manifest
from fla_llm.finetune.collate import collate as collate_features
from fla_llm.finetune.model import StageTwoModel
from fla_llm.finetune.train import build_model as build_stage_two
from fla_llm.pretrain.data import collate as collate_clips
from fla_llm.pretrain.model import StageOneModel
from fla_llm.pretrain.store import load_stage_one, save_stage_one
from fla_llm.pretrain.train import build_model as build_stage_one
from fla_llm.scoring.guessing import guesses
from fla_llm.training.evaluation import EvaluationSet, mean_scores, predict
from fla_llm.training.train_loop import fit

HERE = Path(__file__).parent
CPU = torch.device("cpu")
REFERENCE, BLIND = "factorized", ("shuffled", "most_frequent")


def main() -> None:
    arguments = parse_args()
    settings = read_settings_file(HERE / "settings.yaml")
    if arguments.settings:
        merge_settings(settings, read_settings_file(arguments.settings))
    run(
        read_manifest(arguments.manifest), arguments.out, settings=settings,
        only=arguments.only, seeds=arguments.seeds or settings["seeds"],
    )  # fmt: skip
    print((arguments.out / "table.md").read_text())


def run(
    manifest: Manifest, out: Path, *, settings: dict[str, Any], only: Sequence[str], seeds: Sequence[int]
) -> None:
    """Compute the variants that are not done, seed by seed, and write the report.

    Raises:
        RunError: ``out`` holds results of other settings, or ``only`` names no variant of this set.
    """
    variants = variants_at(settings["stride"])
    if unknown := [name for name in only if name not in variants]:
        raise RunError(f"--only must name variants of {', '.join(variants)}, but names {', '.join(unknown)}.")
    out.mkdir(parents=True, exist_ok=True)
    hold_settings(out / "settings.json", settings)
    chosen = fewer_people(manifest, settings["people"])
    experiment = Experiment(manifest=chosen, out=out, settings=settings, stores={})
    for seed in seeds:
        for name in only or variants:
            if not experiment.record(name, seed).is_file():
                compute(experiment, name, variants[name], seed=seed)
                write_report(out, variants, settings=settings, counts=chosen.counts)
    write_report(out, variants, settings=settings, counts=chosen.counts)


def variants_at(stride: int) -> dict[str, Any]:
    """Return the variants, without the frame rate that factorized has."""
    variants = read_settings_file(HERE / "variants.yaml")
    return {name: variant for name, variant in variants.items() if variant.get("stride") != stride}


def hold_settings(file: Path, settings: dict[str, Any]) -> None:
    """Write the settings of a folder, or refuse others than those that it holds."""
    if file.exists() and (found := first_difference(read_json(file), settings)):
        name, old, new = found
        raise RunError(
            f"{file.parent} must be continued with its settings, but {name} was {old} and is {new}.\n"
            "Give another --out, or delete the folder."
        )
    write_json(file, settings)


def compute(experiment: Experiment, name: str, variant: dict[str, Any], *, seed: int) -> None:
    """Train and score a variant, and write its record."""
    load, wall = os.getloadavg()[0], time.monotonic()
    stage_one, before = encoder_of(experiment, variant, seed=seed)
    experiment.prepare(stage_one)
    start = time.process_time()
    if variant.get("stage_two", True):
        model, test, steps = train_stage_two(experiment, name, variant, stage_one, seed=seed)
        decoding = (
            model.config.decoding if isinstance(model, StageTwoModel) else model.stage_two.config.decoding
        )
    else:
        clips = experiment.clips("test", stage_one)
        test = evaluation_of(batches_of(clips, stage_one.config, collate=collate_clips), clips.samples)
        model, steps, decoding = stage_one.eval(), 0, stage_one.config.decoding
    trained = time.process_time() - start
    found = predict(model.eval(), test, decoding=decoding, device=CPU)
    texts = [sample.text for sample in experiment.manifest.split("train")]
    blind = guesses(found.hypotheses, found.references, texts)
    scores = mean_scores(found)
    record = {
        **{key: scores[key] for key in ("bleu4", "wer", "exact_match")},
        # The sentences of other clips, and one sentence for all.
        **{key: mean_scores(replace(found, hypotheses=blind[key]))["bleu4"] for key in BLIND},
        "steps": before["steps"] + steps,
        "cpu_seconds": round(before["cpu_seconds"] + trained, 1),
        "wall_seconds": round(time.monotonic() - wall, 1),
        "load_average": load,
    }
    experiment.record(name, seed).parent.mkdir(exist_ok=True)
    write_json(experiment.record(name, seed), record)


def encoder_of(
    experiment: Experiment, variant: dict[str, Any], *, seed: int
) -> tuple[StageOneModel, dict[str, Any]]:
    """Return a stage-one model, trained or not, with steps and CPU seconds of its training."""
    epochs = experiment.settings["epochs"]["stage_one"]
    config = experiment.stage_one(variant, seed=seed, epochs=epochs)
    model = build_stage_one(experiment.manifest.split("train"), config)
    if variant.get("encoder") == "untrained":
        return model.eval(), {"steps": 0, "cpu_seconds": 0.0}
    # Variants with the same stride share the encoder of a seed.
    folder = experiment.out / f"stage1-stride-{experiment.stride(variant)}-seed-{seed}"
    if not (folder / "cost.json").is_file():
        batches = batches_of(experiment.clips("train", model), config, collate=collate_clips)
        seconds = timed_fit(model, batches, config, run=folder, seed=seed)
        save_stage_one(model, folder)
        write_json(folder / "cost.json", {"steps": len(batches) * epochs, "cpu_seconds": seconds})
    return load_stage_one(folder, device=CPU), read_json(folder / "cost.json")


def train_stage_two(
    experiment: Experiment, name: str, variant: dict[str, Any], stage_one: StageOneModel, *, seed: int
) -> tuple[Any, EvaluationSet, int]:
    """Train the language model, on features or with the encoder. Return model, test set and steps."""
    epochs = epochs_of(experiment, variant, seed=seed)
    config = experiment.stage_two(seed=seed, epochs=epochs)
    kind, tuned = variant.get("features", "sign"), variant.get("tuned", "none")
    frames = {split: experiment.clips(split, stage_one) for split in ("train", "test")}
    views = {"train": experiment.settings["views"] if tuned == "none" else 0, "test": 0}
    # With a trained encoder, the first clip alone is encoded here, for the width of a feature.
    clips = {
        split: FeatureClips(own, model=stage_one, kind=kind, views=views[split])
        for split, own in frames.items()
    }
    model: Any = build_stage_two(clips["train"], llm=experiment.llm, config=config, device=CPU)
    collate = partial(collate_features, codec=model.codec)
    if tuned != "none":
        collate, clips = partial(collate_frames, codec=model.codec), frames
        model = EndToEnd(stage_one, model, tuned=tuned)
    train, test = (batches_of(clips[split], stage_one.config, collate=collate) for split in ("train", "test"))
    timed_fit(model, train, config, run=experiment.out / f"{name}-seed-{seed}", seed=seed)
    return model, evaluation_of(test, clips["test"].samples), len(train) * epochs


def epochs_of(experiment: Experiment, variant: dict[str, Any], *, seed: int) -> int:
    """Return the epochs of stage two: those of the settings, of both stages, or of equal CPU time."""
    epochs, kind = experiment.settings["epochs"], variant.get("epochs", "stage_two")
    if kind == "stage_two":
        return epochs["stage_two"]
    both = epochs["stage_one"] + epochs["stage_two"]
    if kind == "both":
        return both
    spent = [read_json(experiment.record(name, seed))["cpu_seconds"] for name in (REFERENCE, "joint")]
    return max(1, round(both * spent[0] / spent[1]))


def timed_fit(model: Any, batches: Any, config: Any, *, run: Path, seed: int) -> float:
    """Train a model from the start, and return the CPU seconds."""
    start = time.process_time()
    # Checkpoints of an interrupted run must not be taken for those of this run.
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    fit(
        model, train=batches, dev=None, config=config.training, decoding=config.decoding, run=run,
        resume=False, seed=seed, device=CPU,
    )  # fmt: skip
    return round(time.process_time() - start, 1)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--settings", type=Path, help="values that replace those of settings.yaml")
    parser.add_argument("--only", nargs="*", default=[], help="variants  [all]")
    parser.add_argument("--seeds", type=int, nargs="*", default=[])
    return parser.parse_args()


if __name__ == "__main__":
    main()
