"""What a layer keeps: shapes alone give what a real step gives."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.functional import linear

from fla_llm.llm.config import LoraSettings
from fla_llm.llm.loss import Head, summed_cross_entropy
from fla_llm.planning.layer_memory import UnmeasurableError, measure_tower, run_step
from fla_llm.planning.layer_model import trained_model
from fla_llm.planning.live_bytes import LiveBytes, shapes_only, without_memory
from fla_llm.planning.skeleton import read_config, shortened
from fla_llm.planning.training_memory import CAP_BYTES, LOSS_BYTES

Folder = Callable[[str], Path]
LORA = LoraSettings(rank=4, alpha=8, dropout=0.1)  # without dropout that of the fixture: measured once
BF16 = {"dtype": torch.bfloat16, "lora": LORA}


@pytest.mark.parametrize(("shape", "part"), [("llama", "decoder"), ("t5", "encoder")])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_shapes_alone_take_what_a_real_step_takes(
    shape: str, part: str, checkpointing: bool, llm_folder: Folder
) -> None:
    config = shortened(read_config(str(llm_folder(shape))), encoder=2, decoder=2, positions=64)
    settings = {**BF16, "quantise": "none", "checkpointing": checkpointing}
    lengths = {"source": 48, "target": 8, "dtype": torch.bfloat16}
    drawn = trained_model(config, **settings)
    with shapes_only():
        foretold = run_step(without_memory(drawn), part, **lengths)
    real = without_memory(trained_model(config, **settings))  # outside of shapes_only: with memory
    for tensor in (*real.parameters(), *real.buffers()):
        torch.nn.init.ones_(tensor.data)
    # A few index tensors, of 512 bytes each at these sizes, are made only where shapes stand alone.
    assert run_step(real, part, **lengths) == pytest.approx(foretold, rel=0.05)


def test_hooks_on_saved_tensors_see_no_more_than_is_counted() -> None:
    x, w = torch.ones(8, 16, requires_grad=True), torch.ones(16, 16)
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    with LiveBytes([x, w]) as live, torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        total = linear(x, w).sigmoid().exp().sum()
    known = {x.untyped_storage()._cdata, w.untyped_storage()._cdata}
    assert total.requires_grad  # and is alive: one grain
    assert live.now() == sum(size for key, size in saved.items() if key not in known) + 512


def test_checkpointing_keeps_less_and_packed_layers_differ(llm_folder: Folder) -> None:
    config = read_config(str(llm_folder("llama")))
    whole, again = (
        measure_tower(config, "decoder", quantise="nf4", checkpointing=on, **BF16) for on in (False, True)
    )
    assert again.layer(100) < whole.layer(100) / 4
    assert again.layer(100) == pytest.approx(2 * 100 * config.hidden_size, rel=0.01)  # its input, in bf16
    assert again.working(100) > whole.working(100)


def test_dropout_costs_copies(llm_folder: Folder) -> None:
    config = read_config(str(llm_folder("llama")))
    settings = {"quantise": "nf4", "dtype": torch.bfloat16, "checkpointing": False}
    with_dropout, without = (
        measure_tower(config, "decoder", lora=replace(LORA, dropout=share), **settings)
        for share in (0.1, 0.0)
    )
    assert with_dropout.layer(100) > without.layer(100)


@pytest.mark.parametrize("cap", [None, 30.0])
@pytest.mark.parametrize("tokens", [256, 600])
def test_the_loss_takes_what_the_plan_says_of_each_logit(cap: float | None, tokens: int) -> None:
    words = 4096
    with shapes_only():
        linear = torch.nn.Linear(8, words, bias=False, dtype=torch.bfloat16).requires_grad_(False)
        states = torch.empty(tokens, 8, dtype=torch.bfloat16)
        targets = torch.zeros(tokens, dtype=torch.long)
        states.requires_grad_()
        with LiveBytes([linear.weight, states, targets]) as live:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = summed_cross_entropy(
                    states, targets, head=Head(linear=linear, cap=cap), label_smoothing=0.1
                )
            loss.backward()
    each = LOSS_BYTES + (CAP_BYTES if cap else 0)
    assert live.peak / (256 * words) == pytest.approx(each, rel=0.02)


def test_a_layer_that_depends_on_numbers_is_a_sentence(
    llm_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fla_llm.planning.layer_memory._states", lambda *_, mask, **__: mask.sum().item())
    config = read_config(str(llm_folder("qwen3")))
    with pytest.raises(UnmeasurableError, match="Memory of a qwen3 cannot be foretold"):
        measure_tower(config, "decoder", quantise="none", checkpointing=True, **BF16)


def test_int8_layers_keep_their_inputs_whatever_is_computed_again(llm_folder: Folder) -> None:
    config = read_config(str(llm_folder("llama")))
    int8, nf4 = (
        measure_tower(config, "decoder", quantise=kind, checkpointing=True, **BF16)
        for kind in ("int8", "nf4")
    )
    # Seven matrices: four read the layer's two norms' outputs, shared, one attention's, one the product.
    assert int8.layer(100) > 2 * nf4.layer(100)
