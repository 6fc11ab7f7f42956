"""Pseudo-glosses: words that a head predicts from the features, as a further condition of the denoiser.

DiffSLT-P reads pseudo-glosses, and how they are predicted is not published. Here a word is a token of the
language model, the target of training is the set of tokens of the sentence, as in Sign2GPT (Wong et al.,
ICLR 2024), and the denoiser reads predicted words alone. No sentence is in reach of the prediction.

Letters: B clips, S steps of all streams, W width, V words, L tokens of a sentence.
"""

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ..core.errors import ConfigError
from ..llm.text_codec import TextCodec

MOST_WORDS = 4096
"""Largest number of words: those of the most sentences are kept."""
COMMON_SHARE = 0.5
"""Share of the sentences above which a word is no content word. A guess, which holds in every language."""
RARE_LOGIT = -4.0
"""Logit of each word before training: most words are absent from most sentences."""
LOSS_WEIGHT = 0.1
"""Weight of the loss of a clip, summed over the words, beside the error of the velocity. A guess."""


def content_words(texts: Sequence[str], *, codec: TextCodec) -> list[int]:
    """Return the token ids of content words in sentences, those of the most sentences first.

    Raises:
        ConfigError: every token is in more than half of the sentences.
    """
    special = set(codec.tokenizer.all_special_ids)
    counts = Counter(id for text in texts for id in set(codec.target_ids(text)) - special)
    # Sorted by id among equals: the order of a set of ids must not decide about weights.
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    found = [id for id, count in ranked if count <= COMMON_SHARE * len(texts)][:MOST_WORDS]
    if not found:
        raise ConfigError(
            f"'denoiser.pseudo_glosses' needs words that differ between the {len(texts)} sentences of "
            "training, but there are none.\nGive more clips, or set denoiser.pseudo_glosses=0."
        )
    return found


class PseudoGlosses(nn.Module):
    """Head that predicts the words of a clip, and an embedding for each word.

    Attributes:
        count: number of predicted words that join the conditions of a clip.
    """

    words: Tensor

    def __init__(self, width: int, *, words: Sequence[int], count: int) -> None:
        super().__init__()
        self.count = min(count, len(words))
        self.head = nn.Linear(width, len(words))
        self.embedding = nn.Embedding(len(words), width)
        nn.init.constant_(self.head.bias, RARE_LOGIT)
        # Not saved: run.json holds the words, because their number must be known before the weights.
        self.register_buffer("words", torch.tensor(words), persistent=False)

    def predict(self, features: Tensor, mask: Tensor) -> Tensor:
        """Return the logits (B, V) of the words, for features (B, S, W) and the mask of real steps (B, S)."""
        # A word is signed at some step, so the step that shows it best decides.
        return self.head(features).float().masked_fill(~mask[..., None], -torch.inf).amax(dim=1)

    def forward(self, logits: Tensor) -> Tensor:
        """Return the embeddings (B, count, W) of the most probable words, times their probabilities."""
        best = logits.topk(self.count, dim=1)
        # A word that is hardly believed must hardly matter: every clip has the same number of words.
        return self.embedding(best.indices) * best.values.sigmoid()[..., None]

    def loss(self, logits: Tensor, sentence_ids: Tensor) -> Tensor:
        """Return the weighted loss of all clips, against the tokens (B, L) of their sentences."""
        present = (sentence_ids[..., None] == self.words).any(dim=1).float()
        return LOSS_WEIGHT * binary_cross_entropy_with_logits(logits, present, reduction="sum")
