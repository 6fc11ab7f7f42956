"""Models that features cannot be fed to are refused by name; others of untested shape say so."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    Gemma3Config,
    Gemma3nTextConfig,
    Gemma4TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MBartConfig,
    T5GemmaConfig,
)

from fla_llm.core.errors import ModelError
from fla_llm.finetune.collate import collate
from fla_llm.finetune.model import StageTwoModel
from fla_llm.llm.compatibility import check_architecture, check_inputs
from fla_llm.llm.load import load_llm

PLAIN = {"quantise": "none", "device": torch.device("cpu"), "dtype": torch.float32}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (Gemma3nTextConfig, "'gemma3n_text': it makes a part of its inputs from token ids"),
        (Gemma4TextConfig, "'gemma4_text': it makes a part of its inputs from token ids"),
        (Gemma3Config, r"'gemma3': it is composed of several models \(text_config, vision_config\)"),
        (T5GemmaConfig, r"'t5gemma': it is composed of several models \(encoder, decoder\)"),
    ],
)
def test_an_architecture_that_takes_no_features_is_refused_by_name(
    config: Callable[[], Any], reason: str, tmp_path: Path
) -> None:
    config().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=f"must be a plain text model, but is {reason}.*\n.*such as mBART"):
        load_llm(str(tmp_path), **PLAIN)


@pytest.mark.parametrize("shape", ["llama", "t5"])
def test_a_model_that_reads_embeddings_otherwise_than_ids_is_refused(
    shape: str, llm_folder: Callable[[str], Path], tokenizer: Any
) -> None:
    model = load_llm(str(llm_folder(shape)), **PLAIN).model

    def scaled(module: Any, arguments: Any, given: dict[str, Any]) -> Any:
        embeds = given.get("inputs_embeds")
        return arguments, given if embeds is None else given | {"inputs_embeds": embeds * 1.5}

    model.register_forward_pre_hook(scaled, with_kwargs=True)
    with pytest.raises(ModelError, match=f"must answer to embeddings as to the ids.*'{shape}' builds"):
        check_inputs(model, tokenizer, llm="some/llm")


def test_every_model_is_asked_when_it_is_loaded(
    llm_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = LlamaForCausalLM.forward

    @functools.wraps(forward)
    def scaled(self: Any, *, inputs_embeds: Any = None, **given: Any) -> Any:
        return forward(self, inputs_embeds=None if inputs_embeds is None else inputs_embeds * 1.5, **given)

    monkeypatch.setattr(LlamaForCausalLM, "forward", scaled)
    with pytest.raises(ModelError, match="must answer to embeddings as to the ids.*'llama' builds"):
        load_llm(str(llm_folder("llama")), **PLAIN)


def test_a_model_that_reads_padding_is_refused(llm_folder: Callable[[str], Path], tokenizer: Any) -> None:
    model = load_llm(str(llm_folder("llama")), **PLAIN).model

    def unmasked(module: Any, arguments: Any, given: dict[str, Any]) -> Any:
        return arguments, given | {"attention_mask": torch.ones_like(given["attention_mask"])}

    model.register_forward_pre_hook(unmasked, with_kwargs=True)
    with pytest.raises(ModelError, match="must answer to padded embeddings"):
        check_inputs(model, tokenizer, llm="some/llm")


@pytest.mark.parametrize("shape", ["llama", "mbart"])
def test_rounding_that_changes_with_the_length_refuses_no_model(shape: str, tokenizer: Any) -> None:
    sizes = {"vocab_size": len(tokenizer), "pad_token_id": 0}
    config: Any = LlamaConfig(
        **sizes, hidden_size=64, intermediate_size=128, num_hidden_layers=32, num_attention_heads=4,
        initializer_range=0.1,
    ) if shape == "llama" else MBartConfig(
        **sizes, d_model=64, encoder_layers=24, decoder_layers=24, encoder_ffn_dim=128, decoder_ffn_dim=128,
        encoder_attention_heads=4, decoder_attention_heads=4, init_std=0.1, decoder_start_token_id=1,
    )  # fmt: skip
    writer = AutoModelForCausalLM if shape == "llama" else AutoModelForSeq2SeqLM
    torch.manual_seed(0)
    model = writer.from_config(config, dtype=torch.bfloat16).eval()
    draws = torch.Generator().manual_seed(0)

    def rounded_otherwise(module: Any, arguments: Any, result: torch.Tensor) -> torch.Tensor:
        """Move a result by half a unit in the last place of bf16 at most, as other kernels do."""
        away = torch.rand(result.shape, generator=draws) - 0.5
        return (result.float() * (1 + torch.finfo(torch.bfloat16).eps * away)).to(result.dtype)

    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(rounded_otherwise)
    check_inputs(model, tokenizer, llm="some/llm")


def test_a_model_without_inputs_embeds_is_refused(tokenizer: Any) -> None:
    class Deaf(torch.nn.Module):
        def forward(self, input_ids: Any) -> None: ...

    assert "inputs_embeds" not in inspect.signature(Deaf().forward).parameters
    with pytest.raises(ModelError, match="must take inputs_embeds, but Deaf does not"):
        check_inputs(Deaf(), tokenizer, llm="some/llm")  # type: ignore[arg-type]  # a stand-in


def test_an_untested_architecture_uses_its_own_logits_and_says_so(
    build: Callable[..., StageTwoModel], items: list, capsys: pytest.CaptureFixture[str]
) -> None:
    model = build("granite", quantise="none")
    assert model.conditioned_lm.head is None
    assert "loss has not been checked for 'granite'" in capsys.readouterr().err
    model(**collate(items, codec=model.codec))["loss"].backward()
    assert all(p.grad is not None for p in model.projector.parameters())


def test_every_shape_served_is_let_in(llm_folder: Callable[[str], Path]) -> None:
    from transformers import AutoConfig

    for shape in ("llama", "mbart", "t5", "gemma3_text"):
        check_architecture(AutoConfig.from_pretrained(llm_folder(shape)), llm=shape)
