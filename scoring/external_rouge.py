"""Definitions of ROUGE-L in other packages, installed by the extra ``fla-llm[rouge]``."""

from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from .rouge import CHARACTER_LANGUAGES


def not_installed(module: str) -> str | None:
    """Return a sentence with the command to install a missing package, or None for an installed package."""
    # find_spec does not import the package, which loads nltk.
    if find_spec(module) is not None:
        return None
    return f"needs the package {module}: pip install 'fla-llm[rouge]'"


@dataclass(frozen=True, kw_only=True)
class GoogleRouge:
    """``rouge_score`` by Google: beta 1, lower case, and only ``a-z0-9`` are letters.

    German words are cut at umlauts. Chinese, Japanese and Thai have no token left, so that there is no
    figure for them.
    """

    stemmed: bool
    """Remove English endings of words (Porter's stemmer)."""

    def undefined(self, language: str) -> str | None:
        """Return the reason why a language has no figure, or None."""
        if language in CHARACTER_LANGUAGES:
            return f"rouge_score keeps a-z and 0-9 alone, and so nothing of {language!r}"
        return not_installed("rouge_score")

    def sentence_score(self, hypothesis: str, reference: str, *, language: str) -> float:
        """Return the F measure of one pair, 0-100."""
        del language
        # The package takes the reference first.
        return 100 * _google_scorer(self.stemmed).score(reference, hypothesis)["rougeL"].fmeasure

    def signature(self, language: str) -> str:
        """Return the settings that reproduce the figure."""
        del language
        stemmer = "porter" if self.stemmed else "no"
        return f"avg:sentence|beta:1|tok:a-z0-9|stem:{stemmer}|rouge_score:{version('rouge_score')}"


@dataclass(frozen=True, kw_only=True)
class PipRouge:
    """ROUGE-L of the package ``rouge``: beta 1, and the union of subsequences of sentences.

    A full stop ends a sentence.
    A word that is twice in a sentence counts once. The package refuses a hypothesis without words, which
    scores 0 here.
    """

    def undefined(self, language: str) -> str | None:
        """Return a sentence about the missing package, or None. All languages are defined."""
        del language
        return not_installed("rouge")

    def sentence_score(self, hypothesis: str, reference: str, *, language: str) -> float:
        """Return the F measure of one pair, 0-100."""
        del language
        # The package raises ValueError here, but a system may well say nothing.
        if not hypothesis.replace(".", "").strip() or not reference.replace(".", "").strip():
            return 0.0
        return 100 * _pip_scorer().get_scores(hypothesis, reference)[0]["rouge-l"]["f"]

    def signature(self, language: str) -> str:
        """Return the settings that reproduce the figure."""
        del language
        return f"avg:sentence|beta:1|tok:space|sentences:full-stop|rouge:{version('rouge')}"


@dataclass(frozen=True, kw_only=True)
class NoRouge:
    """No ROUGE at all, and why."""

    reason: str
    """Reason, printed in place of the figure."""

    def undefined(self, language: str) -> str | None:
        """Return the reason."""
        del language
        return self.reason

    def sentence_score(self, hypothesis: str, reference: str, *, language: str) -> float:
        """Raise an error, because no caller may ask for this figure."""
        raise NotImplementedError(f"{hypothesis!r}, {reference!r}, {language}: {self.reason}")

    def signature(self, language: str) -> str:
        """Return "none"."""
        del language
        return "none"


class _StemmedTokens:
    """Tokenizer of ``rouge_score`` with a stemmer that stems each word once."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer  # type: ignore[import-not-found]  # comes with rouge_score

        # Half of the time of rouge_score went into stemming the same words again.
        self.stem = lru_cache(maxsize=1 << 16)(PorterStemmer().stem)

    def tokenize(self, text: str) -> list[str]:
        """Return the tokens of a text, as ``RougeScorer`` expects."""
        from rouge_score.tokenize import tokenize  # type: ignore[import-not-found]  # an extra

        return tokenize(text, self)


@cache
def _google_scorer(stemmed: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-not-found]  # an extra

    # Made once: setting up a scorer for each sentence takes longer than the score.
    return RougeScorer(["rougeL"], tokenizer=_StemmedTokens() if stemmed else None)


@cache
def _pip_scorer() -> Any:
    from rouge import Rouge  # type: ignore[import-not-found]  # an extra

    return Rouge(metrics=["rouge-l"])
