"""Tokenizer of stage one: subwords learned from the training sentences, or the tokens of an LLM.

Ids 0 to 3 are padding, begin, end and unknown. The ids of words follow.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ..core.errors import ConfigError, ModelError
from ..core.files import read_json, write_json
from ..core.hub import find_source, load_pretrained
from ..core.weights import check_content
from .config import TokenizerConfig

SPECIALS = ("<pad>", "<s>", "</s>", "<unk>")
PAD, BOS, EOS, UNK = range(len(SPECIALS))
KEPT = "kept.json"


class SentenceTokenizer:
    """Tokenizer of sentences. ``kept`` restricts the vocabulary of an LLM to some ids."""

    def __init__(self, tokenizer: Any, *, kept: Sequence[int] | None = None) -> None:
        """Use ``tokenizer``. With ``kept``, id 4 + i stands for the LLM's id ``kept[i]``."""
        self._tokenizer = tokenizer
        self._kept = list(kept) if kept is not None else None
        self._short_id = {own: UNK + 1 + i for i, own in enumerate(self._kept or ())}

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self._tokenizer) if self._kept is None else len(SPECIALS) + len(self._kept)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a sentence with the end token."""
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        if self._kept is not None:
            ids = [self._short_id.get(own, UNK) for own in ids]
        return [*ids, EOS]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the sentence of ``ids`` without special ids."""
        words = [number for number in ids if number > UNK]
        if self._kept is not None:
            words = [self._kept[number - UNK - 1] for number in words]
        return self._tokenizer.decode(words, skip_special_tokens=True).strip()

    def save(self, folder: Path) -> None:
        """Write the tokenizer into ``folder``."""
        self._tokenizer.save_pretrained(folder)
        if self._kept is not None:
            write_json(folder / KEPT, self._kept)


def make_tokenizer(sentences: Sequence[str], config: TokenizerConfig) -> SentenceTokenizer:
    """Return the tokenizer for these training sentences.

    Raises:
        ConfigError: ``vocab_size`` cannot hold every character.
        ModelError: the tokenizer of the LLM is not on disk and cannot be fetched.
    """
    if config.llm is not None:
        named = "The tokenizer of tokenizer.llm={}"
        # find_source() asks for a whole model. Here a folder with a tokenizer is enough.
        source = config.llm if Path(config.llm).is_dir() else find_source(config.llm, named=named)
        return _cut(load_pretrained(AutoTokenizer.from_pretrained, source, named=named), sentences)
    return SentenceTokenizer(_learn(sentences, config))


def load_tokenizer(folder: Path) -> SentenceTokenizer:
    """Read the files of :meth:`SentenceTokenizer.save`.

    Raises:
        ModelError: a file is absent or damaged.
    """
    if not (folder / "tokenizer.json").is_file():
        raise ModelError(f"{folder} must hold tokenizer.json, but does not.\nRun: fla pretrain")
    check_content(folder / "tokenizer.json")
    if (folder / KEPT).is_file():
        own = load_pretrained(AutoTokenizer.from_pretrained, str(folder), named="The tokenizer of {}")
        return SentenceTokenizer(own, kept=read_json(folder / KEPT))
    try:
        return SentenceTokenizer(_wrap(Tokenizer.from_file(str(folder / "tokenizer.json"))))
    except Exception as error:  # tokenizers raises no narrower class
        raise ModelError(f"{folder / 'tokenizer.json'} is damaged: {error}.\nCopy the run again.") from error


def _learn(sentences: Sequence[str], config: TokenizerConfig) -> PreTrainedTokenizerFast:
    characters = {character for sentence in sentences for character in sentence}
    smallest = len(SPECIALS) + len(characters) + 1  # one for the mark of the start of a word
    # With fewer tokens some characters of the corpus would become <unk>, and could never be translated.
    if config.vocab_size < smallest:
        raise ConfigError(
            f"tokenizer.vocab_size must be at least {smallest} (the training sentences have "
            f"{len(characters)} characters), but is {config.vocab_size}."
        )
    is_bpe = config.kind == "bpe"
    tokenizer = Tokenizer(models.BPE(unk_token=SPECIALS[UNK]) if is_bpe else models.Unigram())
    # Runs of spaces and line breaks would only split the vocabulary.
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    options: dict[str, Any] = {"vocab_size": config.vocab_size, "special_tokens": list(SPECIALS)}
    trainer = (
        trainers.BpeTrainer(show_progress=False, **options)
        if is_bpe
        else trainers.UnigramTrainer(show_progress=False, unk_token=SPECIALS[UNK], **options)
    )
    tokenizer.train_from_iterator(sentences, trainer)
    return _wrap(tokenizer)


def _wrap(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIALS, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **names)


def _cut(tokenizer: Any, sentences: Sequence[str]) -> SentenceTokenizer:
    """Restrict the vocabulary of an LLM to the tokens of the sentences."""
    used = {own for ids in tokenizer(list(sentences), add_special_tokens=False)["input_ids"] for own in ids}
    return SentenceTokenizer(tokenizer, kept=sorted(used))
