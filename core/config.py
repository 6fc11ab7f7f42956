"""Strict loading of settings from dataclass defaults, YAML files, presets and ``--set a.b=c``."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from .errors import ConfigError, did_you_mean
from .files import atomic_write, read_text, visible
from .typed import Builder
from .yaml_text import YAML_FAULTS, parse_yaml

logger = logging.getLogger(__name__)

C = TypeVar("C")


def load_config(
    cls: type[C],
    *,
    base: C | None = None,
    presets: Path | None = None,
    source: str | None = None,
    overrides: Sequence[str] = (),
) -> C:
    """Return settings made of the defaults, then a YAML file, then single settings.

    For commands with presets, the key ``base`` of a file names a preset. The settings of the file replace the
    settings of the preset, group by group.

    Args:
        cls: a frozen, keyword-only dataclass. The fields may be dataclasses, and no field is named ``base``.
        base: settings to use in place of the defaults of ``cls``.
        presets: folder of the presets.
        source: a YAML file, or the name of a preset.
        overrides: settings such as ``training.epochs=3``. The value is read as YAML.

    Raises:
        ConfigError: a key is unknown, or a value has the wrong type or is out of range. The message lists all
            faults. Also raised when ``base`` names no preset, or presets name one another in a circle.
    """
    mapping: dict[str, Any] = {} if base is None else config_to_dict(base)
    origins: list[str] = []
    if source is not None:
        path = _find(source, presets)
        merge_settings(mapping, read_settings_file(path) if presets is None else _read_layers(path, presets))
        origins.append(str(path))
    for override in overrides:
        _apply(mapping, override)
    if overrides:
        origins.append("--set")
    config = config_from_dict(cls, mapping, origin=" and ".join(origins) or cls.__name__)
    logger.debug(f"settings from {' and '.join(origins) or 'the defaults'}: {config}")
    return config


def config_from_dict(cls: type[C], mapping: Mapping[str, Any], *, origin: str) -> C:
    """Return settings made from a nested mapping.

    Args:
        cls: the settings class.
        mapping: values by key.
        origin: name of the mapping's source, for errors.

    Raises:
        ConfigError: a key is unknown, or a value has the wrong type or is out of range.
    """
    builder = Builder(cls)
    config = builder.build(cls, mapping)
    if builder.faults:
        raise ConfigError(f"{origin}: " + "\n".join(builder.faults))
    return config


def config_to_dict(config: Any) -> dict[str, Any]:
    """Return settings as a nested dict of plain values. Tuples become lists."""
    return {name: _plain(value) for name, value in dataclasses.asdict(config).items()}


def write_config(config: Any, path: Path) -> None:
    """Write every setting, defaults included, as YAML."""
    with atomic_write(path) as temporary:
        text = yaml.safe_dump(config_to_dict(config), sort_keys=False, allow_unicode=True)
        temporary.write_text(text, encoding="utf-8")


def first_difference(
    old: Mapping[str, Any], new: Mapping[str, Any], *, prefix: str = ""
) -> tuple[str, Any, Any] | None:
    """Return (dotted key, old value, new value) of the first different setting, or None for equal settings.

    >>> first_difference({"a": {"b": 1}}, {"a": {"b": 2}})
    ('a.b', 1, 2)
    """
    return next(iter(differences(old, new, prefix=prefix)), None)


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], *, prefix: str = ""
) -> list[tuple[str, Any, Any]]:
    """Return (dotted key, old value, new value) of every different setting. None: the setting is absent.

    >>> differences({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 2, "c": 2}, "d": 4})
    [('a.b', 1, 2), ('d', 3, 4)]
    """
    found: list[tuple[str, Any, Any]] = []
    for name in [*old, *(key for key in new if key not in old)]:
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, prefix=f"{prefix}{name}.")
        elif before != after:
            found.append((f"{prefix}{name}", before, after))
    return found


def _find(source: str, presets: Path | None) -> Path:
    if Path(source).is_file():
        return Path(source)
    known = _names(presets) if presets else []
    if presets is not None and source in known:
        return presets / f"{source}.yaml"
    raise ConfigError(
        f"--config must be a YAML file or one of {', '.join(known) or 'no presets'}, but is {source!r}."
        + did_you_mean(source, known)
    )


def _names(presets: Path) -> list[str]:
    return [file.stem for file in visible(presets.glob("*.yaml"))]


def _read_layers(path: Path, presets: Path, *, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the settings of ``path`` merged over the preset that ``path`` names as ``base``.

    ``above`` lists the presets that name ``path``, to find circles.
    """
    upper, known = read_settings_file(path), _names(presets)
    if "base" not in upper:
        return upper
    name = upper.pop("base")
    if name not in known:
        raise ConfigError(
            f"{path}: 'base' must be one of {', '.join(known)}, but is {name!r}."
            + did_you_mean(str(name), known)
        )
    if name in above:
        raise ConfigError(
            f"{path}: 'base' must end at a preset without one, but goes round: {' > '.join((*above, name))}."
        )
    mapping = _read_layers(presets / f"{name}.yaml", presets, above=(*above, name))
    merge_settings(mapping, upper)
    return mapping


def read_settings_file(path: Path) -> dict[str, Any]:
    """Return the settings in a YAML file, unchecked.

    Raises:
        ConfigError: the file is not YAML, or does not hold settings.
        DataError: the file cannot be read.
    """
    try:
        content = parse_yaml(read_text(path))
    except YAML_FAULTS as error:
        raise ConfigError(f"{path} must be YAML, but is not: {error}") from error
    if content is not None and not isinstance(content, dict):
        raise ConfigError(f"{path} must hold settings (key: value), but holds {type(content).__name__}.")
    return content or {}


def merge_settings(mapping: dict[str, Any], newer: Mapping[str, Any]) -> None:
    """Replace values of ``mapping`` by those of ``newer``, group by group."""
    for key, value in newer.items():
        if isinstance(value, Mapping) and isinstance(mapping.get(key), dict):
            merge_settings(mapping[key], value)  # groups are merged key by key, lists are replaced whole
        else:
            mapping[key] = value


def _apply(mapping: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set must look like a.b=c, but is {override!r}.")
    *parents, last = key.split(".")
    for parent in parents:
        child = mapping.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {override}: '{parent}' is one value, not a group of settings.")
        mapping = child
    try:
        # YAML gives the types: 3 is a number, true a truth value, and [1, 2] a list.
        mapping[last] = parse_yaml(value)
    except YAML_FAULTS as error:
        raise ConfigError(f"--set {override}: the value must be YAML, but is not.") from error


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
