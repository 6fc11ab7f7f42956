"""Whole pipeline on any table of signed sentences, with baselines and controls.

    python bench/real_hands.py TABLE --out runs/hands

TABLE is what ``fla prepare table`` reads, with clips of all three splits. Settings follow from the manifest
by rules (``hands_settings.py``), so that no set is tuned. Every step is a command of ``fla``, timed, and
skipped when it is done: an interrupted call goes on. The result is DIR/NAME/table.md and table.json, with
NAME "all" or "people-N", and DIR/curve.md with a row for each number of people.

    --people 142 71 36 18      a run for each number of training people, the same test clips in all
    --llm small --llm DIR      stage two with each language model. small: trained from the training sentences
    --llm none                 stage one alone
    --weights FILE --backbone NAME   the backbone starts from these weights, such as those of ImageNet
"""

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml
from hands_baselines import most_frequent, nearest_clip
from hands_settings import stage_one, stage_two
from hands_steps import Call, Steps, call_fla
from hands_table import write_curve, write_tables

from fla_llm.core.config import config_to_dict
from fla_llm.core.errors import DataError
from fla_llm.core.files import write_jsonl
from fla_llm.corpora.manifest import Manifest, read_manifest, write_manifest
from fla_llm.demo.config import SmallLlmConfig

SMALL, NONE = "small", "none"
VIEWS = 2
"""Augmented passes of the encoder over each training clip, for stage two."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options that hold for each number of people."""

    llms: Sequence[str] = (SMALL,)
    """``small``, or directories of language models. Empty: stage one alone."""
    weights: Path | None = None
    backbone: str | None = None
    seed: int = 42
    settings: Sequence[str] = ()
    """Single settings of stage one, as for ``--set``: a trial."""
    tune_settings: Sequence[str] = ()
    """The same for stage two."""
    # Features come in the order of the signs. A model that restored random order would lose that order.
    small_llm: SmallLlmConfig = field(
        default_factory=lambda: SmallLlmConfig(kind="seq2seq", layers=2, keep_order=True)
    )
    fla: Call = call_fla


def main() -> None:
    arguments = parse_args()
    options = Options(
        llms=[llm for llm in arguments.llm or [SMALL] if llm != NONE],
        weights=arguments.weights and arguments.weights.absolute(),
        backbone=arguments.backbone,
        seed=arguments.seed,
        settings=arguments.set,
        tune_settings=arguments.set_tune,
    )
    for table in run_all(arguments.table, arguments.out, people=arguments.people, options=options):
        print(table.read_text())


def run_all(table: Path, out: Path, *, people: Sequence[int], options: Options) -> list[Path]:
    """Prepare a table, run the pipeline for each number of training people, and return the written tables."""
    manifest_file = out / "manifest.jsonl"
    Steps(folder=out, fla=options.fla).command("prepare", "prepare", "table", table, "--out", manifest_file)
    manifest, tables = read_manifest(manifest_file), []
    for count in people or [None]:
        folder = out / ("all" if count is None else f"people-{count}")
        chosen = manifest if count is None else with_people(manifest, count, seed=options.seed)
        folder.mkdir(parents=True, exist_ok=True)
        write_manifest(folder / "manifest.jsonl", chosen)
        tables.append(run(chosen, folder, options=options))
    return [*tables, write_curve(out, [table.parent for table in tables])]


def run(manifest: Manifest, folder: Path, *, options: Options) -> Path:
    """Run both stages in ``folder``, and return the table."""
    steps = Steps(folder=folder, fla=options.fla)
    train_encoder(manifest, folder, steps=steps, options=options)
    for llm in options.llms:
        train_translator(manifest, folder, llm, steps=steps, options=options)
    for name, baseline in (("most_frequent", most_frequent), ("nearest_clip", nearest_clip)):
        steps.work(name, [], lambda name=name, baseline=baseline: write_predictions(
            folder / f"{name}.jsonl", manifest, baseline(manifest)
        ))  # fmt: skip
    return write_tables(manifest, folder, records=steps.records())


