"""Prompts, targets, and the tokens that name a language."""

from collections.abc import Sequence
from typing import Any

import pytest
from tokenizers import processors
from transformers import LlamaConfig, MBartConfig, PreTrainedTokenizerFast

from fla_llm.core.errors import ConfigError, ModelError
from fla_llm.finetune.config import TuneConfig
from fla_llm.llm.prompt import Prompts, examples_key
from fla_llm.llm.text_codec import TextCodec, draw_examples

CAUSAL = LlamaConfig()


def multilingual(tokenizer: PreTrainedTokenizerFast, codes: Sequence[str]) -> Any:
    """Return a copy that has language tokens, the first of them numbered after the vocabulary."""
    copy = PreTrainedTokenizerFast(
        tokenizer_object=type(tokenizer._tokenizer).from_str(tokenizer._tokenizer.to_str()),
        pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
    )  # fmt: skip
    copy.add_tokens(list(codes), special_tokens=True)
    return copy


def test_each_language_has_its_prompt() -> None:
    assert Prompts().prompt("zh") == "Translate the signed Chinese sentence:"
    assert Prompts(default="In {language}:").prompt("en") == "In English:"
    assert Prompts(default="").prompt("de") == ""


def test_each_task_has_its_prompt(tokenizer: PreTrainedTokenizerFast) -> None:
    prompts = Prompts(
        default="Sentence:", by_language={"de": "Satz:"}, by_task={"isolated": "{language} word:"}
    )
    assert prompts.prompt("zh") == "Sentence:"
    assert prompts.prompt("de") == "Satz:"
    # Prompts of sentences are none for glosses.
    assert prompts.prompt("de", "recognise") == "Write the glosses of the signed German sentence:"
    assert prompts.prompt("de", "isolated") == "German word:"
    codec = TextCodec(tokenizer, CAUSAL, prompts=Prompts(by_task={"isolated": "wind"}))
    codec.examples = {"de": ["im norden"], examples_key("de", "isolated"): ["regen"]}
    assert codec.prompt_ids("de", "isolated") == tokenizer("regen wind").input_ids[:-1]
    assert codec.prompt_ids("de")[:2] == tokenizer("im norden").input_ids[:-1]


def test_settings_of_prompts_name_known_tasks() -> None:
    with pytest.raises(
        ConfigError, match="recognise, isolated as keys, but has 'isolatd'. Did you mean 'isol"
    ):
        TuneConfig(prompt_by_task={"isolatd": "Word:"})
    with pytest.raises(ConfigError, match="as keys, but has 'translate'"):
        TuneConfig(prompt_by_task={"translate": "Sentence:"})
    with pytest.raises(ConfigError, match="no placeholder but"):
        TuneConfig(prompt_by_task={"isolated": "{word}"})


def test_an_unknown_placeholder_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no placeholder but \{language\}, but is 'In \{tongue\}:'"):
        TuneConfig(prompt="In {tongue}:")


def test_a_target_ends_with_the_end_token(tokenizer: PreTrainedTokenizerFast) -> None:
    codec = TextCodec(tokenizer, CAUSAL, prompts=Prompts())
    ids = codec.target_ids("wind kommt")
    assert ids[-1] == codec.eos_id
    assert codec.decode(ids) == "wind kommt"
    assert codec.prompt_ids("de") == tokenizer("Translate the signed German sentence:").input_ids[:-1]
    assert codec.decoder_prefix_ids("de") == []


def test_an_encoder_gets_its_own_end_after_the_prompt(tokenizer: PreTrainedTokenizerFast) -> None:
    codec = TextCodec(tokenizer, MBartConfig(decoder_start_token_id=2), prompts=Prompts(default=""))
    assert codec.prompt_ids("de") == [tokenizer.eos_token_id]
    assert codec.decoder_prefix_ids("de") == [2]


