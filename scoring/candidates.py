"""Several candidates for each clip: a choice without references, and scores of quality and diversity."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from .protocol import Protocol
from .score import prepare

Choice = Literal["best", "mbr", "mbr-bleu"]
Utility = Callable[[str, str], float]
DISTINCT_ORDERS = (1, 2)
ALIKE = 100.0
"""Self-BLEU and pairwise chrF of a clip whose candidates are one sentence."""


@dataclass(frozen=True, kw_only=True)
class CandidateScores:
    """Diversity of the candidates, in percent where no unit stands, and the score of an oracle."""

    protocol: str
    """Convention of the tokenizer and of the steps on the sentences."""
    candidates: float
    """Candidates of a clip, a mean over clips."""
    distinct_sentences: float
    """Different sentences of a clip, a mean over clips."""
    distinct_1: float
    """Different words among all words of a clip's candidates (Li et al., NAACL 2016), summed over clips."""
    distinct_2: float
    """Different pairs of words among all pairs, in the same way."""
    self_bleu: float
    """BLEU-4 of a candidate against the other candidates of its clip (Zhu et al., SIGIR 2018), a mean.

    Lower is more diverse.
    """
    pairwise_chrf: float
    """chrF2 of a candidate against each other candidate of its clip, a mean. Lower is more diverse."""
    oracle_bleu4: float
    """BLEU-4 of the candidates with the highest sentence BLEU. It reads the references, so it is no score."""


def choose(candidates: Sequence[str], *, how: Choice, language: str, protocol: Protocol) -> int:
    """Return the index of the chosen candidate of a clip. No reference is read.

    ``best`` is the first candidate. ``mbr`` and ``mbr-bleu`` have the lowest Bayes risk (Kumar and Byrne,
    NAACL 2004): the highest mean chrF2 or sentence BLEU against all candidates. A repeated candidate counts
    each time. Of equal candidates the first wins.

    Args:
        candidates: sentences of a clip, the most probable first.
        how: name of the choice.
        language: ISO 639 code of the sentences.
        protocol: convention with the tokenizer of BLEU.
    """
    if how == "best":
        return 0
    utility = _chrf() if how == "mbr" else _sentence_bleu(protocol, language)
    gains = [sum(utility(candidate, other) for other in candidates) for candidate in candidates]
    return gains.index(max(gains))


def score_candidates(
    candidates: Sequence[Sequence[str]], references: Sequence[str], *, language: str, protocol: Protocol
) -> CandidateScores:
    """Return the diversity of the candidates of each clip, and the score of the oracle.

    Args:
        candidates: at least one sentence for each clip.
        references: one sentence for each clip.
        language: ISO 639 code.
        protocol: convention with the steps on the sentences and the tokenizer.

    Raises:
        DataError: the protocol refuses the language or the sentences.
    """
    references = prepare([], references, rules=protocol, language=language)[1]
    clips = [[protocol.prepare_hypothesis(text, language) for text in clip] for clip in candidates]
    bleu, chrf = _sentence_bleu(protocol, language), _chrf()
    oracle = [
        max(clip, key=lambda text: bleu(text, reference))  # noqa: B023  # called before the next reference
        for clip, reference in zip(clips, references, strict=True)
    ]
    metric = protocol.bleu(language)
    distinct = [_distinct_share(clips, order=order, metric=metric) for order in DISTINCT_ORDERS]
    return CandidateScores(
        protocol=protocol.name,
        candidates=_mean([len(clip) for clip in clips]),
        distinct_sentences=_mean([len(set(clip)) for clip in clips]),
        distinct_1=distinct[0],
        distinct_2=distinct[1],
        self_bleu=_mean([_self_bleu(clip, protocol, language) for clip in clips]),
        pairwise_chrf=_mean([_pairwise(clip, chrf) for clip in clips]),
        oracle_bleu4=metric.corpus_score(oracle, [references]).score,
    )


def _self_bleu(clip: Sequence[str], protocol: Protocol, language: str) -> float:
    if len(set(clip)) == 1:
        return ALIKE
    metric = _sentence_metric(protocol, language)
    rest = [[*clip[:number], *clip[number + 1 :]] for number in range(len(clip))]
    return _mean([metric.sentence_score(text, other).score for text, other in zip(clip, rest, strict=True)])


def _pairwise(clip: Sequence[str], utility: Utility) -> float:
    # chrF counts recall twice, so the order of a pair matters.
    return ALIKE if len(clip) == 1 else _mean([utility(*pair) for pair in permutations(clip, 2)])


def _distinct_share(clips: Sequence[Sequence[str]], *, order: int, metric: BLEU) -> float:
    different = total = 0
    for clip in clips:
        words = [metric.tokenizer(text).split() for text in clip]
        grams = [tuple(row[at : at + order]) for row in words for at in range(len(row) - order + 1)]
        different, total = different + len(set(grams)), total + len(grams)
    return 100 * different / total if total else 0.0


def _sentence_metric(protocol: Protocol, language: str) -> BLEU:
    # Without effective order a sentence of three words scores nearly 0 against itself.
    return BLEU(tokenize=protocol.tokenizer(language), effective_order=True, force=True)


def _sentence_bleu(protocol: Protocol, language: str) -> Utility:
    metric = _sentence_metric(protocol, language)
    return lambda text, reference: metric.sentence_score(text, [reference]).score


def _chrf() -> Utility:
    metric = CHRF()
    return lambda text, reference: metric.sentence_score(text, [reference]).score


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
