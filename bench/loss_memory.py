"""Loss of stage two compared with ``model(labels=...)``: tensor bytes and time.

    python bench/loss_memory.py

A Llama of two layers and width 64 in fp32, so that the head is nearly all there is. Two batches: every
position labelled, and a long prefix (clip and prompt) before a short sentence. Ours is the code of
``fla tune``: the decoder runs, then the cross-entropy in chunks at labelled positions.

Bytes: every tensor made during forward and backward is counted from its making until it is freed (by storage,
through a dispatch mode); the peak is taken. The model's own weights and the inputs are not counted. Time:
forward and backward without counting, both ways taken in turns.
"""

import argparse
import json
import os
import statistics
import time
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import LlamaConfig, LlamaForCausalLM

from fla_llm.llm.loss import head_of, summed_cross_entropy

VOCABULARY = 128_256  # Llama 3
IGNORED = -100
BATCHES = {"all labelled": (4, 0, 256), "prefix-heavy": (4, 192, 64)}
"""Name -> clips, positions of the prefix, positions of the sentence."""
Step = Callable[[], Tensor]


class PeakBytes(TorchDispatchMode):
    """Counter of the bytes of live storages made inside the block, and of the peak."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {_key(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and _key(leaf) not in given | self.alive.keys():
                self._count(leaf)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        self.alive[_key(tensor)] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, _key(tensor))

    def _forget(self, key: int) -> None:
        self.now -= self.alive.pop(key)


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = make_model()
    print(json.dumps({"threads": torch.get_num_threads(), "load_average": os.getloadavg()}))
    print("| batch | way | peak MiB | seconds (median, range) |")
    print("|---|---|---|---|")
    for name, (clips, prefix, sentence) in BATCHES.items():
        embeds = torch.randn(clips, prefix + sentence, 64, requires_grad=True)
        labels = torch.randint(0, VOCABULARY, (clips, prefix + sentence))
        labels[:, :prefix] = IGNORED
        ways = {"model(labels=...)": own(model, embeds, labels), "fla tune": ours(model, embeds, labels)}
        check_equal(*ways.values(), embeds)
        for way, (peak, seconds) in measure(ways, repeats=arguments.repeats).items():
            middle, low, high = statistics.median(seconds), min(seconds), max(seconds)
            print(
                f"| {name} | {way} | {peak / 2**20:.0f} | {middle:.2f} ({low:.2f} to {high:.2f}) |",
                flush=True,
            )


def make_model() -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    return LlamaForCausalLM(config).requires_grad_(False)


def own(model: LlamaForCausalLM, embeds: Tensor, labels: Tensor) -> Step:
    return lambda: model(inputs_embeds=embeds, labels=labels, use_cache=False).loss


def ours(model: LlamaForCausalLM, embeds: Tensor, labels: Tensor) -> Step:
    told = labels[:, 1:] != IGNORED  # a token is told from the position before it
    targets = labels[:, 1:][told]

    def step() -> Tensor:
        states = model.get_decoder()(inputs_embeds=embeds, use_cache=False).last_hidden_state[:, :-1][told]
        total = summed_cross_entropy(states, targets, head=head_of(model), label_smoothing=0.0)
        return total / len(targets)

    return step


def check_equal(one: Step, other: Step, embeds: Tensor) -> None:
    losses = [one(), other()]
    gradients = [torch.autograd.grad(loss, embeds)[0] for loss in losses]
    torch.testing.assert_close(losses[0], losses[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-7, rtol=1e-4)


def measure(ways: dict[str, Step], *, repeats: int) -> dict[str, tuple[int, list[float]]]:
    """Return the peak bytes and the seconds of each way, measured in turns."""
    peaks: dict[str, int] = {}
    for way, step in ways.items():
        with PeakBytes() as counter:
            step().backward()
        peaks[way] = counter.peak
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, step in ways.items():
            start = time.perf_counter()
            step().backward()
            seconds[way].append(time.perf_counter() - start)
    return {way: (peaks[way], seconds[way]) for way in ways}


if __name__ == "__main__":
    main()
