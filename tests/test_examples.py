"""Every example in a docstring is true."""

import doctest
import importlib
import pkgutil

import pytest

import fla_llm

NAMES = [
    module.name
    for module in pkgutil.walk_packages(fla_llm.__path__, "fla_llm.")
    if not module.name.startswith("fla_llm.tests") and not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", NAMES)
def test_docstring_examples(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0
