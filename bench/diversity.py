"""Are different candidates right? Beams, draws and diffusion on the demo's sign language with paraphrases.

    fla demo --config bench/roles_demo.yaml --set corpus.paraphrases=true --out runs/roles
    python bench/diversity.py runs/roles --out runs/diversity        # --limit 20 --epochs 1 for a trial

Each seed tunes both decoders on the demo's cache: the language model with LoRA, and diffusion over the same
language model. Every system writes ten candidates for each test clip. A row of the table has BLEU-4 of the
chosen sentences against one reference and against all wordings, self-BLEU and distinct-2 of the candidates,
the seconds of a clip, and BLEU-4 with the features of other clips. The oracle and the draws of right wordings
read the references: they are bounds, and no systems. Steps that are done are kept, so the same command goes
on. OUT/table.md is the result: mean and range over the seeds.
"""

import argparse
import random
import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fla_llm.cache.reader import FeatureCache
from fla_llm.cli import fla
from fla_llm.core.config import write_config
from fla_llm.core.files import read_json, write_json
from fla_llm.demo.config import load_demo_config
from fla_llm.finetune.data import FeatureItems
from fla_llm.finetune.store import recorded_bounds
from fla_llm.pipeline.cache_models import CacheModel, decoding_of, evaluation_set_of, load_cache_model
from fla_llm.pipeline.candidates import translate_candidates
from fla_llm.pipeline.evaluation import Request
from fla_llm.scoring.candidates import Choice, choose, score_candidates
from fla_llm.scoring.multi_reference import score_multi_reference
from fla_llm.scoring.protocols import DEFAULT_PROTOCOL, find_protocol
from fla_llm.scoring.score import score
from fla_llm.scoring.shuffle import other_sentences

CANDIDATES = 10
SEEDS = (42, 43, 44)
CPU = torch.device("cpu")
LANGUAGE = "en"
SYSTEMS: dict[str, tuple[str, tuple[str, ...], tuple[Choice, ...]]] = {
    "beam search": ("lm", (f"num_beams={CANDIDATES}",), ("best",)),
    "diverse beam search": ("lm", (f"num_beams={CANDIDATES}", "diversity=0.5"), ("best", "mbr")),
    "sampling": ("lm", ("temperature=1.0",), ("best", "mbr")),
    "diffusion": ("diffusion", (), ("best", "mbr")),
    "diffusion without guidance": ("diffusion", ("guidance=1",), ("best", "mbr")),
    "diffusion of more noise": ("diffusion", ("guidance=1", "noise=1.5"), ("best", "mbr")),
}
"""System -> decoder, settings of its search, choices of a candidate."""
RIGHT = "wordings of the references, drawn at random"
COLUMNS = {
    "bleu4": "BLEU-4", "multi_reference_bleu4": "BLEU-4, all wordings", "self_bleu": "self-BLEU",
    "distinct_2": "distinct-2", "seconds": "s a clip", "shuffled": "BLEU-4 shuffled",
}  # fmt: skip


def run(*arguments: object) -> None:
    """Run a command of fla in this process."""
    code = fla([str(argument) for argument in arguments], standalone_mode=False)
    if code:
        raise SystemExit(code)


def tuned(demo: Path, out: Path, *, decoder: str, seed: int, epochs: int | None) -> Path:
    """Return a run of a decoder, trained unless it is there."""
    folder = out / f"{decoder}-{seed}"
    # The demo's own settings, because a preset of the language model fits one of its two languages.
    config = out / "tune.yaml" if decoder == "lm" else "demo"
    if not (folder / "run.json").is_file():
        trial = [] if epochs is None else ["--set", f"training.epochs={epochs}"]
        if epochs is not None and decoder == "diffusion":
            trial += ["--set", f"autoencoder.training.epochs={epochs}", "--set", "autoencoder.min_bleu4=0"]
        run(
            "tune", "--decoder", decoder, "--config", config, "--features", demo / "cache", "--llm",
            demo / "llm", "--out", folder, "--seed", seed, "--device", "cpu",
            *(["--resume"] if folder.is_dir() else []), *trial,
        )  # fmt: skip
    return folder


def candidates(model: CacheModel, items: FeatureItems, request: Request, run: Path) -> list[list[str]]:
    """Return the candidates of each clip, the first the likeliest or the first draw."""
    order = None
    if request.shuffle_features:
        order = other_sentences(items.ids, items.texts, seed=request.seed)
    bounds = recorded_bounds(run, model.config)
    evaluation = evaluation_set_of(model, items, bounds=bounds, order=order)
    _, found = translate_candidates(
        model, evaluation, request=request, decoding=decoding_of(model, request), protocol=DEFAULT_PROTOCOL,
        device=CPU, dtype=torch.float32,
    )  # fmt: skip
    assert found is not None
    return [[candidate["text"] for candidate in clip] for clip in found]


