"""Layers on shapes alone keep what the layers of a real step keep."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, MixtralConfig

from fla_llm.llm.config import LoraSettings
from fla_llm.planning.layer_stack import LayerStack, measure_stack
from fla_llm.planning.model_shapes import read_config

Folder = Callable[[str], Path]
LORA = LoraSettings(rank=4, alpha=8, dropout=0.1)


@pytest.fixture
def measure(llm_folder: Folder) -> Callable[..., LayerStack]:
    def of(quantise: str = "nf4", *, shape: str = "llama", dropout: float = 0.1) -> LayerStack:
        config, lora = read_config(str(llm_folder(shape))), replace(LORA, dropout=dropout)
        return measure_stack(config, "decoder", quantise=quantise, dtype=torch.bfloat16, lora=lora)

    return of


def test_a_checkpoint_is_the_input_of_its_layer(measure: Callable[..., LayerStack]) -> None:
    stack = measure()
    assert stack.checkpoint(100) == pytest.approx(2 * 100 * 64)  # in bf16
    assert stack.checkpoint(100) < stack.layer(100) / 4


def test_dropout_costs_copies(measure: Callable[..., LayerStack]) -> None:
    assert measure().layer(100) > measure(dropout=0.0).layer(100)


def test_int8_layers_keep_their_inputs_whatever_is_computed_again(measure: Callable[..., LayerStack]) -> None:
    # Seven matrices: four read the layer's two norms' outputs, shared, one attention's, one the product.
    assert measure("int8").checkpoint(100) > 2 * measure("nf4").checkpoint(100)


def test_flops_are_those_of_the_whole_models_layers(llm_folder: Folder) -> None:
    config = read_config(str(llm_folder("llama")))
    stack = measure_stack(config, "decoder", quantise="none", dtype=torch.float32, lora=None)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.get_decoder()(inputs_embeds=torch.zeros(1, 48, 64), use_cache=False)
    assert config.num_hidden_layers * stack.layer_flops(48) == pytest.approx(
        counter.get_total_flops(), rel=0.1
    )


def test_each_expert_of_a_token_keeps_its_own() -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 2}
    one, two = (
        measure_stack(
            MixtralConfig(**sizes, num_experts_per_tok=experts, vocab_size=64), "decoder",
            quantise="none", dtype=torch.bfloat16, lora=None,
        )
        for experts in (1, 2)
    )  # fmt: skip
    assert two.layer(100) - one.layer(100) > 100 * 2 * 3 * 64  # gate, product and more, in bf16
