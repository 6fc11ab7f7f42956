"""Conversion of nested mappings to settings dataclasses, with a list of all faults.

Two traps of YAML 1.1 are handled. ``1e-4`` is a string to PyYAML and becomes a number. ``no`` is False to
PyYAML, and the error for a text setting says to quote the word.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from .errors import ConfigError, did_you_mean
from .text import find_unstorable

C = TypeVar("C")
_FAULTY = object()
_QUOTE = " Quote it: YAML reads yes, no, on and off as true or false."
_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


class Builder:
    """Converter for one settings class, which collects the faults of all keys."""

    def __init__(self, cls: type) -> None:
        """Collect the keys of ``cls`` for suggestions."""
        self.faults: list[str] = []
        self._known = list(_dotted_keys(cls))

    def build(self, cls: type[C], mapping: Mapping[Any, Any], prefix: str = "") -> C:
        """Return an instance of ``cls``. The instance is valid only if ``faults`` stays empty."""
        hints = typing.get_type_hints(cls)
        names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]  # C is a dataclass
        for key, value in mapping.items():
            if key not in names:
                self._refuse_key(prefix, key, value)
        before = len(self.faults)
        values = {
            name: self._convert(mapping[name], hints[name], f"{prefix}{name}")
            for name in names
            if name in mapping
        }
        # __post_init__ may compare fields, and must not see a value that is a fault already.
        if len(self.faults) > before:
            return typing.cast(C, _FAULTY)
        if absent := [name for name in _required(cls) if name not in values]:
            place = f"'{prefix.rstrip('.')}'" if prefix else cls.__name__
            self.faults.append(f"{place} must have {', '.join(absent)}, but has none of these keys.")
            return typing.cast(C, _FAULTY)
        try:
            return cls(**values)
        except (TypeError, ValueError, ConfigError) as error:  # raised by __post_init__
            self.faults.append(f"{prefix.rstrip('.') or cls.__name__}: {error}")
            return typing.cast(C, _FAULTY)

    def _refuse_key(self, prefix: str, key: Any, value: Any) -> None:
        """Add a fault for an unknown key. An unknown group gives a fault for each key in the group."""
        if not isinstance(key, str):
            self._refuse_key_type(prefix.rstrip("."), key)
        elif isinstance(value, Mapping) and value:
            for inner, below in value.items():
                self._refuse_key(f"{prefix}{key}.", inner, below)
        else:
            self.faults.append(f"unknown key '{prefix}{key}'.{_nearest(f'{prefix}{key}', self._known)}")

    def _refuse_key_type(self, group: str, key: Any) -> None:
        place = f"'{group}' must have keys that are text" if group else "a key must be text"
        self.faults.append(f"{place}, but one is {key!r}.{_QUOTE if isinstance(key, bool) else ' Quote it.'}")

    def _convert(self, value: Any, hint: Any, key: str) -> Any:
        """Return ``value`` converted to the type ``hint``, or add a fault."""
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            if isinstance(value, Mapping):
                return self.build(hint, value, f"{key}.")
            return self._fault(key, "a group of settings", value)
        if origin in (Union, types.UnionType):
            if value is None and type(None) in arguments:
                return None
            return self._convert(value, next(a for a in arguments if a is not type(None)), key)
        if origin is Literal:
            # 1 == True to Python, so that types are compared too.
            if value in arguments and type(value) in {type(a) for a in arguments}:
                return value
            wanted = "one of " + ", ".join(map(str, arguments))
            return self._fault(key, wanted, value, did_you_mean(str(value), [str(a) for a in arguments]))
        if origin is tuple:
            return self._convert_tuple(value, arguments, key)
        if origin is dict:
            return self._convert_dict(value, arguments[1], key)
        return self._convert_plain(value, hint, key)

    def _convert_tuple(self, value: Any, arguments: tuple[Any, ...], key: str) -> Any:
        if not isinstance(value, (list, tuple)):
            return self._fault(key, "a list", value)
        repeated = len(arguments) == 2 and arguments[1] is Ellipsis
        if not repeated and len(value) != len(arguments):
            return self._fault(key, f"a list of {len(arguments)} values", value)
        hints: Iterable[Any] = [arguments[0]] * len(value) if repeated else arguments
        pairs = enumerate(zip(value, hints, strict=True))
        return tuple(self._convert(item, hint, f"{key}[{i}]") for i, (item, hint) in pairs)

    def _convert_dict(self, value: Any, hint: Any, key: str) -> Any:
        if not isinstance(value, Mapping):
            return self._fault(key, "a group of settings", value)
        for inner in value:
            if not isinstance(inner, str):
                self._refuse_key_type(key, inner)
        return {
            self._convert_plain(inner, str, key): self._convert(item, hint, f"{key}.{inner}")
            for inner, item in value.items()
            if isinstance(inner, str)
        }

    def _convert_plain(self, value: Any, hint: Any, key: str) -> Any:
        if hint in (str, Path) and isinstance(value, str):
            if found := find_unstorable(value):
                return self._fault(key, f"without {found}", value)
            return hint(value)
        # A bool is an int to Python, so that bools are excluded where numbers belong.
        if hint is str and isinstance(value, bool):
            return self._fault(key, "text", value, _QUOTE)
        if hint is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
            return self._convert_number(value, key)
        if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
            return value
        return self._fault(key, _NAMES.get(hint, getattr(hint, "__name__", str(hint))), value)

    def _convert_number(self, value: float | str, key: str) -> Any:
        try:
            number = float(value)
        except (ValueError, OverflowError):  # PyYAML reads 10 ** 400 as an int
            number = None
        if number is not None and math.isfinite(number):
            return number
        return self._fault(key, "a number" if number is None else "a finite number", value)

    def _fault(self, key: str, wanted: str, value: Any, hint: str = "") -> Any:
        self.faults.append(f"'{key}' must be {wanted}, but is {value!r}.{hint}")
        return _FAULTY


def _required(cls: type) -> list[str]:
    """Return the names of the fields without a default."""
    absent = dataclasses.MISSING
    fields = dataclasses.fields(cls)
    return [one.name for one in fields if one.default is absent and one.default_factory is absent]


def _dotted_keys(cls: type, prefix: str = "") -> Iterator[str]:
    """Yield the dotted key of every setting and group of a class."""
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        yield f"{prefix}{field.name}"
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from _dotted_keys(hint, f"{prefix}{field.name}.")


def _nearest(key: str, known: list[str]) -> str:
    """Return a suggestion: a known key with the same last part, else with similar spelling.

    >>> _nearest("rank", ["seed", "lora.rank"])
    " Did you mean 'lora.rank'?"
    """
    last = {name: name.rpartition(".")[2] for name in (key, *known)}
    same = [name for name in known if last[name] == last[key]]
    if len(same) == 1:
        return f" Did you mean '{same[0]}'?"
    if hint := did_you_mean(key, same) or did_you_mean(key, known):
        return hint
    return next((f" Did you mean '{name}'?" for name in known if did_you_mean(last[key], [last[name]])), "")
