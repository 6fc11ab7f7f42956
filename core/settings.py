"""Tables of settings, made from the fields of a settings class and the docstrings of the fields."""

import ast
import dataclasses
import inspect
import textwrap
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union

_KINDS: dict[Any, str] = {
    bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A setting of a command."""

    key: str
    """Dotted key, as in ``--set``."""
    kind: str
    """Accepted values, in words: ``whole number or null``."""
    value: Any
    """Value in the settings object. The default, for an object of defaults."""
    meaning: str
    """Docstring of the field, on a single line."""


def settings_of(config: Any, *, prefix: str = "") -> Iterator[Setting]:
    """Yield every setting of a settings object, including settings in groups, in the order of the class.

    Args:
        config: an instance of a settings dataclass.
        prefix: dotted prefix of the keys, ending in a dot.
    """
    hints, meanings = typing.get_type_hints(type(config)), field_docstrings(type(config))
    for field in dataclasses.fields(config):
        value, key = getattr(config, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from settings_of(value, prefix=f"{key}.")
        else:
            meaning = meanings.get(field.name, "")
            yield Setting(key=key, kind=describe_type(hints[field.name]), value=value, meaning=meaning)


@cache
def field_docstrings(cls: type) -> dict[str, str]:
    """Return field name -> docstring below the field, of a dataclass and its bases.

    >>> field_docstrings(Setting)["key"]
    'Dotted key, as in ``--set``.'
    """
    found: dict[str, str] = {}
    for base in reversed([one for one in cls.__mro__ if dataclasses.is_dataclass(one)]):
        # Python keeps no docstrings of attributes: only the source has them.
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        found |= dict(_documented(definition.body))
    return found


def describe_type(hint: Any) -> str:
    """Return the values that a type annotation accepts, in words.

    >>> describe_type(int | None)
    'whole number or null'
    >>> describe_type(Literal["best", "last"])
    'best or last'
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if one is type(None) else describe_type(one) for one in arguments)
    if origin is Literal:
        *first, last = map(str, arguments)
        return " or ".join(filter(None, [", ".join(first), last]))
    if origin is tuple:
        return f"list of: {describe_type(arguments[0])}"
    if origin is dict:
        return f"group of: {describe_type(arguments[1])}"
    return _KINDS.get(hint, getattr(hint, "__name__", str(hint)))


def _documented(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for statement, following in zip(body, body[1:], strict=False):
        match statement, following:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, " ".join(text.split())
