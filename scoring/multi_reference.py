"""BLEU against several references for each clip, under a name of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from .protocols import find_protocol


@dataclass(frozen=True, kw_only=True)
class MultiReferenceScores:
    """BLEU of a system against all references of each clip, in percent.

    The figure cannot be compared with BLEU-4 against one reference: more references give more matches.
    """

    multi_reference_bleu4: float
    """BLEU-4 of sacrebleu with several references."""
    references_per_clip: float
    """References of a clip, the first reference included, a mean over clips."""
    signature: str
    """Steps on the text, and sacrebleu's signature, enough to reproduce the figure."""


def score_multi_reference(
    hypotheses: Sequence[str],
    references: Sequence[str],
    further: Sequence[Sequence[str]],
    *,
    language: str,
    protocol: str,
) -> MultiReferenceScores:
    """Score hypotheses against the reference and the further references of each clip.

    Args:
        hypotheses: a sentence for each clip.
        references: the first reference of each clip.
        further: further references of each clip, which may be none.
        language: ISO 639 code.
        protocol: a name of ``PROTOCOLS``. Its steps are applied to all references.

    Raises:
        ConfigError: no protocol of this name.
    """
    rules = find_protocol(protocol)
    rows = [
        [rules.prepare_reference(text, language) for text in (first, *others)]
        for first, others in zip(references, further, strict=True)
    ]
    # sacrebleu takes columns of references, with None where a clip has fewer.
    columns = [list(column) for column in zip_longest(*rows)]
    bleu = rules.bleu(language)
    found = bleu.corpus_score([rules.prepare_hypothesis(text, language) for text in hypotheses], columns)
    return MultiReferenceScores(
        multi_reference_bleu4=found.score,
        references_per_clip=sum(map(len, rows)) / len(rows),
        signature=f"{rules.signature(language)} BLEU|{bleu.get_signature()}",
    )
