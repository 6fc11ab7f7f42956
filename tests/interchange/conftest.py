"""Small caches to export and import."""

import runpy
from pathlib import Path
from typing import Any

import pytest

Maker: Any = runpy.run_path(str(Path(__file__).parents[1] / "cache" / "conftest.py"))["Maker"]


@pytest.fixture
def maker(tmp_path: Path) -> Any:
    return Maker(tmp_path / "cache")
