"""Training data of the small language model: packed text, or noisy sentences to restore."""

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from ..core.seeds import derive_seed
from ..training.model import IGNORED
from .config import Kind

ROW_TOKENS = 96  # tokens in a row of packed sentences
LEAST_KEPT_SHARE, LONGEST_STRETCH = 0.4, 3
LEAST_KEPT_IN_ORDER = 0.7
"""Least share of tokens kept where their order is kept. With 0.4, the model guesses more than it reads."""


class TextBatches(Dataset[dict[str, Tensor]]):
    """Dataset with one batch per step, drawn from (seed, step)."""

    def __init__(
        self,
        sentences: Sequence[str],
        tokenizer: Any,
        *,
        kind: Kind,
        keep_order: bool = False,
        steps: int,
        batch_tokens: int,
        seed: int,
    ) -> None:
        """Tokenise the sentences once."""
        self.rows: list[list[int]] = [
            tokenizer(text, add_special_tokens=False)["input_ids"] for text in sentences
        ]
        self.tokenizer = tokenizer
        self.kind, self.keep_order = kind, keep_order
        self.steps = steps
        self.batch_tokens = batch_tokens
        self.seed = seed

    def __len__(self) -> int:
        """Return the number of steps."""
        return self.steps

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        """Return the arguments of the model's forward."""
        draw = random.Random(derive_seed(self.seed, "text", step))
        if self.kind == "causal":
            return self._packed(draw)
        # +1: each sentence has an end token.
        mean = sum(map(len, self.rows)) / len(self.rows) + 1
        chosen = draw.choices(self.rows, k=max(1, round(self.batch_tokens / mean)))
        return denoising_batch(chosen, self.tokenizer, draw=draw, keep_order=self.keep_order)

    def _packed(self, draw: random.Random) -> dict[str, Tensor]:
        """Return rows of sentences with begin and end tokens. The last sentence of a row is cut off."""
        begin, end = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        rows: list[list[int]] = []
        for _ in range(max(1, self.batch_tokens // ROW_TOKENS)):
            row: list[int] = []
            while len(row) < ROW_TOKENS:
                row += [begin, *draw.choice(self.rows), end]
            # Rows of equal length need no padding.
            rows.append(row[:ROW_TOKENS])
        ids = torch.tensor(rows)  # labels too: the model itself shifts labels by one token
        return {"input_ids": ids, "labels": ids}


def denoising_batch(
    rows: Sequence[Sequence[int]], tokenizer: Any, *, draw: random.Random, keep_order: bool = False
) -> dict[str, Tensor]:
    """Return noisy sentences for the encoder, and whole sentences for the decoder.

    Args:
        rows: token ids without special tokens.
        tokenizer: tokenizer with pad and end tokens.
        draw: source of the noise, see :func:`add_noise`.
        keep_order: leave the tokens of a noisy sentence in their order.
    """
    end = tokenizer.eos_token_id
    noisy = (add_noise(row, draw=draw, keep_order=keep_order) for row in rows)
    sources = [torch.tensor([*row, end]) for row in noisy]
    targets = [torch.tensor([*row, end]) for row in rows]
    reads = [torch.tensor([end, *row]) for row in rows]  # the decoder starts from the end token, as mBART-50
    ids = pad_sequence(sources, batch_first=True, padding_value=tokenizer.pad_token_id)
    return {
        "input_ids": ids,
        "attention_mask": (ids != tokenizer.pad_token_id).long(),
        "decoder_input_ids": pad_sequence(reads, batch_first=True, padding_value=tokenizer.pad_token_id),
        "labels": pad_sequence(targets, batch_first=True, padding_value=IGNORED),
    }


def add_noise(row: Sequence[int], *, draw: random.Random, keep_order: bool = False) -> list[int]:
    """Return some tokens of a sentence, some of them repeated, in random order unless ``keep_order``.

    Deletion and permutation are the noise of BART (Lewis et al. 2020, section 2.2).
    """
    # No masks: masked sentences keep their order, and the decoder would learn to copy from its own position.
    # Signs come in another order than words, and each lasts for several frames.
    share = draw.uniform(LEAST_KEPT_IN_ORDER if keep_order else LEAST_KEPT_SHARE, 1.0)
    kept = [token for token in row if draw.random() < share]
    # Where order carries meaning, a model that reads any order confuses subject and object for good.
    if not keep_order:
        draw.shuffle(kept)
    return [token for token in kept for _ in range(draw.randint(1, LONGEST_STRETCH))]
