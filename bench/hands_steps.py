"""Steps of a long measurement: each is timed, recorded, and skipped once it is done."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fla_llm.core.errors import RunError
from fla_llm.core.files import read_json, write_json

Call = Callable[..., object]


def call_fla(*arguments: str | Path) -> None:
    """Run ``fla`` in a process of its own, and show its messages."""
    # A process for each command, as a user runs them: no step profits from what another loaded.
    subprocess.run([Path(sys.executable).with_name("fla"), *map(str, arguments)], check=True)


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Finished steps of a folder, in ``steps/NAME.json``."""

    folder: Path
    fla: Call = call_fla
    """Run a command of ``fla``."""

    def command(
        self, name: str, *arguments: str | Path, settings: Any = None, resume: Path | None = None
    ) -> None:
        """Run ``fla ARGUMENTS`` unless this step is done.

        Args:
            name: name of the step.
            arguments: command and options.
            settings: content of the file of ``--config``, as part of the recipe.
            resume: run directory of a command with ``--resume``, begun by an interrupted call.

        Raises:
            RunError: the step was done with other arguments or settings.
        """
        resumed = resume is not None and resume.exists()
        more = ["--resume"] if resumed else []
        recipe = {"arguments": [str(argument) for argument in arguments], "settings": settings}
        self.work(name, recipe, lambda: self.fla(*arguments, *more), resumed=resumed)

    def work(self, name: str, recipe: Any, do: Callable[[], object], *, resumed: bool = False) -> None:
        """Call ``do`` unless this step is done. ``recipe`` is all that decides the result.

        Raises:
            RunError: the step was done with another recipe.
        """
        file = self.folder / "steps" / f"{name}.json"
        recipe = json.loads(json.dumps(recipe))
        if file.is_file():
            if read_json(file)["recipe"] != recipe:
                raise RunError(
                    f"Step {name} of {self.folder} must be resumed as it was done, but {file} holds other "
                    "arguments or settings.\nGive another --out, or delete the folder."
                )
            return
        load, wall, cpu = os.getloadavg()[0], time.monotonic(), _cpu_seconds()
        do()
        record = {
            "recipe": recipe,
            "seconds": round(time.monotonic() - wall, 1),
            "cpu_seconds": round(_cpu_seconds() - cpu, 1),
            "load_average": [round(load, 1), round(os.getloadavg()[0], 1)],
            # An interrupted part is not in the seconds.
            "resumed": resumed,
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, record)

    def records(self) -> dict[str, dict[str, Any]]:
        """Return the records of the finished steps in the order of their end."""
        files = sorted((self.folder / "steps").glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
        return {file.stem: read_json(file) for file in files}


def _cpu_seconds() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in usage)
