"""One of the processes that train a toy, together or alone; a test starts it with these globals set.

With ``STRIKE`` it is killed at that operation on files, counted from 0; their names go to ``OPERATIONS``.
"""

import gc
import json
import os
import runpy
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from fla_llm.training import checkpoints

CALLS = ("mkdir", "fsync", "rename", "unlink", "rmdir")


def fit(**settings: Any) -> None:
    parts: dict[str, tuple[str, dict[str, Any]]] = globals()["PARTS"]
    toy = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
    made = {name: toy[kind](**own) for name, (kind, own) in parts.items()}
    toy["toy_fit"](globals()["FOLDER"], **made, **settings)


def fit_struck(at: int, **settings: Any) -> None:
    operations: list[str] = []

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any, **options: Any) -> Any:
            if len(operations) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            operations.append(name)
            return call(*args, **options)

        return act

    calls = {name: watched(name, getattr(os, name)) for name in CALLS}
    weights = watched("weights", checkpoints.save_file)
    states = watched("states", torch.save)
    with (
        patch.multiple(os, **calls),
        patch.object(torch, "save", states),
        patch.object(checkpoints, "save_file", weights),
    ):
        fit(**settings)
    Path(globals()["OPERATIONS"]).write_text(json.dumps(operations))


if __name__ == "__main__":
    gc.freeze()  # a fit collects garbage, and would look at all that was imported
    os.environ |= globals()["ENVIRONMENT"]
    if (strike := globals().get("STRIKE")) is None:
        fit(**globals()["SETTINGS"])
    else:
        fit_struck(strike, **globals()["SETTINGS"])
