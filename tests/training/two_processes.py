"""One of two processes that train the toy together; the test starts it with these globals set."""

import os
import runpy
from pathlib import Path

if __name__ == "__main__":
    folder: Path = globals()["FOLDER"]
    how: str = globals()["HOW"]
    os.environ |= globals()["ENVIRONMENT"]  # as torchrun sets it
    toy = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
    items = toy["ToyItems"](23, fail_at=(5, 1) if how == "fail" else None)
    model = toy["ToyModel"](seed=99 if how == "resume" else 0)
    toy["toy_fit"](
        folder, model=model, items=items, dev=toy["ToyItems"](7), resume=how == "resume", save_every_steps=1
    )
