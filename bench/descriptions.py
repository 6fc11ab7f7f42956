"""Do descriptions of frames help? The demo's sign language with true, mapped and shuffled descriptions.

    fla demo --out runs/demo                                           # corpus, stage one and language model
    python bench/descriptions.py runs/demo --out runs/descriptions  # --limit 40 --epochs 1 for a trial

A template writes true descriptions (fla_llm.demo.describer), a small encoder that is trained on the texts of
train embeds them, and fla map learns to predict the embeddings from the pictures. Five kinds of
features are tuned with each seed: pictures; pictures and true descriptions (an upper bound: no test video has
them); pictures and mapped descriptions (MMSLT); pictures and shuffled descriptions (a control); true
descriptions alone. Steps that are done are kept, so the same command goes on. OUT/table.md is the result.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from fla_llm.cli import fla
from fla_llm.core.config import write_config
from fla_llm.core.files import read_json, write_json
from fla_llm.corpora.descriptions import Descriptions
from fla_llm.corpora.manifest import Manifest, read_manifest
from fla_llm.demo.config import SmallLlmConfig, load_demo_config
from fla_llm.demo.describer import write_true_descriptions
from fla_llm.demo.small_llm import make_small_llm

SEEDS = (1, 2, 3)
ROWS: dict[str, tuple[str, ...]] = {
    "pictures": ("rgb",),
    "pictures + true descriptions (upper bound)": ("rgb", "true"),
    "pictures + mapped descriptions (MMSLT)": ("rgb", "mapped"),
    "pictures + shuffled descriptions (control)": ("rgb", "shuffled"),
    "true descriptions alone": ("true",),
}


def run(*arguments: object) -> None:
    """Run a command of fla in this process."""
    code = fla([str(argument) for argument in arguments], standalone_mode=False)
    if code:
        raise SystemExit(code)


def make_descriptions(out: Path, manifest: Manifest, *, demo: Path) -> None:
    """Write true and shuffled descriptions, and an encoder of such texts."""
    config = load_demo_config(str(demo / "config.yaml"))
    for name in ("true", "shuffled"):
        if not (out / name).is_dir():
            write_true_descriptions(
                out / name,
                manifest,
                config=config.corpus,
                seed=config.seed,
                stride=1,
                shuffled=name != "true",
            )
    if not (out / "text-encoder").is_dir():
        true = Descriptions(out / "true", ["train"])
        texts = {text for split, id in true.clips for text in true.read(split, id).values()}
        shape = SmallLlmConfig(kind="seq2seq", layers=1, steps=150)
        make_small_llm(sorted(texts), out / "text-encoder", config=shape, seed=0, device="cpu")


def make_caches(out: Path, *, demo: Path, limit: int | None) -> dict[str, Path]:
    """Embed the descriptions at the steps of the pictures, map, and return the caches."""
    sampling = load_demo_config(str(demo / "config.yaml")).pretrain.encoder.sampling
    trial = [] if limit is None else ["--limit", limit]
    caches = {"rgb": out / "cache-rgb", "mapped": out / "cache-mapped"}
    given = ["--manifest", demo / "manifest.jsonl", "--device", "cpu", *trial]
    if not caches["rgb"].is_dir():
        run("extract", "--ckpt", demo / "stage1", "--out", caches["rgb"], *given)
    for name in ("true", "shuffled"):
        caches[name] = out / f"cache-{name}"
        if not caches[name].is_dir():
            run(
                "extract", "--encoder", f"hf-text:{out / 'text-encoder'}", "--descriptions", out / name,
                "--out", caches[name], *given, "--set", "hf_text.pool=mean",
                "--set", f"hf_text.frame_stride={sampling.stride}",
                "--set", f"hf_text.max_frames={sampling.max_frames}",
            )  # fmt: skip
    if not caches["mapped"].is_dir():
        run(
            "map",
            "--from",
            caches["rgb"],
            "--to",
            caches["true"],
            "--out",
            caches["mapped"],
            "--device",
            "cpu",
        )
    return caches


def tune_and_score(
    folder: Path, caches: Sequence[Path], *, demo: Path, config: Path, seed: int, settings: Sequence[str]
) -> float:
    """Tune the demo's language model on caches, joined step by step, and return BLEU-4 on test."""
    features = [word for cache in caches for word in ("--features", cache)]
    if not (folder / "run.json").is_file():
        resume = ["--resume"] if folder.is_dir() else []
        run(
            "tune", "--config", config, *features, "--llm", demo / "llm", "--out", folder, "--seed", seed,
            "--device", "cpu", "--set", "fuse=channels", *resume,
            *(word for setting in settings for word in ("--set", setting)),
        )  # fmt: skip
    if not (folder / "scores.json").is_file():
        run("evaluate", folder, *features, "--split", "test", "--device", "cpu")
    return read_json(folder / "scores.json")["test"]["bleu4"]


def describe(
    scores: Mapping[str, Sequence[float]], *, mapping: Mapping[str, float], clips: Mapping[str, int]
) -> str:
    """Return the table in Markdown."""
    lines = [
        f"{' / '.join(map(str, clips.values()))} clips; error of the mapper on dev "
        f"{mapping['dev_mse'] / mapping['mean_mse']:.0%} of that of the mean",
        "",
        "| features | test BLEU-4, mean | lowest to highest of the seeds |",
        "|---|---|---|",
    ]
    for name, own in scores.items():
        lines.append(f"| {name} | {statistics.mean(own):.1f} | {min(own):.1f} to {max(own):.1f} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Make everything that is missing, and the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("demo", type=Path, help="a finished folder of fla demo")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--limit", type=int, help="clips of each split, for a trial")
    parser.add_argument("--epochs", type=int, help="epochs of stage two, for a trial")
    args = parser.parse_args()
    manifest = read_manifest(args.demo / "manifest.jsonl", limit=args.limit)
    # The demo's own settings: a preset fits one of its two languages.
    write_config(load_demo_config(str(args.demo / "config.yaml")).tune, args.out / "tune.yaml")
    make_descriptions(args.out, manifest, demo=args.demo)
    caches = make_caches(args.out, demo=args.demo, limit=args.limit)
    trial = (
        [] if args.epochs is None else [f"training.epochs={args.epochs}", "training.evaluate_from_epoch=1"]
    )
    scores: dict[str, list[float]] = {}
    for name, streams in ROWS.items():
        for seed in args.seeds:
            folder = args.out / "runs" / f"{'-'.join(streams)}-{seed}"
            found = tune_and_score(
                folder,
                [caches[stream] for stream in streams],
                demo=args.demo,
                config=args.out / "tune.yaml",
                seed=seed,
                settings=trial,
            )
            scores.setdefault(name, []).append(found)
            write_json(args.out / "table.json", {"seeds": list(args.seeds), "bleu4": scores})
    table = describe(scores, mapping=mapping_errors(caches["mapped"]), clips=manifest.counts)
    (args.out / "table.md").write_text(table, encoding="utf-8")
    print(table)


def mapping_errors(mapped: Path) -> Mapping[str, float]:
    """Return the errors of the mapper, which stand in every shard."""
    from fla_llm.cache.reader import FeatureCache

    return json.loads(json.dumps(FeatureCache(mapped, "dev").provenance.preprocessing["mapped"]))


if __name__ == "__main__":
    main()
