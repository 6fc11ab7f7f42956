"""Model card of an exported run: parts, origin, scores, use, licence."""

import math
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from safetensors import safe_open

from ..core.files import atomic_write, read_json
from ..core.sample import SPLITS
from ..diffusion.run_files import AUTOENCODER, DENOISER
from ..finetune.export import BASE, ENCODER
from ..finetune.run import CLIPS
from ..finetune.run_files import CONFIG, LLM, LORA, PROJECTOR, RUN, reads_key_points
from .evaluation import count_clips
from .results import read_scores

CARD = "README.md"
TO_FILL_IN = "(to be filled in: what the base model's licence and the corpus's terms allow)"
TASK_SHOWN = {"wer": "WER", "exact_match": "exact", "top1": "top-1", "top1_per_class": "top-1 per class"}
SHOWN = {"bleu1": "BLEU-1", "bleu4": "BLEU-4", "rouge_l": "ROUGE-L", "chrf": "chrF", "wer": "WER"}

METRIC_TYPES = {"bleu4": "bleu", "rouge_l": "rouge", "chrf": "chrf"}
"""Metric in ``scores.json`` -> metric on the hub."""


def write_card(folder: Path, *, run_scores: dict[str, Any]) -> Path:
    """Write ``README.md`` into an exported run.

    Args:
        folder: exported run.
        run_scores: ``scores.json`` of the run before the export, shown apart.
    """
    described = read_json(folder / RUN)
    parts = [
        _front(folder, described),
        f"# {folder.name}\n\nA gloss-free sign language translation model: a video's features to a sentence.",
        _made_from(folder, described),
        _scores("Scores", read_scores(folder)),
        _task_scores(read_scores(folder)),
        _scores("Scores before merging", run_scores) if "merged" in described and run_scores else "",
        _usage(folder, described),
        f"## Licence\n\nLicence: {TO_FILL_IN}\n\nTerms of the corpus: {TO_FILL_IN}",
    ]
    with atomic_write(folder / CARD) as temporary:
        temporary.write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")
    return folder / CARD


def count_parameters(*paths: Path) -> int:
    """Return the number of parameters in safetensors files, or in the files of folders."""
    # Shapes are in the headers: no tensor is loaded.
    files = [file for path in paths for file in (path.glob("*.safetensors") if path.is_dir() else [path])]
    return sum(_numel(file) for file in files)


def _numel(file: Path) -> int:
    with safe_open(str(file), framework="pt") as tensors:
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118  # no dict


def _front(folder: Path, described: dict[str, Any]) -> str:
    base = _base(described)[0]
    # The path of a local folder is of no use to readers.
    is_named = not Path(base).is_absolute() and base != BASE
    results = _results(folder)
    front = ModelCardData(
        language=described["languages"], library_name="fla-llm", tags=["sign-language-translation"],
        base_model=base if is_named else None, model_name=folder.name if results else None,
        eval_results=results or None,
    )  # fmt: skip
    return f"---\nlicense:  # {TO_FILL_IN}\n{front.to_yaml()}\n---"


def _results(folder: Path) -> list[EvalResult]:
    """Return the scores of whole splits, as the hub lists them. Trials and controls are no results."""
    # A run without dev has no clips of dev.
    clips = read_json(folder / CLIPS) if (folder / CLIPS).is_file() else {}
    corpus = (
        "+".join(sorted({name for split in clips.values() if split for name in split["corpora"]}))
        or "unknown"
    )
    return [
        EvalResult(
            task_type="translation", dataset_type=corpus, dataset_name=corpus, dataset_split=split,
            metric_type=kind, metric_name=f"{SHOWN[metric]} ({protocol})", metric_value=round(row[metric], 2),
        )
        for split, found in read_scores(folder).items() if split in SPLITS
        for protocol, row in found["protocols"].items() if "refused" not in row
        # A protocol may lack a metric.
        for metric, kind in METRIC_TYPES.items() if row.get(metric) is not None
    ]  # fmt: skip


def _base(described: dict[str, Any]) -> tuple[str, str]:
    # A quantised copy is only a file format. Readers need the name of the model that was quantised.
    made_from = described.get("llm_quantised_from")
    if made_from:
        return made_from["llm"], made_from["revision"]
    return described["llm"], described["llm_revision"]


