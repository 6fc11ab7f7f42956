"""Figures of a demo run: scores, scores of each signer, and the table with the baselines."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.files import read_jsonl
from ..corpora.manifest import Manifest
from ..pipeline.evaluation import Evaluation
from ..scoring import score

_TRIAL = """
A trial: every stage ran, but on too few clips to learn the language. Run fla demo for scores that count.
"""


def score_signers(predictions: Path, manifest: Manifest) -> dict[str, dict[str, float]]:
    """Return clips and BLEU-4 of each test signer, by name."""
    signers = {sample.id: sample.signer or "" for sample in manifest.split("test")}
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in read_jsonl(predictions):
        rows[signers[row["id"]]].append(row)
    return {name: _score_rows(own) for name, own in sorted(rows.items())}


def score_figures(evaluations: dict[str, Evaluation], manifest: Manifest) -> dict[str, Any]:
    """Return the scores of both stages and of the shuffled control, with scores of each signer."""
    one, two = evaluations["stage_one"], evaluations["test"]
    return {
        "stage_one": {"test": one.to_dict(), "signers": score_signers(one.predictions, manifest)},
        "test": two.to_dict(),
        "signers": score_signers(two.predictions, manifest),
        "test_shuffled": evaluations["test_shuffled"].to_dict(),
    }


def describe_figures(out: Path, figures: dict[str, Any]) -> str:
    """Return the figures as text."""
    minutes = sum(figures["seconds"].values()) / 60
    baselines = figures["baselines"]
    trial = ", a trial" if figures["is_trial"] else ""
    return f"""{_TRIAL if figures["is_trial"] else ""}
Done in {minutes:.1f} minutes, {figures["peak_memory_gb"]:.1f} GB of memory at most.

                               BLEU-4 on {figures["test_clips"]} test clips{trial}
stage one, light translator    {figures["stage_one"]["test"]["bleu4"]:6.2f}
stage two, 4-bit LLM + LoRA    {figures["test"]["bleu4"]:6.2f}
the same, shuffled features    {figures["test_shuffled"]["bleu4"]:6.2f}   what the LLM scores by guessing
bag of signs                   {baselines["bag_of_signs"]:6.2f}   what the signs alone tell, without order
nearest training sentence      {baselines["nearest_training_sentence"]:6.2f}   what memory alone can score

by signer                      stage one, stage two
{_describe_signers(figures)}

{figures["example"]["video"]}
    signed      {figures["example"]["reference"]}
    translated  {figures["example"]["translation"]}

Of {figures["train_clips"]} training clips {figures["single_sign_clips"]} show a single sign.
{out}/corpus/videos            the clips: look at one
{out}/stage1/encoder           the visual encoder, what --ckpt takes
{out}/cache                    features, what --features takes
{out}/stage2                   adapters and projector
{out}/stage2/predictions-test.jsonl
{out}/summary.json             all figures"""


def _describe_signers(figures: dict[str, Any]) -> str:
    first = figures["stage_one"]["signers"]
    return "\n".join(
        f"    {name} ({own['clips']} clips)".ljust(31) + f"{first[name]['bleu4']:6.2f} {own['bleu4']:10.2f}"
        for name, own in figures["signers"].items()
    )


def _score_rows(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    bleu = score([row["prediction"] for row in rows], [row["reference"] for row in rows]).bleu4
    return {"clips": len(rows), "bleu4": bleu}
