"""Report of ``fla prepare``: counts beside the official counts, overlap of splits, and all rejected rows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..core.sample import SPLITS
from .overlap import Overlap
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
        "overlaps": [asdict(overlap) for overlap in prepared.manifest.overlaps],
        "has_faults": prepared.has_faults,
        "empty_splits": list(prepared.empty_splits),
        "rejected": [asdict(row) for row in prepared.rejected],
        "notes": list(prepared.notes),
    }


def report(prepared: Prepared) -> str:
    """Return the report for people, with the first 20 rejected rows of each reason."""
    root = f"root of video paths: {prepared.manifest.root}"
    parts = [_counts(prepared), root, _overlaps(prepared.manifest.overlaps)]
    parts += [_rejections(prepared.rejected), *(f"note: {note}" for note in prepared.notes)]
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


def _overlaps(overlaps: Sequence[Overlap]) -> str:
    """Return the table of sentences and signers that splits share, or an empty text for a single split."""
    if not overlaps:
        return ""
    rows = [
        f"{f'{each.split} in {each.other}':<16}"
        f"{_share(each.sentences, each.clips):>16}"
        f"{_share(each.near_duplicates, each.clips):>18}"
        f"{f'{each.signers} of {each.all_signers}' if each.all_signers else 'unknown':>12}"
        for each in overlaps
    ]
    return "\n".join([f"{'shared':<16}{'sentences':>16}{'near-duplicates':>18}{'signers':>12}", *rows])


def _share(count: int, whole: int) -> str:
    return f"{count} ({count / whole:.1%})"


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
        # A corpus without media rejects thousands of rows for one reason.
        if count > SHOWN_PER_REASON:
            lines.append(f"    and {count - SHOWN_PER_REASON} more")
    return "\n".join(lines)
