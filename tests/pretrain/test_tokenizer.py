"""Sentences survive being encoded."""

from pathlib import Path

import pytest

from fla_llm.core.errors import ConfigError, ModelError
from fla_llm.pretrain.config import TokenizerConfig
from fla_llm.pretrain.tokenizer import BOS, EOS, PAD, SPECIALS, UNK, load_tokenizer, make_tokenizer

GERMAN = [
    "am tag vierzehn grad im norden",
    "örtlich regnet es - größere mengen",
    "guten abend liebe zuschauer",
]
CHINESE = ["他今天去北京。", "你有几个妹妹？", "今天天气很好,去公园3次"]
ENGLISH = ["Let's talk about it: it's 50% off!", '"Hi," he said (twice).']


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("sentences", [GERMAN, CHINESE, ENGLISH], ids=["de", "zh", "en"])
def test_training_sentences_come_back_as_they_were(sentences: list[str], kind: str) -> None:
    tokenizer = make_tokenizer(sentences, TokenizerConfig(kind=kind, vocab_size=80))
    for sentence in sentences:
        ids = tokenizer.encode(sentence)
        assert ids[-1] == EOS
        assert UNK not in ids
        assert tokenizer.decode(ids) == sentence


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_sentence_of_known_characters_comes_back_though_never_seen(kind: str) -> None:
    tokenizer = make_tokenizer(CHINESE, TokenizerConfig(kind=kind, vocab_size=60))
    assert tokenizer.decode(tokenizer.encode("妹妹去公园")) == "妹妹去公园"


def test_special_ids_are_fixed_and_not_shown() -> None:
    tokenizer = make_tokenizer(GERMAN, TokenizerConfig(vocab_size=80))
    words = tokenizer.encode("im norden")
    assert tokenizer.decode([BOS, *words, PAD, PAD]) == "im norden"
    assert max(words) < len(tokenizer) <= 80
    assert tuple(range(len(SPECIALS))) == (PAD, BOS, EOS, UNK)


def test_read_of_write_is_the_same(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(GERMAN, TokenizerConfig(vocab_size=80))
    tokenizer.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert [again.encode(text) for text in GERMAN] == [tokenizer.encode(text) for text in GERMAN]
    assert len(again) == len(tokenizer)


def test_tokens_of_a_language_model_are_cut_to_those_in_use(tmp_path: Path) -> None:
    make_tokenizer(GERMAN + ENGLISH, TokenizerConfig(vocab_size=200)).save(tmp_path / "llm")
    tokenizer = make_tokenizer(GERMAN, TokenizerConfig(llm=str(tmp_path / "llm")))
    whole = load_tokenizer(tmp_path / "llm")
    assert len(tokenizer) < len(whole)
    tokenizer.save(tmp_path / "cut")
    for again in (tokenizer, load_tokenizer(tmp_path / "cut")):
        assert [again.decode(again.encode(text)) for text in GERMAN] == GERMAN
        assert UNK in again.encode(ENGLISH[0])


def test_a_vocabulary_too_small_for_the_characters_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"vocab_size must be at least \d+ .* but is 10"):
        make_tokenizer(CHINESE, TokenizerConfig(vocab_size=10))


def test_a_language_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="tokenizer.llm=.*no-such-model: there is no such directory"):
        make_tokenizer(GERMAN, TokenizerConfig(llm=str(tmp_path / "no-such-model")))


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"must hold tokenizer.json"):
        load_tokenizer(tmp_path)
