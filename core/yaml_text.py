"""YAML as settings are written in it: a key that stands twice in one group is refused."""

from typing import Any

import yaml

# Besides its own errors PyYAML raises these: on the date 2024-13-01, and on a hundred nested brackets.
YAML_FAULTS = (yaml.YAMLError, ValueError, RecursionError)


class _Loader(yaml.SafeLoader):
    """The safe loader, which would let the last of two equal keys win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a group of settings."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                problem = f"the key {key!r} must stand once, but stands here more than once"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:
    """Return what YAML text holds, in plain Python values.

    Raises:
        YAMLError: the text is not YAML, or a key stands twice.
        ValueError: a date or number is out of range.
        RecursionError: the text nests too deep.
    """
    return yaml.load(text, Loader=_Loader)
