"""A system without POSIX locks is told so at the first import."""

import importlib
import sys

import pytest

import fla_llm


def test_windows_is_one_sentence_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)  # as on Windows: the import fails
    with pytest.raises(ImportError, match="fla needs a POSIX system, .*\nOn Windows run it inside WSL 2"):
        importlib.reload(fla_llm)
    monkeypatch.undo()
    assert importlib.reload(fla_llm) is fla_llm