def measure(run: Path, items: FeatureItems, *, system: str, seed: int) -> dict[str, dict[str, float]]:
    """Return the figures of each choice of a system, and of the oracle of its candidates."""
    _, settings, choices = SYSTEMS[system]
    model, rules = load_cache_model(run, device=CPU, llm=None), find_protocol(DEFAULT_PROTOCOL)
    request = Request(decoding=(None, settings), n_best=CANDIDATES, seed=seed, device="cpu")
    start = time.monotonic()
    found = candidates(model, items, request, run)
    seconds = (time.monotonic() - start) / len(found)
    shuffled = candidates(model, items, replace(request, shuffle_features=True), run)
    further = [items.further_references[id] for id in items.ids]
    spread = score_candidates(found, items.texts, language=LANGUAGE, protocol=rules)
    rows: dict[str, dict[str, float]] = {}
    for how in choices:
        said, guessed = (
            [clip[choose(clip, how=how, language=LANGUAGE, protocol=rules)] for clip in lists]
            for lists in (found, shuffled)
        )
        several = score_multi_reference(said, items.texts, further, language=LANGUAGE, protocol=rules.name)
        rows[f"{system}, {how}"] = {
            "bleu4": score(said, items.texts).bleu4,
            "multi_reference_bleu4": several.multi_reference_bleu4,
            "self_bleu": spread.self_bleu,
            "distinct_2": spread.distinct_2,
            "seconds": seconds,
            "shuffled": score(guessed, items.texts).bleu4,
        }
    # Its BLEU stands in a row of its own, and never as the BLEU of a system.
    rows[f"{system}, oracle of {CANDIDATES} (reads the references)"] = {"bleu4": spread.oracle_bleu4}
    return rows


def draw_wordings(items: FeatureItems, *, seed: int) -> dict[str, float]:
    """Return the diversity of candidates that are all right: draws of the wordings of each clip."""
    draw = random.Random(seed)
    wordings = [
        [text, *items.further_references[id]] for id, text in zip(items.ids, items.texts, strict=True)
    ]
    found = [draw.choices(clip, k=CANDIDATES) for clip in wordings]
    rules = find_protocol(DEFAULT_PROTOCOL)
    spread = score_candidates(found, items.texts, language=LANGUAGE, protocol=rules)
    # Their BLEU is left out: with the references in reach no BLEU means anything.
    return {"self_bleu": spread.self_bleu, "distinct_2": spread.distinct_2}


def table(results: list[Mapping[str, Mapping[str, float]]]) -> str:
    """Return mean and range of every figure as a table in Markdown."""
    lines = [f"| system | {' | '.join(COLUMNS.values())} |", "|---" * (1 + len(COLUMNS)) + "|"]
    for name in results[0]:
        cells = []
        for column in COLUMNS:
            values = [result[name][column] for result in results if column in result[name]]
            mean = f"{statistics.fmean(values):.2f}" if values else "-"
            spread = f" ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else ""
            cells.append(mean if column == "seconds" else mean + spread)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Tune what is missing, measure, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("demo", type=Path, help="A run of fla demo with corpus.paraphrases=true.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--limit", type=int, help="Clips of the test split, for a trial.")
    parser.add_argument("--epochs", type=int, help="Epochs of every training, for a trial.")
    args = parser.parse_args()
    items = FeatureItems([FeatureCache(args.demo / "cache", "test")], limit=args.limit)
    if not any(items.further_references.values()):
        raise SystemExit(f"{args.demo} must have paraphrases.\nRun: fla demo --set corpus.paraphrases=true")
    args.out.mkdir(parents=True, exist_ok=True)
    write_config(load_demo_config(str(args.demo / "config.yaml")).tune, args.out / "tune.yaml")
    results: list[Any] = []
    for seed in args.seeds:
        file = args.out / f"figures-{seed}.json"
        rows: dict[str, Any] = read_json(file) if file.is_file() else {}
        for system, (decoder, _, _) in SYSTEMS.items():
            if not any(name.startswith(f"{system}, ") for name in rows):
                folder = tuned(args.demo, args.out, decoder=decoder, seed=seed, epochs=args.epochs)
                rows |= measure(folder, items, system=system, seed=seed)
                # Written after each system: hours of work must not end with one fault.
                write_json(file, rows)
        rows[RIGHT] = draw_wordings(items, seed=seed)
        results.append(rows)
    text = table(results)
    (args.out / "table.md").write_text(f"{len(items)} clips, seeds {args.seeds}\n\n{text}\n")
    print(text)


if __name__ == "__main__":
    main()
