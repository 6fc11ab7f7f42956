"""Runs of both stages with scores and controls, and readers of a page."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import Result

Fla = Callable[..., Result]


@dataclass
class Cell:
    """A table cell that shows a figure."""

    run: str
    evaluation: str
    protocol: str
    column: str
    value: str
    text: str = ""


@dataclass
class Page(HTMLParser):
    """What a browser or a reader finds on a page."""

    cells: list[Cell] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    """Values of all attributes that can load something."""
    handlers: list[str] = field(default_factory=list)
    without_alt: int = 0
    missing: dict[tuple[str, str], str] = field(default_factory=dict)
    """(run, split) -> the whole text of the row of missing clips."""
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._row: dict[str, str | None] = {}
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.links += [
            given[name] or "" for name in ("src", "href", "srcset", "data", "action") if name in given
        ]
        self.handlers += [name for name in given if name.startswith("on")]
        self.without_alt += tag == "img" and not given.get("alt")
        if tag == "tr":
            self._row = given
        self._in_cell = tag == "td" and "data-column" in given
        if self._in_cell:
            place = {name: str(self._row[f"data-{name}"]) for name in ("run", "evaluation", "protocol")}
            self.cells.append(Cell(**place, column=str(given["data-column"]), value=str(given["data-value"])))

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag != "td"

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_cell:
            self.cells[-1].text += data.strip()
        if "data-missing" in self._row:
            key = (str(self._row["data-run"]), str(self._row["data-missing"]))
            self.missing[key] = self.missing.get(key, "") + data


@pytest.fixture(scope="session")
def read_page() -> Callable[[str], Page]:
    """Return a function that takes a page apart."""

    def read(html: str) -> Page:
        page = Page()
        page.feed(html)
        return page

    return read


@pytest.fixture(scope="session")
def scored(run_fla: Fla, house: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of both runs, each with the scores of test and of the shuffled control."""
    folder = tmp_path_factory.mktemp("scored")
    sources = {"stage1": ("--manifest", house / "manifest.jsonl"), "stage2": ("--features", house / "cache")}
    for name, source in sources.items():
        run = shutil.copytree(house / name, folder / name)
        for old in (*run.glob("scores.json"), *run.glob("predictions-test*")):
            old.unlink()
        run_fla("evaluate", run, *source)
        run_fla("evaluate", run, *source, "--shuffle-features")
        give_words(run / "predictions-dev.jsonl")
    return folder


def give_words(predictions: Path) -> None:
    """Give each clip a translation of some words of its reference: these tiny runs often say nothing."""
    rows = [json.loads(line) for line in predictions.read_text().splitlines()]
    for number, row in enumerate(rows, 1):
        row["prediction"] = " ".join(row["reference"].split()[:number])
    predictions.write_text("".join(json.dumps(row) + "\n" for row in rows))
