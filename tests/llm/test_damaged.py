"""A language model that is not whole is refused in one sentence, which names the file and the tensors."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertLMHeadModel,
    ByT5Tokenizer,
    Gemma3TextConfig,
    PreTrainedTokenizerFast,
)

from fla_llm.core.errors import ModelError
from fla_llm.llm.integrity import check_tokenizer
from fla_llm.llm.load import load_llm
from fla_llm.llm.quantised_copy import quantise_llm
from fla_llm.planning.model_shapes import read_config

Folder = Callable[[str], Path]
CPU = torch.device("cpu")
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4096\n"
UP = "model.layers.1.mlp.up_proj.weight"


def load(folder: Path, quantise: str = "none") -> None:
    load_llm(str(folder), quantise=quantise, device=CPU, dtype=torch.float32)


@pytest.fixture
def copy(llm_folder: Folder, tmp_path: Path) -> Folder:
    """Return a function that copies a model, to be damaged."""
    return lambda kind: Path(shutil.copytree(llm_folder(kind), tmp_path / kind))


def change_tensors(folder: Path, change: Callable[[dict], dict]) -> Path:
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})
    return folder


def without(*names: str) -> Callable[[dict], dict]:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if name not in names}


TENSORS: dict[str, tuple[str, Callable[[dict], dict], str]] = {
    "one absent": ("llama", without(UP), rf"every tensor of a llama, but lacks 1 tensor \({UP}\)"),
    "no final norm": ("llama", without("model.norm.weight"), r"lacks 1 tensor \(model.norm.weight\)"),
    "no head": ("mistral", without("lm_head.weight"), r"lacks 1 tensor \(lm_head.weight\)"),
    "no embedding": ("mistral", without("model.embed_tokens.weight"), r"lacks 1 tensor \(model.embed_tok"),
    "another shape": ("llama", lambda t: t | {UP: torch.ones(3, 64)}, rf"has {UP} in shape \[3, 64\] in"),
    "other names": (
        "llama", lambda t: {f"my.{name}": tensor for name, tensor in t.items()}, "2. tensors of other names",
    ),
    "no decoder": (
        "t5", lambda t: {name: tensor for name, tensor in t.items() if not name.startswith("decoder")},
        r"every tensor of a t5, but lacks .* \(decoder\.",
    ),
    "not a number": (
        "llama", lambda t: t | {"model.norm.weight": torch.full((64,), torch.nan)},
        r"finite weights, but 1 tensors hold NaN or infinity \(model.norm.weight\)",
    ),
    "infinite in a matrix": (
        "llama", lambda t: t | {UP: t[UP].index_fill(0, torch.tensor([5]), torch.inf)}, rf"infinity \({UP}\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("quantise", ["none", "nf4", "int8"])
@pytest.mark.parametrize("damage", TENSORS)
def test_tensors_that_are_not_whole_are_named(damage: str, quantise: str, copy: Folder) -> None:
    kind, change, message = TENSORS[damage]
    folder = change_tensors(copy(kind), change)
    with pytest.raises(ModelError, match=f"--llm {folder} must hold .*{message}"):
        load(folder, quantise)


@pytest.mark.parametrize("lost", ["lm_head.weight", "shared.weight"])
def test_a_head_that_stands_apart_is_not_replaced_by_the_embedding(lost: str, copy: Folder) -> None:
    """transformers ties the two in every T5, whatever its config says."""
    folder = change_tensors(copy("t5-untied"), without(lost))
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | {"tie_word_embeddings": False}))
    with pytest.raises(ModelError, match="must hold a head and an embedding, .* but holds one of the two"):
        load(folder)


FILES: dict[str, tuple[str, str | None, str]] = {
    "weights are a pointer": ("model.safetensors", POINTER, "model.safetensors is a Git LFS pointer"),
    "weights are gone": ("model.safetensors", None, "cannot be loaded: .*model.safetensors"),
    "tokenizer is a pointer": ("tokenizer.json", POINTER, "tokenizer.json is a Git LFS pointer"),
    "tokenizer is cut": ("tokenizer.json", '{"version": "1.0", "mo', "tokenizer of .* cannot be.*JSON"),
    "tokenizer is newer": ("tokenizer.json", '{"version": "9", "model": {"type": "N"}}', "tokenizer of"),
    "tokenizer is gone": ("tokenizer.json", None, "tokenizer of .* cannot be loaded: .*serialization file"),
    "config is cut": ("config.json", '{"model_ty', "cannot be loaded: .*config.json"),
    "config is a list": ("config.json", "[]", "cannot be loaded: "),
    "config is of no kind": ("config.json", '{"model_type": "nosuch"}', "cannot be loaded: .*nosuch"),
    "index names no shard": (
        "model.safetensors.index.json", '{"weight_map": {"a": "b.safetensors"}}', "lacks b.safetensors, which"
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", FILES)
def test_files_that_are_not_whole_are_named(damage: str, copy: Folder, tmp_path: Path) -> None:
    folder, (name, content, message) = copy("llama"), FILES[damage]
    (folder / name).write_text(content) if content is not None else (folder / name).unlink()
    with pytest.raises(ModelError, match=message) as refused:
        load(folder)
    assert str(folder) in str(refused.value)
    with pytest.raises(ModelError, match=message):
        quantise_llm(str(folder), tmp_path / "copy", device="cpu")


@pytest.mark.parametrize("quantise", ["none", "nf4"])
def test_weights_that_are_cut_are_named(quantise: str, copy: Folder) -> None:
    file = copy("llama") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match=f"{file} is damaged: .*\nCopy or fetch"):
        load(file.parent, quantise)


@pytest.mark.parametrize("kind", ["t5", "mbart", "gemma"])
def test_a_tokenizer_made_of_nothing_is_refused(kind: str, copy: Folder) -> None:
    """transformers makes one where the files are absent."""
    folder = copy(kind)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match=f"--llm {folder} (must hold a tokenizer|cannot be loaded)"):
        load(folder)


@pytest.mark.parametrize("lost", [UP, f"{UP}.absmax", f"{UP}.quant_state.bitsandbytes__nf4"])
def test_a_part_of_a_4_bit_weight_that_is_lost_is_named(
    lost: str, llm_folder: Folder, tmp_path: Path
) -> None:
    quantise_llm(str(llm_folder("llama")), tmp_path / "nf4", precision="fp32", device="cpu")
    change_tensors(tmp_path / "nf4", without(lost))
    with pytest.raises(ModelError, match=rf"each weight with its scales, but lacks 1 tensor \({lost}\)"):
        load(tmp_path / "nf4", "nf4")


def test_an_encoder_alone_is_refused(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertLMHeadModel(BertConfig(**small, vocab_size=len(tokenizer))).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    for check in (load, lambda folder: read_config(str(folder))):
        with pytest.raises(ModelError, match="a language model of text, but is a bert: an encoder alone"):
            check(tmp_path)


def test_a_decoder_that_reads_the_future_is_refused(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    config = Gemma3TextConfig(
        vocab_size=len(tokenizer), head_dim=8, hidden_size=16, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, use_bidirectional_attention=True, initializer_range=0.5,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="answer to the first words alone.*: it reads words that follow"):
        load(tmp_path)


def test_a_token_without_an_embedding_is_named_with_its_sentence(
    tokenizer: PreTrainedTokenizerFast, copy: Folder
) -> None:
    from fla_llm.llm.prompt import Prompts
    from fla_llm.llm.text_codec import TextCodec

    folder = copy("llama")
    larger = PreTrainedTokenizerFast.from_pretrained(folder)
    larger.add_tokens(["schnee"])
    larger.save_pretrained(folder)
    loaded = load_llm(str(folder), quantise="none", device=CPU, dtype=torch.float32)  # nobody needs the token
    codec = TextCodec(loaded.tokenizer, loaded.model.config, prompts=Prompts())
    assert codec.target_ids("heute regen")
    count = len(tokenizer)
    with pytest.raises(
        ModelError, match=f"{count} token embeddings, .* 'schnee' in 'heute schnee' the id {count}"
    ):
        codec.target_ids("heute schnee")


def test_a_tokenizer_of_bytes_needs_no_file(tmp_path: Path) -> None:
    check_tokenizer(ByT5Tokenizer(), tmp_path, llm="byt5")
