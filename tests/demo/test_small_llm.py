"""The small language model: a standard directory that learned something, and still knows it in 4 bits."""

import random
from collections.abc import Callable
from math import log
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from fla_llm.core.errors import DataError, RunError
from fla_llm.demo import text_batches
from fla_llm.demo.config import SmallLlmConfig
from fla_llm.demo.small_llm import held_out_loss, make_small_llm
from fla_llm.demo.text_batches import add_noise
from fla_llm.llm.load import load_llm

SENTENCES = [
    f"{who} {does} {what} ."
    for who in ("ich", "du", "sie")
    for does in ("kaufe", "sehe")
    for what in ("brot", "übung", "haus", "瓶")
]


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_it_learns_and_four_bits_do_not_destroy_it(
    kind: str, tmp_path: Path, other_modes: Callable[[Path], dict[str, str]]
) -> None:
    config = SmallLlmConfig(
        kind=kind, hidden_size=64, layers=1, vocabulary=300, steps=40, batch_tokens=200, learning_rate=1e-2
    )
    folder = make_small_llm(SENTENCES, tmp_path / "llm", config=config, device="cpu")
    assert other_modes(folder) == {}
    losses = []
    for quantise in ("none", "nf4"):
        loaded = load_llm(str(folder), quantise=quantise, device=torch.device("cpu"), dtype=torch.float32)
        losses.append(held_out_loss(loaded.model, loaded.tokenizer, SENTENCES, kind=kind))
    assert losses[0] < log(300) / 2
    assert losses[1] < losses[0] + 0.3


def test_every_text_can_be_written_and_read_back(tmp_path: Path) -> None:
    config = SmallLlmConfig(hidden_size=64, layers=1, vocabulary=300, steps=1, batch_tokens=100)
    tokenizer = AutoTokenizer.from_pretrained(make_small_llm(SENTENCES, tmp_path / "llm", config=config))
    for text in (*SENTENCES, "Translate the signed German sentence:", "ﬀ 😀 never seen"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_noise_keeps_the_order_of_tokens_if_asked() -> None:
    row = list(range(40))
    kept = [add_noise(row, draw=random.Random(seed), keep_order=True) for seed in range(20)]
    assert all(noisy == sorted(noisy) for noisy in kept)
    assert any(len(set(noisy)) < len(row) for noisy in kept)
    assert any(len(noisy) > len(set(noisy)) for noisy in kept)
    mixed = [add_noise(row, draw=random.Random(seed)) for seed in range(20)]
    assert not any(noisy == sorted(noisy) for noisy in mixed)


def test_the_setting_reaches_the_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def noted(row: list[int], *, draw: random.Random, keep_order: bool) -> list[int]:
        asked.append(keep_order)
        return add_noise(row, draw=draw, keep_order=keep_order)

    monkeypatch.setattr(text_batches, "add_noise", noted)
    for keep_order in (True, False):
        config = SmallLlmConfig(
            kind="seq2seq", hidden_size=64, layers=1, vocabulary=300, steps=1, batch_tokens=50,
            keep_order=keep_order,
        )  # fmt: skip
        make_small_llm(SENTENCES, tmp_path / str(keep_order), config=config, device="cpu")
        # Training and held-out sentences alike.
        assert set(asked) == {keep_order}
        asked.clear()


def test_what_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least 2 different sentences, but got 1"):
        make_small_llm(["ja", "ja"], tmp_path / "llm")
    with pytest.raises(ValueError, match="multiple of 64, but is 100"):
        SmallLlmConfig(hidden_size=100)
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="is not empty"):
        make_small_llm(SENTENCES, tmp_path)
