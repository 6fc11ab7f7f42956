"""Tokens of a corpus, and the map between the tokenizer and a model with these tokens only.

The tokenizer is never edited: the text is split as before, then the ids are mapped. Id i of the model is id
``kept[i]`` of the tokenizer. Kept ids ascend, so low ids such as padding mostly stay the same.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from ..core.errors import RunError
from ..core.files import read_json, write_json
from ..core.sample import DEFAULT_TASK, Task
from .config import KEPT_IDS
from .prompt import LANGUAGE_NAMES, Prompts
from .text_codec import TextCodec, _language_tokens

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_WORD_STARTS = "▁Ġ"  # of SentencePiece, and of byte-level BPE
_UTF8_BYTES = 4  # of one character, at most: byte-level BPE writes each byte as a character


class TrimmedTokenizer:
    """Tokenizer for :class:`TextCodec`, with the ids of a trimmed model.

    A token that was not kept becomes the unknown token, or the end token if the tokenizer has no unknown
    token. No training sentence and no prompt has such a token.
    """

    def __init__(self, tokenizer: Any, kept: Sequence[int]) -> None:
        """Map the ids of ``tokenizer`` to positions in ``kept``, the ascending ids of the model."""
        self.whole = tokenizer
        self.kept = list(kept)
        self._own = {theirs: ours for ours, theirs in enumerate(kept)}
        unknown = self._own.get(tokenizer.unk_token_id)
        self._stand_in = self._own[tokenizer.eos_token_id] if unknown is None else unknown

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
        """Return ``input_ids`` of the model."""
        ids = self.whole(text, add_special_tokens=add_special_tokens)["input_ids"]
        return {"input_ids": [self._own.get(index, self._stand_in) for index in ids]}

    def has_all_of(self, text: str) -> bool:
        """Return whether each token of a sentence was kept."""
        return self._own.keys() >= set(self.whole(text, add_special_tokens=False)["input_ids"])

    def decode(self, ids: Sequence[int], **settings: Any) -> str:
        """Return the text of ids of the model. ``settings`` are passed to the tokenizer."""
        return self.whole.decode([self.kept[index] for index in ids], **settings)

    def get_added_vocab(self) -> dict[str, int]:
        """Return the kept added tokens, with the ids of the model."""
        added = self.whole.get_added_vocab().items()
        return {token: self._own[index] for token, index in added if index in self._own}

    def save_pretrained(self, folder: Path) -> None:
        """Write the whole tokenizer, which is never trimmed."""
        self.whole.save_pretrained(folder)

    @property
    def src_lang(self) -> str:
        """The language whose token ends an encoder's input."""
        return self.whole.src_lang

    @src_lang.setter
    def src_lang(self, token: str) -> None:
        self.whole.src_lang = token

    @property
    def bos_token_id(self) -> int | None:
        """The model's begin token."""
        return self._own.get(self.whole.bos_token_id)

    @property
    def eos_token_id(self) -> int | None:
        """The model's end token."""
        return self._own.get(self.whole.eos_token_id)

    @property
    def pad_token_id(self) -> int | None:
        """The model's padding token."""
        return self._own.get(self.whole.pad_token_id)

    @property
    def unk_token_id(self) -> int | None:
        """The model's unknown token."""
        return self._own.get(self.whole.unk_token_id)


def needed_ids(
    tokenizer: Any,
    model_config: Any,
    *,
    prompts: Prompts,
    texts: Sequence[str],
    languages: Sequence[str],
    tasks: Sequence[Task],
    examples: Mapping[str, list[str]],
) -> list[int]:
    """Return the necessary tokenizer ids of a model for these sentences, ascending.

    Kept are the tokens of every target and of every possible prompt, special tokens and language codes,
    single characters and bytes, and every id that the config of the model names.

    Args:
        tokenizer: whole tokenizer of the model.
        model_config: config of the model.
        prompts: templates of the prompts.
        texts: sentences of the training split.
        languages: language of each text.
        tasks: task of each text.
        examples: texts before the prompt, by :func:`.prompt.examples_key`.
    """
    codec = TextCodec(tokenizer, model_config, prompts=prompts)
    codec.examples = dict(examples)
    kept = {codec.eos_id, codec.pad_id, *codec.lead_ids(), *_special_ids(tokenizer)}
    kept |= _character_ids(tokenizer) | {index for _, index in config_ids(model_config)}
    for text in set(texts):
        kept.update(codec.target_ids(text))
    for language, task in set(zip(languages, tasks, strict=True)):
        kept.update(codec.prompt_ids(language, task), codec.decoder_prefix_ids(language))
    # A run may be asked for any language, and for the tasks of its training.
    asked_for: set[Task] = {DEFAULT_TASK, *tasks}
    for language, task in product({*LANGUAGE_NAMES, *prompts.by_language, ""}, asked_for):
        kept.update(tokenizer(prompts.prompt(language, task))["input_ids"])
    return sorted(index for index in kept if 0 <= index < model_config.vocab_size)


def config_ids(config: Any) -> Iterator[tuple[str, int]]:
    """Yield (name, id) of each token id in a config or in generation settings."""
    for name, value in vars(config).items():
        if name.endswith("_token_id") and value is not None:
            yield from ((name, index) for index in (value if isinstance(value, list) else [value]))


def keep_ids(run: Path, ids: Sequence[int]) -> None:
    """Write ``kept_ids.json``, or compare the ids with the existing file.

    Raises:
        RunError: the run was begun with other ids, and therefore with other sentences.
    """
    if (run / KEPT_IDS).is_file() and read_kept_ids(run) != list(ids):
        raise RunError(
            f"{run} must be resumed with the sentences it was begun with, but they need other tokens than "
            f"{KEPT_IDS} says.\nGive the same caches, or start another run with another --out."
        )
    write_json(run / KEPT_IDS, list(ids))


def read_kept_ids(run: Path) -> list[int]:
    """Return the ids in ``kept_ids.json`` of a run.

    Raises:
        RunError: the file holds no list of ascending ids.
    """
    ids = read_json(run / KEPT_IDS)
    whole = isinstance(ids, list) and all(type(index) is int and index >= 0 for index in ids)
    if not whole or ids != sorted(set(ids)):
        raise RunError(f"{run / KEPT_IDS} must be a list of ascending token ids, but is not.")
    return ids


def _special_ids(tokenizer: Any) -> set[int]:
    special = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return special | set(tokenizer.all_special_ids) | set(_language_tokens(tokenizer).values())


def _character_ids(tokenizer: Any) -> set[int]:
    """Return the ids of single characters and bytes, with or without the marker of a word start."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    in_bytes = "Ġ" in vocabulary

    def is_one(token: str, index: int) -> bool:
        bare = token.lstrip(_WORD_STARTS)
        if len(bare) <= 1 or _BYTE.fullmatch(token):
            return True
        if not in_bytes or bare.isascii() or len(bare) > _UTF8_BYTES:
            return False
        return len(tokenizer.decode([index]).strip()) == 1

    return {index for token, index in vocabulary.items() if is_one(token, index)}