@pytest.mark.parametrize(
    ("codes", "start", "language", "expected"),
    [
        (["de_DE", "zh_CN"], None, "zh", ["zh_CN"]),  # mBART-25: from the language alone
        (["de_DE", "zh_CN"], 2, "de", ["</s>", "de_DE"]),  # mBART-50
        (["deu_Latn", "zho_Hans"], 2, "de", ["</s>", "deu_Latn"]),  # NLLB
    ],
)
def test_the_decoder_starts_from_the_language(
    codes: list[str],
    start: int | None,
    language: str,
    expected: list[str],
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    own = multilingual(tokenizer, codes)
    codec = TextCodec(own, MBartConfig(decoder_start_token_id=start), prompts=Prompts())
    assert own.convert_ids_to_tokens(codec.decoder_prefix_ids(language)) == expected
    codec.prompt_ids(language)
    assert own.src_lang == expected[-1]


def test_a_begin_token_leads_where_the_tokenizer_puts_it(tokenizer: PreTrainedTokenizerFast) -> None:
    own = multilingual(tokenizer, [])
    assert TextCodec(own, CAUSAL, prompts=Prompts()).lead_ids() == []  # ends in </s> alone
    own._tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    codec = TextCodec(own, CAUSAL, prompts=Prompts(default="im norden"))
    assert codec.lead_ids() == [own.bos_token_id]
    assert own.bos_token_id not in codec.prompt_ids("de") + codec.target_ids("wind")
    assert TextCodec(own, MBartConfig(decoder_start_token_id=2), prompts=Prompts()).lead_ids() == []


def test_a_language_the_model_does_not_know_is_named(tokenizer: PreTrainedTokenizerFast) -> None:
    codec = TextCodec(
        multilingual(tokenizer, ["en_XX"]), MBartConfig(decoder_start_token_id=2), prompts=Prompts()
    )
    with pytest.raises(ModelError, match="token for the language 'de', but has only en_XX"):
        codec.decoder_prefix_ids("de")


def test_a_tokenizer_without_an_end_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    endless = PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, pad_token="<pad>")
    with pytest.raises(ModelError, match="must have an end token"):
        TextCodec(endless, CAUSAL, prompts=Prompts())


def test_a_language_may_have_a_prompt_of_its_own(tokenizer: PreTrainedTokenizerFast) -> None:
    codec = TextCodec(tokenizer, CAUSAL, prompts=Prompts(by_language={"de": "im norden"}))
    assert codec.prompt_ids("de") == tokenizer("im norden").input_ids[:-1]
    assert codec.prompt_ids("zh") == tokenizer("Translate the signed Chinese sentence:").input_ids[:-1]
    with pytest.raises(ConfigError, match=r"but is 'In \{tongue\}:'"):
        TuneConfig(prompt_by_language={"de": "In {tongue}:"})


def test_a_decoder_starts_as_in_training_whatever_the_files_say_by_now(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    codec = TextCodec(
        multilingual(tokenizer, ["en_XX"]), MBartConfig(decoder_start_token_id=2), prompts=Prompts()
    )
    codec.restore_decoder_prefixes({"en": [2, 7]})
    assert codec.decoder_prefix_ids("en") == [2, 7]


def test_examples_stand_before_the_prompt_only_if_asked_for(tokenizer: PreTrainedTokenizerFast) -> None:
    texts, languages = ["wind kommt", "wind kommt", "regen", "sun"], ["de", "de", "de", "en"]
    assert draw_examples(texts, languages, count=0, seed=1) == {}
    drawn = draw_examples(texts, languages, count=3, seed=1)
    assert {name: sorted(found) for name, found in drawn.items()} == {
        "de": ["regen", "wind kommt"],
        "en": ["sun"],
    }
    codec = TextCodec(tokenizer, CAUSAL, prompts=Prompts(default="im norden"))
    without = codec.prompt_ids("de")
    codec.examples = {"de": ["wind kommt", "regen"]}
    assert codec.prompt_ids("de") == [*tokenizer("wind kommt regen").input_ids[:-1], *without]
    with pytest.raises(ConfigError, match="'examples' must be at least 0, but is -1"):
        TuneConfig(examples=-1)
