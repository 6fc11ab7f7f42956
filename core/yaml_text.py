"""YAML for settings, without duplicate keys."""

from typing import Any

import yaml

# Besides its own errors PyYAML raises these: on the date 2024-13-01, and on a hundred nested brackets.
YAML_FAULTS = (yaml.YAMLError, ValueError, RecursionError)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with an error for duplicate keys. PyYAML itself keeps the last value silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a group of settings."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                problem = f"the key {key!r} must stand once, but stands here more than once"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:
    """Return the content of YAML text as plain Python values.

    Raises:
        YAMLError: the text is not YAML, or a group has duplicate keys.
        ValueError: a date or number is out of range.
        RecursionError: groups or lists are nested too deeply.
    """
    return yaml.load(text, Loader=_Loader)
