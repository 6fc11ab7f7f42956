"""One of the processes that tune together, or the only one; a test starts it with these globals set.

With ``KILLED_AT`` the first of them is killed before that batch, counted from 0.
"""

import gc
import os
import signal
from itertools import count
from typing import Any
from unittest.mock import patch

import torch

from fla_llm.finetune.train import tune
from fla_llm.training.trainer import StageTrainer

if __name__ == "__main__":
    gc.freeze()  # a training collects garbage, and would look at all that was imported
    torch.set_num_threads(1)
    os.environ |= globals()["ENVIRONMENT"]
    killed_at: int | None = globals().get("KILLED_AT")
    step, numbers = StageTrainer.training_step, count()

    def watched(self: StageTrainer, *args: Any, **options: Any) -> torch.Tensor:
        if next(numbers) == killed_at and self.args.process_index == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, *args, **options)

    with patch.object(StageTrainer, "training_step", watched):
        tune(**globals()["SETTINGS"], device="cpu")
