"""Conversion between text and the token ids of a language model: prompt, target, decoder prefix."""

import random
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core.errors import ModelError
from ..core.sample import DEFAULT_TASK, Task
from ..core.seeds import derive_seed
from .compatibility import check_ids
from .prompt import Prompts, examples_key

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# mBART names languages de_DE, NLLB deu_Latn. Two letters name one mBART language; NLLB needs a table.
_LANGUAGE_TOKEN = re.compile(r"[a-z]{2}_[A-Z]{2}|[a-z]{3}_[A-Z][a-z]{3}")
_NLLB = {
    "ar": "arb_Arab", "cs": "ces_Latn", "de": "deu_Latn", "en": "eng_Latn", "es": "spa_Latn",
    "fr": "fra_Latn", "it": "ita_Latn", "ja": "jpn_Jpan", "ko": "kor_Hang", "nl": "nld_Latn",
    "pl": "pol_Latn", "pt": "por_Latn", "ru": "rus_Cyrl", "tr": "tur_Latn", "uk": "ukr_Cyrl",
    "zh": "zho_Hans",
}  # fmt: skip


MAX_KEPT_TEXTS = 50_000
"""Sentences whose token ids a codec keeps: about 40 MB. Longer corpora are tokenised again."""


class TextCodec:
    """Tokenizer of a language model, with the prompt, target and decoder prefix of this project.

    Attributes:
        pad_id: id at the ends of padded rows. Lengths mark the padding, never this id, since many models pad
            with their end token.
        eos_id: last id of every target. Without the end token a model never learns to stop.
        examples: texts before the prompt, by :func:`.prompt.examples_key`. Empty by default.
    """

    def __init__(
        self,
        tokenizer: Any,
        config: "PretrainedConfig",
        *,
        prompts: Prompts,
    ) -> None:
        """Read the tokenizer and the config of the model.

        Args:
            tokenizer: tokenizer of the model.
            config: config of the model.
            prompts: templates of the prompts.

        Raises:
            ModelError: the tokenizer has no end token.
        """
        if tokenizer.eos_token_id is None:
            raise ModelError(
                "The model's tokenizer must have an end token, but has none.\nGive another --llm."
            )
        self.tokenizer = tokenizer
        self.prompts = prompts
        self.examples: dict[str, list[str]] = {}
        self._restored: dict[str, list[int]] = {}
        self._target_ids: dict[str, tuple[int, ...]] = {}
        self.eos_id: int = tokenizer.eos_token_id
        self.pad_id: int = self.eos_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        self._config = config
        self._encoder_decoder: bool = config.is_encoder_decoder
        self._start_id: int | None = getattr(config, "decoder_start_token_id", None)
        self._languages = _language_tokens(tokenizer) if config.is_encoder_decoder else {}

    def lead_ids(self) -> list[int]:
        """Return the ids before the features: the begin token of a decoder-only model, or none."""
        if self._encoder_decoder:
            return []
        # Some tokenizers have a begin token and never write it, so the tokenizer itself is asked.
        first = self.tokenizer("a")["input_ids"][:1]
        return first if first == [self.tokenizer.bos_token_id] else []

    def prompt_ids(self, language: str, task: Task = DEFAULT_TASK) -> list[int]:
        """Return the prompt ids. An encoder also gets the special tokens at the end of an input."""
        if self._languages:  # the source language's token ends the encoder's input, as in pretraining
            self.tokenizer.src_lang = self._language_token(language)
        examples = self.examples.get(examples_key(language, task), ())
        text = self.prompts.whole(language, task, examples=examples)
        ids = self.tokenizer(text, add_special_tokens=self._encoder_decoder)["input_ids"]
        check_ids(ids, self._config, self.tokenizer, text=text)
        return ids

    def target_ids(self, text: str) -> list[int]:
        """Return a sentence's tokens and the end token.

        Raises:
            ModelError: the model has no embedding for a token.
        """
        if text in self._target_ids:
            return list(self._target_ids[text])
        ids = [*self.tokenizer(text, add_special_tokens=False)["input_ids"], self.eos_id]
        check_ids(ids, self._config, self.tokenizer, text=text)
        # The coverage check, the batch plan and every epoch ask for the same sentences.
        if len(self._target_ids) < MAX_KEPT_TEXTS:
            self._target_ids[text] = tuple(ids)
        return ids

    def decoder_prefix_ids(self, language: str) -> list[int]:
        """Return the decoder prefix: the start token and, in multilingual models, the language token.

        mBART-25 starts from the language alone, mBART-50 and NLLB from ``</s>`` and the language. The list is
        empty for a decoder-only model.
        """
        if not self._encoder_decoder:
            return []
        if language in self._restored:
            return self._restored[language]
        start = [] if self._start_id is None else [self._start_id]
        if not self._languages:
            return start or [self.pad_id]
        language_id = self._languages[self._language_token(language)]
        return [language_id] if self._start_id in (None, *self._languages.values()) else [*start, language_id]

    def restore_decoder_prefixes(self, prefixes: Mapping[str, Sequence[int]]) -> None:
        """Use the decoder prefixes of training, also if the files of the tokenizer have changed since.

        Args:
            prefixes: language -> result of :meth:`decoder_prefix_ids` in training.
        """
        self._restored = {language: list(ids) for language, ids in prefixes.items()}

    def decode(self, ids: Sequence[int]) -> str:
        """Return the sentence without special tokens, with the spaces of the model."""
        text = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.strip()

    def _language_token(self, language: str) -> str:
        for token in self._languages:
            if token == _NLLB.get(language) or re.fullmatch(f"{language}_[A-Z]{{2}}", token):
                return token
        raise ModelError(
            f"The model must have a token for the language {language!r}, but has only "
            f"{', '.join(sorted(self._languages))}.\nGive another --llm."
        )


def draw_examples(
    texts: Sequence[str], keys: Sequence[str], *, count: int, seed: int
) -> dict[str, list[str]]:
    """Return up to ``count`` different texts of each key.

    Args:
        texts: texts of the training split. Scored texts must not be shown to the model.
        keys: language and task of each text, by :func:`.prompt.examples_key`.
        count: number of texts. 0 gives none.
        seed: seed of the choice.
    """
    drawn: dict[str, list[str]] = {}
    for key in sorted(set(keys)) if count else ():
        # Sorted, so that the choice depends on the seed alone and not on the order of the corpus.
        own = sorted({text for text, other in zip(texts, keys, strict=True) if other == key})
        drawn[key] = random.Random(derive_seed(seed, "examples")).sample(own, min(count, len(own)))
    return drawn


def _language_tokens(tokenizer: Any) -> dict[str, int]:
    added = tokenizer.get_added_vocab()
    return {token: index for token, index in added.items() if _LANGUAGE_TOKEN.fullmatch(token)}
