"""Report of the experiments: a table in Markdown, and two figures as SVG for light and dark pages."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fla_llm.core.files import read_json, read_jsonl

COLOURS = ("#1f8f7a", "#c2572b")  # both are legible on white and on black
GREY = "#808080"
NOT_RUN = "not run"


def write_report(
    out: Path, variants: Mapping[str, dict[str, Any]], *, settings: dict[str, Any], counts: Mapping[str, int]
) -> None:
    """Write table.md, scores.svg and, with a joint run, norms.svg."""
    found = {name: records(out, name) for name in variants}
    tables = (table(variants, found, settings=settings, counts=counts), table_by_seed(found))
    (out / "table.md").write_text("\n".join(tables))
    (out / "scores.svg").write_text(bars(variants, found))
    logs = sorted(out.glob("joint-seed-*/log.jsonl"))
    if logs:
        (out / "norms.svg").write_text(norms(read_jsonl(logs[0])))


def records(out: Path, name: str) -> list[dict[str, Any]]:
    """Return the records of all seeds of a variant, with their seed."""
    files = sorted((out / "records").glob(f"{name}-seed-*.json"))
    return [read_json(file) | {"seed": int(file.stem.rpartition("-")[2])} for file in files]


def table(
    variants: Mapping[str, dict[str, Any]], found: Mapping[str, list[dict[str, Any]]], *,
    settings: dict[str, Any], counts: Mapping[str, int],
) -> str:  # fmt: skip
    """Return the table, with mean and range over the seeds."""
    # The same for all: it sees no video.
    blind = [record["most_frequent"] for own in found.values() for record in own][:1]
    lines = [
        f"{counts['train']} training clips of {settings['people']} people, {counts['test']} test clips, "
        f"{settings['epochs']['stage_one']} + {settings['epochs']['stage_two']} epochs. "
        f"The most frequent training sentence scores BLEU-4 {spread(blind) if blind else NOT_RUN}.", "",
        "| variant | paper's table | paper's BLEU-4 "
        "| BLEU-4 | shuffled | WER | steps | CPU seconds | seeds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, variant in variants.items():
        own = found[name]
        keys = ("bleu4", "shuffled", "wer", "steps", "cpu_seconds")
        cells = [spread([record[key] for record in own]) for key in keys] if own else [NOT_RUN] * len(keys)
        lines.append(
            f"| {name} | {variant['table']} | {variant['paper']:.2f} | "
            + " | ".join(cells)
            + f" | {len(own)} |"
        )
    return "\n".join([*lines, ""])


def table_by_seed(found: Mapping[str, list[dict[str, Any]]]) -> str:
    """Return BLEU-4 and WER of each seed: variants of one seed share the encoder of stage one."""
    seeds = sorted({record["seed"] for own in found.values() for record in own})
    titles = [f"{score}, seed {seed}" for score in ("BLEU-4", "WER") for seed in seeds]
    lines = ["| variant | " + " | ".join(titles) + " |", "|---|" + "---|" * len(titles)]
    for name, own in found.items():
        by_seed = {record["seed"]: record for record in own}
        cells = [
            f"{by_seed[seed][key]:.1f}" if seed in by_seed else NOT_RUN
            for key in ("bleu4", "wer")
            for seed in seeds
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def spread(values: Sequence[float]) -> str:
    """Return the mean, and the lowest and highest value of several seeds."""
    digits = 0 if max(values) >= 1000 or all(value == round(value) for value in values) else 1
    low, mean, high = (f"{f(values):.{digits}f}" for f in (min, statistics.fmean, max))
    return mean if low == high else f"{mean} ({low} to {high})"


def bars(variants: Mapping[str, dict[str, Any]], found: Mapping[str, list[dict[str, Any]]]) -> str:
    """Return bars of BLEU-4: ours with a dot for each seed, the paper's below."""
    row, left, scale = 34, 130, 4.2
    parts = [label(left, 14, "BLEU-4: this set (dots: seeds)", COLOURS[0])]
    parts.append(label(left + 230, 14, "PHOENIX-2014T, the paper", COLOURS[1]))
    for number, (name, variant) in enumerate(variants.items()):
        y, values = 26 + number * row, [record["bleu4"] for record in found[name]]
        parts.append(label(left - 8, y + 16, name, GREY, anchor="end"))
        if values:
            parts.append(bar(left, y, statistics.fmean(values) * scale, COLOURS[0]))
            parts += [dot(left + value * scale, y + 5) for value in values]
        else:
            parts.append(label(left, y + 9, NOT_RUN, GREY))
        parts.append(bar(left, y + 12, variant["paper"] * scale, COLOURS[1]))
    return svg(parts, width=left + int(100 * scale) + 20, height=30 + len(variants) * row)


def norms(log: Sequence[Mapping[str, Any]]) -> str:
    """Return the gradient norms of the last layers of language model and encoder in joint training."""
    rows = [row for row in log if "grad_norms" in row]
    names = ("llm_last_layer", "encoder_last_layer")
    # The first norms are a hundred times the last.
    exponents = {name: [math.log10(max(row["grad_norms"][name], 1e-9)) for row in rows] for name in names}
    low, high = math.floor(min(map(min, exponents.values()))), math.ceil(max(map(max, exponents.values())))
    left, top, width, height, last = 50, 40, 480, 170, max(row["step"] for row in rows)

    def y(exponent: float) -> float:
        return top + height * (high - exponent) / max(1, high - low)

    parts = [label(left, 14, f"gradient norm in {last} steps of joint training", GREY)]
    for exponent in range(low, high + 1):
        parts.append(label(left - 6, y(exponent) + 4, f"{10.0**exponent:g}", GREY, anchor="end"))
        parts.append(
            f'<path d="M{left} {y(exponent):.1f}h{width}" fill="none" stroke="{GREY}" opacity="0.4"/>'
        )
    titles = ("language model, last layer", "encoder, last layer")
    for number, (name, colour) in enumerate(zip(names, COLOURS, strict=True)):
        points = [
            f"{left + width * row['step'] / last:.1f},{y(exponent):.1f}"
            for row, exponent in zip(rows, exponents[name], strict=True)
        ]
        parts.append(f'<polyline fill="none" stroke="{colour}" points="{" ".join(points)}"/>')
        parts.append(label(left + 200 * number, 30, titles[number], colour))
    return svg(parts, width=left + width + 20, height=top + height + 15)


def svg(parts: Sequence[str], *, width: int, height: int) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12">\n{body}\n</svg>\n'
    )


def label(x: float, y: float, text: str, colour: str, *, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" fill="{colour}" text-anchor="{anchor}">{text}</text>'


def bar(x: float, y: float, width: float, colour: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{width:.1f}" height="10" fill="{colour}"/>'


def dot(x: float, y: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y}" r="3" fill="{GREY}" stroke="white"/>'
