"""Sentences that a tokenizer cannot write are counted, and too many of them are refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from tokenizers import normalizers
from transformers import LlamaConfig, PreTrainedTokenizerFast

from fla_llm.cli import fla
from fla_llm.core.errors import ModelError
from fla_llm.llm.prompt import Prompts
from fla_llm.llm.text_codec import TextCodec
from fla_llm.llm.tokenizer_coverage import check_texts, survives


@pytest.fixture
def codec(tokenizer: PreTrainedTokenizerFast) -> TextCodec:
    return TextCodec(tokenizer, LlamaConfig(), prompts=Prompts())


def test_a_sentence_survives_if_it_is_decoded_to_itself(codec: TextCodec) -> None:
    assert survives(codec, "wind  kommt ")
    assert not survives(codec, "wind geht")


def test_a_sentence_that_comes_back_as_another_does_not_survive(tokenizer: PreTrainedTokenizerFast) -> None:
    lower = type(tokenizer._tokenizer).from_str(tokenizer._tokenizer.to_str())
    lower.normalizer = normalizers.Lowercase()
    own = PreTrainedTokenizerFast(tokenizer_object=lower, eos_token="</s>", unk_token="<unk>")
    assert not survives(TextCodec(own, LlamaConfig(), prompts=Prompts()), "Wind kommt")


def test_an_end_token_that_stands_for_the_unknown_too_is_no_loss(tokenizer: PreTrainedTokenizerFast) -> None:
    own = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer._tokenizer,
        eos_token="</s>",
        unk_token="</s>",
        clean_up_tokenization_spaces=False,
    )
    assert survives(TextCodec(own, LlamaConfig(), prompts=Prompts()), "wind kommt")


def test_one_in_a_hundred_may_get_lost_but_not_two(
    codec: TextCodec, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_texts(codec, ["wind geht", *["wind kommt"] * 99], allow_lossy=False) == 1
    assert "1 of 100 training sentences (1.00%) do not survive the tokenizer" in capsys.readouterr().err
    many = ["wind geht", "regen", "geht"]
    with pytest.raises(ModelError, match=r"but 2 of 3 .*\(66.67%\).*'wind geht' as 'wind'.\n.*--allow-lossy"):
        check_texts(codec, many, allow_lossy=False)
    assert check_texts(codec, many, allow_lossy=True) == 2


def test_the_command_refuses_a_lossy_tokenizer_unless_told(
    llm_folder: Callable[[str], Path], items: list, write_cache: Callable[..., Path], tmp_path: Path
) -> None:
    items[0]["text"] = "heute schnee"
    arguments = [
        "tune", "--features", str(write_cache(tmp_path / "cache")), "--llm", str(llm_folder("llama")),
        "--out", str(tmp_path / "run"), "--device", "cpu", "--dry-run",
    ]  # fmt: skip
    with pytest.raises(ModelError, match=r"1 of 4 training sentences \(25.00%\)"):
        CliRunner().invoke(fla, arguments, prog_name="fla", catch_exceptions=False)
    allowed = CliRunner().invoke(fla, [*arguments, "--allow-lossy-tokenizer"], prog_name="fla")
    assert allowed.exit_code == 0, allowed.stderr


def test_a_sentence_is_tokenised_once(codec: TextCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, calls = codec.tokenizer, []

    class Counting:
        unk_token_id = whole.unk_token_id

        def __call__(self, text: str, **settings: object) -> object:
            calls.append(text)
            return whole(text, **settings)

    monkeypatch.setattr(codec, "tokenizer", Counting())
    first = codec.target_ids("rain")
    first.append(0)  # the caller's own list
    assert codec.target_ids("rain") == first[:-1]
    assert calls == ["rain"]
