"""Every guide has one complete example that runs, and shows changes of lines that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fla_llm.corpora import prepare
from fla_llm.scoring import protocols

ROOT = Path(__file__).parents[1]
GUIDES = sorted((ROOT / "docs/guides").glob("*.md"))
MAX_LINES = 60


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.S)


@pytest.fixture
def workplace(house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder as ``fla demo`` leaves it. What an example registers is gone after the test."""
    for name in ("manifest.jsonl", "cache", "llm"):
        (tmp_path / name).symlink_to(house / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prepare, "_READERS", dict(prepare._READERS))
    before = dict(protocols.PROTOCOLS)
    yield
    for name in protocols.PROTOCOLS.keys() - before:
        del protocols.PROTOCOLS[name]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_the_example_is_short_and_runs(page: Path, workplace: None) -> None:
    (example,) = blocks(page, "python")
    code = [line for line in example.splitlines() if line.strip()]
    assert len(code) < MAX_LINES
    # As a module, so that dataclasses and docstrings find their names.
    exec(compile(example, page.name, "exec"), {"__name__": page.stem})


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_the_lines_to_change_are_there(page: Path) -> None:
    changes = "".join(blocks(page, "diff"))
    found = re.findall(r"(?m)^--- (\S+)\n((?:[ +-](?!-- ).*\n)+)", changes)
    assert found or page.stem == "stream"  # a stream needs no change
    for name, lines in found:
        text = (ROOT / name).read_text(encoding="utf-8")
        for line in lines.splitlines():
            assert line[0] == "+" or line[1:] in text, f"{name}: {line}"


def test_the_guides_are_all_on_the_site() -> None:
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    assert [page.stem for page in GUIDES] == ["corpus", "encoder", "metric", "projector", "stream"]
    assert all(f"guides/{page.stem}" in index for page in GUIDES)
