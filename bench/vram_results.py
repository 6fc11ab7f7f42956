"""What bench/vram.py has measured so far: a file of JSON lines, beside what `fla plan` foretells."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from vram_plan import Batches, Foretold, foretell

from fla_llm.core.files import read_jsonl
from fla_llm.planning.memory import GB

WEIGHTS_SHARE = 0.01
TOTAL_SHARE, TOTAL_BYTES = 0.10, 300 * 2**20
"""How far a plan may be off: the weights by a share, the total by the larger of the two."""
HEADER = (
    "model", "card", "corpus", "weights foretold", "measured", "off by", "total foretold", "measured",
    "off by", "reserved", "within", "fits: foretold", "measured", "s a step", "tokens/s",
)  # fmt: skip
NONE = "not measured"
Row = dict[str, Any]


class Results:
    """The rows of a file: cells that were measured, and CUDA's context on each kind of GPU."""

    def __init__(self, path: Path | None) -> None:
        """Read what is there; no file, or one that does not exist, holds nothing."""
        rows = read_jsonl(path) if path is not None and path.is_file() else []
        self.contexts: dict[str, Row] = {row["device_name"]: row for row in rows if "context" in row}
        self.cells: list[Row] = [row for row in rows if "context" not in row]

    def find(self, **wanted: Any) -> Row | None:
        """Return the last cell with these entries."""
        found = (row for row in reversed(self.cells) if all(row[key] == wanted[key] for key in wanted))
        return next(found, None)

    def total_bytes(self, cell: Row) -> int | None:
        """Return the largest peak of a cell with what CUDA took besides; None where it did not end."""
        if cell["stage"] != "done":
            return None
        peak = max(*cell["training_bytes"].values(), *cell["generation_bytes"].values())
        context = self.contexts.get(cell["device_name"], {"bare_bytes": 0})
        return peak + context["bare_bytes"] + cell.get("outside_bytes", 0)

    def fits(self, model: str, card_gb: int, corpus: str) -> bool | None:
        """Return whether a real model fits into a card, as measured on it.

        What fitted into a smaller card fits into it too, and what did not fit into a larger one does not.
        """
        own = {"model": model, "corpus": corpus, "tiny": False}
        cells = [
            row for row in self.cells if row["device"] != "cpu" and all(row[key] == own[key] for key in own)
        ]
        if any(row["fits"] and row["card_gb"] <= card_gb for row in cells):
            return True
        return False if any(not row["fits"] and row["card_gb"] >= card_gb for row in cells) else None


def foretold_of(cell: Row) -> Foretold:
    """Return what the plan says of a measured cell's batches, by the code as it is now."""
    batches = {length: Batches.from_dict(both) for length, both in cell["batches"].items()}
    dtype = getattr(torch, cell["dtype"])
    return foretell(cell["model"], batches, dtype=dtype, small=cell["tiny"])


def table(cells: Iterable[tuple[Row, Foretold]], results: Results) -> Iterator[str]:
    """Yield a Markdown table; a row without measurements has the batches only."""
    yield _line(HEADER)
    yield _line(["---"] * len(HEADER))
    for cell, plan in cells:
        yield _line([cell["model"], f"{cell['card_gb']} GB", cell["corpus"], *_figures(cell, plan, results)])


def _figures(cell: Row, plan: Foretold, results: Results) -> list[str]:
    fits = plan.bytes <= cell["card_gb"] * GB
    if "fits" not in cell:
        weights, total, speed = [_gb(plan.weights_bytes), NONE, ""], [_gb(plan.bytes), NONE, "", ""], ["", ""]
        return [*weights, *total, NONE, _yes(fits), NONE, *speed]
    weights, total = cell.get("weights_bytes"), results.total_bytes(cell)
    right = [
        weights is None or abs(plan.weights_bytes - weights) <= WEIGHTS_SHARE * weights,
        total is None or abs(plan.bytes - total) <= max(TOTAL_SHARE * total, TOTAL_BYTES),
        fits == cell["fits"],
    ]
    within = "rehearsal" if cell["tiny"] else _yes(all(right))  # a small model is mostly context and slack
    stopped = "" if cell["fits"] else f" (stopped: {cell['stage']})"
    return [
        _gb(plan.weights_bytes), _gb(weights), _off(plan.weights_bytes, weights),
        _gb(plan.bytes), _gb(total), _off(plan.bytes, total), _gb(cell.get("reserved_bytes")),
        within, _yes(fits), _yes(cell["fits"]) + stopped, *_speed(cell),
    ]  # fmt: skip


def _speed(cell: Row) -> list[str]:
    """Return seconds a step and tokens a second of the longest batches, the first step left out."""
    seconds = sorted(cell.get("step_seconds", {}).get("longest", [])[1:])
    if not seconds:
        return ["", ""]
    batch = Batches.from_dict(cell["batches"]["longest"]).train
    median = seconds[len(seconds) // 2]
    return [f"{median:.2f}", f"{batch.clips * batch.whole / median:.0f}"]


def _gb(size: int | None) -> str:
    return "" if size is None else f"{size / GB:.2f} GB"


def _off(foretold: int, measured: int | None) -> str:
    return "" if measured is None else f"{(foretold - measured) / measured:+.1%}"


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
