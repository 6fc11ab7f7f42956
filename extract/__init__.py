"""Extraction: the frozen encoder runs once over every video and leaves a feature cache.

Needs torch for everything but its settings, so nothing is imported here: import the module you need.
"""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """The room under the name of the command: ``fla_llm.extract(...)`` is :func:`.request.extract_videos`."""

    # The import system puts this module where a function of the same name would be.
    def __call__(self, *args: Any, **options: Any) -> Any:
        from .request import extract_videos

        return extract_videos(*args, **options)


sys.modules[__name__].__class__ = _Callable