def train_encoder(manifest: Manifest, folder: Path, *, steps: Steps, options: Options) -> None:
    """Run stage one with its scores."""
    clips, run_folder = folder / "manifest.jsonl", folder / "stage1"
    settings = stage_one(
        manifest.samples, backbone=options.backbone, weights=options.weights, seed=options.seed
    )
    (folder / "stage1.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    steps.command(
        "pretrain", "pretrain", "--manifest", clips, "--config", folder / "stage1.yaml", "--out", run_folder,
        *sets(options.settings), settings=settings, resume=run_folder,
    )  # fmt: skip
    evaluate("evaluate_stage1", run_folder, "--manifest", clips, steps=steps)


def train_translator(manifest: Manifest, folder: Path, llm: str, *, steps: Steps, options: Options) -> None:
    """Run stage two on the cache of stage one, with its scores."""
    cache, name = folder / "cache", SMALL if llm == SMALL else Path(llm).name
    settings = stage_two(manifest.samples, pretrained=llm != SMALL, seed=options.seed)
    (folder / f"stage2-{name}.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    # An interrupted extraction goes on without an option.
    steps.command(
        "extract", "extract", "--ckpt", folder / "stage1", "--manifest", folder / "manifest.jsonl",
        "--out", cache, "--set", f"views={VIEWS}", "--set", "workers=0",
    )  # fmt: skip
    if llm == SMALL:
        steps.work(
            "small_llm", [options.seed, config_to_dict(options.small_llm)],
            lambda: make_llm(manifest, folder / "llm", options=options),
        )  # fmt: skip
    run_folder = folder / f"stage2-{name}"
    steps.command(
        f"tune_{name}", "tune", "--features", cache, "--llm", folder / "llm" if llm == SMALL else llm,
        "--config", folder / f"stage2-{name}.yaml", "--out", run_folder,
        *sets(options.tune_settings), settings=settings, resume=run_folder,
    )  # fmt: skip
    evaluate(f"evaluate_{name}", run_folder, "--features", cache, steps=steps)


def evaluate(name: str, run_folder: Path, *source: str | Path, steps: Steps) -> None:
    """Score a run on test, and once more with the clips exchanged."""
    steps.command(name, "evaluate", run_folder, *source)
    steps.command(f"{name}_shuffled", "evaluate", run_folder, *source, "--shuffle-features")


def with_people(manifest: Manifest, count: int, *, seed: int) -> Manifest:
    """Return a manifest with ``count`` training people, drawn by the seed. Fewer are a subset of more.

    Raises:
        DataError: a training clip has no signer, or there are fewer people.
    """
    people = sorted({sample.signer or "" for sample in manifest.split("train")})
    if "" in people or not 0 < count <= len(people):
        raise DataError(
            f"--people must be in 1..{len(people)}, the signers of the training clips, but is {count}.\n"
            "Each training clip needs a value in the column signer."
        )
    random.Random(seed).shuffle(people)
    chosen = set(people[:count])
    kept = [sample for sample in manifest.samples if sample.split != "train" or sample.signer in chosen]
    return replace(manifest, samples=tuple(kept))


def make_llm(manifest: Manifest, out: Path, *, options: Options) -> None:
    """Train a small language model from the training sentences alone."""
    # Imported here: a call with finished steps needs no torch.
    from fla_llm.demo.small_llm import make_small_llm

    texts = [sample.text for sample in manifest.split("train")]
    make_small_llm(texts, out, config=options.small_llm, seed=options.seed)


def write_predictions(path: Path, manifest: Manifest, sentences: Sequence[str]) -> None:
    """Write the sentences of a baseline as ``fla evaluate`` writes those of a model."""
    pairs = zip(manifest.split("test"), sentences, strict=True)
    write_jsonl(path, [
        {"id": sample.id, "prediction": text, "reference": sample.text, "language": sample.language}
        for sample, text in pairs
    ])  # fmt: skip


def sets(settings: Sequence[str]) -> list[str]:
    return [part for setting in settings for part in ("--set", setting)]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--people", type=int, nargs="*", default=[])
    parser.add_argument("--llm", action="append", help="small, none, or a directory  [small]")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--backbone")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--set", action="append", default=[], help="a setting of stage one, for a trial")
    parser.add_argument("--set-tune", action="append", default=[], help="a setting of stage two")
    return parser.parse_args()


if __name__ == "__main__":
    main()
