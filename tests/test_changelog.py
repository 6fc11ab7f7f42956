"""The newest version in CHANGELOG.md is the one that pyproject.toml gives out."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_changelog_starts_with_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest is not None
    assert newest.group(1) == version
