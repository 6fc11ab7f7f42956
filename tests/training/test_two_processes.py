"""Two processes on the CPU, as torchrun starts them: the law of resuming, and each clip translated once."""

import multiprocessing
import runpy
import socket
from pathlib import Path

import torch
from torch import Tensor

from fla_llm.training.checkpoints import finished_steps, last_checkpoint, load_weights

SCRIPT = Path(__file__).with_name("two_processes.py")
# The server imports everything once (seconds) and forks the workers from there.
CONTEXT = multiprocessing.get_context("forkserver")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def train(folder: Path, how: str = "") -> list[int | None]:
    CONTEXT.set_forkserver_preload(["fla_llm.training.fit"])
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    workers = []
    for rank in "01":
        environment = common | {"RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"}
        given = {"FOLDER": folder, "HOW": how, "ENVIRONMENT": environment}
        workers.append(CONTEXT.Process(target=runpy.run_path, args=(str(SCRIPT), given, "__main__")))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    return [worker.exitcode for worker in workers]


def last_weights(run: Path) -> dict[str, Tensor]:
    folder = last_checkpoint(run / "checkpoints")
    assert folder is not None
    return load_weights(folder)


def test_two_processes_killed_inside_epoch_two_and_resumed_give_the_weights_of_a_run_never_killed(
    tmp_path: Path,
) -> None:
    assert train(tmp_path / "whole") == [0, 0]
    assert 0 not in train(tmp_path / "killed", "fail")
    assert finished_steps(tmp_path / "killed" / "checkpoints")[-1] in {4, 5}  # epoch 2 is steps 4 to 6
    assert train(tmp_path / "killed", "resume") == [0, 0]
    whole, resumed = last_weights(tmp_path / "whole"), last_weights(tmp_path / "killed")
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
    assert (tmp_path / "whole/log.jsonl").read_text().count('"dev"') == 3