def _made_from(folder: Path, described: dict[str, Any]) -> str:
    source, revision = _base(described)
    # A run without dev has no clips of dev.
    clips = read_json(folder / CLIPS) if (folder / CLIPS).is_file() else {}
    known = [clips[split] for split in ("train", "dev") if clips.get(split)]
    corpora = sorted({name for split in known for name in split["corpora"]})
    missing = described.get("missing", {})
    counts = [
        f"{clips[split]['clips']} {split}"
        + (f", {len(missing[split])} missing" if missing.get(split) else "")
        for split in ("train", "dev")
        if clips.get(split)
    ]
    merged = described.get("merged")
    trained = merged or described
    # A local path stays out of the card: its last part is enough to recognise the model.
    rows = {
        "base model": f"{Path(source).name if Path(source).is_absolute() else source}, revision {revision}",
        "kind": described["llm_type"],
        "corpus": f"{', '.join(corpora)} ({', '.join(counts)} clips)" if known else "not recorded",
        "languages": ", ".join(described["languages"]),
        "trained": f"{trained.get('train', 'a diffusion decoder')}, on a base with "
        f"quantise={trained['quantise']}",
        "adapters": f"merged into the unquantised base, {merged['dtype']}" if merged else "as they are",
        **{
            name: f"{count_parameters(folder / file):,} parameters"
            for name, file in (("projector", PROJECTOR), ("autoencoder", AUTOENCODER), ("denoiser", DENOISER))
            if (folder / file).is_file()
        },
        "features": f"{described['feature_size']} wide, of encoder {described['feature_fingerprint']}",
    }
    for name, what in ((LLM, "language model"), (LORA, "adapters' size")):
        if (folder / name).is_dir():
            rows[what] = f"{count_parameters(folder / name):,} parameters"
    lines = [f"| {name} | {value} |" for name, value in rows.items() if value != "as they are"]
    return "\n".join(["## What it is", "", "| | |", "|---|---|", *lines, "", f"Settings: `{CONFIG}`."])


def _scores(title: str, scores: dict[str, Any]) -> str:
    """Return the table of results, or of trials if there is no result."""
    # A trial scores a part of a split or other settings: beside a result it would mislead.
    results = {name: found for name, found in scores.items() if not found.get("trial")}
    if not scores:
        return f"## {title}\n\nNot evaluated yet."
    remark = (
        "" if results else "Trials alone: no split has been evaluated in full with the run's own settings."
    )
    head = ["evaluation", "clips", "protocol", *SHOWN.values()]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    signatures: dict[str, None] = {}
    for name, found in (results or scores).items():
        for protocol, row in found["protocols"].items():
            # The protocol cannot score this language.
            if "refused" in row:
                continue
            # Scores of an earlier version have no WER.
            figures = ["-" if row.get(metric) is None else f"{row[metric]:.2f}" for metric in SHOWN]
            lines.append(f"| {' | '.join([name, count_clips(found), protocol, *figures])} |")
            signatures[f"- `{row['signature']}`"] = None
    parts = [
        f"## {title}",
        remark,
        "\n".join(lines),
        _missing(results or scores),
        "Signatures:",
        "\n".join(signatures),
    ]
    return "\n\n".join(filter(None, parts))


def _task_scores(scores: dict[str, Any]) -> str:
    """Return the table of glosses and single signs. Trials count only where there is no result."""
    results = {name: found for name, found in scores.items() if not found.get("trial")} or scores
    head = ["evaluation", "clips", "task", *TASK_SHOWN.values()]
    lines = [
        f"| {name} | {count_clips(found)} | {task}, {row['count']} clips | "
        + " | ".join("-" if row.get(metric) is None else f"{row[metric]:.2f}" for metric in TASK_SHOWN)
        + " |"
        for name, found in results.items()
        for task, row in found.get("tasks", {}).items()
    ]
    if not lines:
        return ""
    return "\n".join(
        ["## Glosses and single signs", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head), *lines]
    )


def _missing(scores: dict[str, Any]) -> str:
    """Return the list of clips without a score."""
    lines = [
        f"- {name}: {', '.join(f'`{id}`' for id in found['missing'])}"
        for name, found in scores.items()
        if found.get("missing")
    ]
    return "\n".join(["Missing clips:", "", *lines]) if lines else ""


def _usage(folder: Path, described: dict[str, Any]) -> str:
    alone = described.get("train") == "full" or (folder / described["llm"]).is_dir()
    needs = "" if alone else "The base model named above is needed too.\n\n"
    evaluate = "    fla evaluate DIR --features cache/ --split test\n"
    # Key points without training need no encoder directory.
    if (folder / ENCODER).is_dir() or reads_key_points(described):
        return (
            f"## How to use it\n\n{needs}{evaluate}    fla translate VIDEO --model DIR\n\nDIR is this folder."
        )
    return (
        f"## How to use it\n\n{needs}{evaluate}"
        "    fla translate VIDEO --run DIR --ckpt STAGE1\n\n"
        "DIR is this folder; STAGE1 is the encoder whose fingerprint stands above."
    )
