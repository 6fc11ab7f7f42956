"""ROUGE-L as sign language translation reports it: the F of the longest common subsequence, by sentence.

Published ROUGE columns mix at least four definitions. The one here is that of the MS COCO caption
evaluation (``coco-caption``, ``rouge.py``), which signjoey copied and most later papers inherit. It keeps
umlauts and Chinese characters, which the ``rouge_score`` package throws away.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RougeL:
    """One variant of ROUGE-L: how tokens are cut and how recall is weighed against precision."""

    beta: float = 1.2
    """Weight of recall over precision; 1.2 in coco-caption and signjoey."""

    def sentence_scores(
        self, hypotheses: Sequence[str], references: Sequence[str], *, by_character: bool
    ) -> list[float]:
        """Return the ROUGE-L of each pair, 0-100; a corpus scores their mean.

        Args:
            hypotheses: one sentence a pair.
            references: as many.
            by_character: whether each character is a token (white space is none), or each word.

        >>> RougeL().sentence_scores(["regen morgen", ""], ["morgen regen", "sonne"], by_character=False)
        [50.0, 0.0]
        """
        return [
            100 * self._f_score(_tokens(hypothesis, by_character), _tokens(reference, by_character))
            for hypothesis, reference in zip(hypotheses, references, strict=True)
        ]

    def signature(self, *, by_character: bool) -> str:
        """Return what reproduces the figure, in the manner of sacrebleu's signatures."""
        return f"avg:sentence|beta:{self.beta:g}|tok:{'char' if by_character else 'whitespace'}"

    def _f_score(self, hypothesis: list[str], reference: list[str]) -> float:
        common = lcs_length(hypothesis, reference)
        if common == 0:
            return 0.0
        precision, recall = common / len(hypothesis), common / len(reference)
        return (1 + self.beta**2) * precision * recall / (recall + self.beta**2 * precision)


def lcs_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence of two token sequences.

    Each row of the usual table is one integer, bit j standing for token j of ``second``; a bit is cleared
    where the row's value rises by one, so the cleared bits of the last row are the length. One addition
    moves a whole row on, where the table needs ``len(second)`` comparisons.

    Source: Hyyrö, "Bit-Parallel LCS-length Computation Revisited" (2004), figure 3.

    >>> lcs_length("abcbdab", "bdcaba")
    4
    """
    positions: dict[str, int] = {}
    for index, token in enumerate(second):
        positions[token] = positions.get(token, 0) | 1 << index
    full = (1 << len(second)) - 1
    row = full
    for token in first:
        matches = row & positions.get(token, 0)
        row = ((row + matches) | (row - matches)) & full
    return len(second) - row.bit_count()


def _tokens(text: str, by_character: bool) -> list[str]:
    return list("".join(text.split())) if by_character else text.split()
