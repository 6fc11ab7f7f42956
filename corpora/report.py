"""Report of ``fla prepare``: counts beside the official counts, and all rejected rows."""

from collections import Counter
from dataclasses import asdict
from typing import Any

from ..core.sample import SPLITS
from .prepare import Prepared
from .release import Rejected

SHOWN_PER_REASON = 20


def describe(prepared: Prepared) -> dict[str, Any]:
    """Return the report for programs, with all rejected rows."""
    counts = prepared.manifest.counts
    return {
        "corpus": prepared.manifest.corpus,
        "root": str(prepared.manifest.root),
        "splits": {
            split: {
                "usable": counts[split],
                "annotated": prepared.annotated.get(split),
                "official": prepared.official[split] if prepared.official else None,
            }
            for split in SPLITS
        },
        "has_faults": prepared.has_faults,
        "empty_splits": list(prepared.empty_splits),
        "rejected": [asdict(row) for row in prepared.rejected],
        "notes": list(prepared.notes),
    }


def report(prepared: Prepared) -> str:
    """Return the report for people, with the first 20 rejected rows of each reason."""
    root = f"root of video paths: {prepared.manifest.root}"
    parts = [_counts(prepared), root, _rejections(prepared.rejected), *(f"note: {n}" for n in prepared.notes)]
    parts += [f"fault: {split} is annotated, but has no usable row" for split in prepared.empty_splits]
    return "\n".join(part for part in parts if part)


def _counts(prepared: Prepared) -> str:
    header = f"{prepared.manifest.corpus:<12}{'usable':>9}{'annotated':>11}{'official':>10}"
    lines = [
        f"{split:<12}{prepared.manifest.counts[split]:>9}"
        f"{_or_dash(prepared.annotated.get(split)):>11}"
        f"{_or_dash(prepared.official[split] if prepared.official else None):>10}"
        for split in SPLITS
    ]
    return "\n".join([header, *lines])


def _or_dash(count: int | None) -> str:
    return "-" if count is None else str(count)


def _rejections(rejected: tuple[Rejected, ...]) -> str:
    if not rejected:
        return "no row rejected"
    faults = sum(row.fault for row in rejected)
    lines = [f"{len(rejected)} rows rejected: {faults} faults, {len(rejected) - faults} known gaps"]
    for reason, count in Counter(row.reason for row in rejected).most_common():
        rows = [row for row in rejected if row.reason == reason]
        lines.append(f"  {reason} ({count})")
        lines += [f"    {row.split}  {row.id}  {row.detail}".rstrip() for row in rows[:SHOWN_PER_REASON]]
        if count > SHOWN_PER_REASON:
            lines.append(f"    and {count - SHOWN_PER_REASON} more")
    return "\n".join(lines)
