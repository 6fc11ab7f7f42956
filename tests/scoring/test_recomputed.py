"""Each protocol with published figures equals a second computation, on generated text.

The published outputs of ``test_published.py`` are not part of the repository. These tests need no data: the
figures are computed here by textbook formulas, or by direct calls of sacrebleu and rouge_score.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import pytest
from sacrebleu.metrics.bleu import BLEU

from fla_llm.scoring import Scores, pair, read_sentence_file, score

GERMAN = "im norden und am tag regen schnee größer schön wind weht mäßig zwölf grad morgen"
CHINESE = "今天我想吃面条星期几岁北京下雨明天"
Texts = list[str]


def german(draw: random.Random) -> str:
    """Return a sentence of 5 to 12 words, mostly with a full stop as PHOENIX-2014T writes it."""
    return " ".join(draw.choices(GERMAN.split(), k=draw.randint(5, 12))) + draw.choice(["", " .", " ."])


def chinese(draw: random.Random) -> str:
    """Return a sentence of 5 to 12 characters, with or without spaces between them."""
    return draw.choice(["", " "]).join([*draw.choices(CHINESE, k=draw.randint(5, 12)), "。"])


def corrupted(sentence: str, draw: random.Random) -> str:
    """Return a sentence as a system could write it: some tokens are missing, some doubled."""
    tokens = sentence.split(" ") if " " in sentence else list(sentence)
    kept = [token for token in tokens for _ in range(draw.choice([0, 1, 1, 1, 1, 2]))]
    return ("" if " " not in sentence else " ").join(kept) or tokens[0]


@pytest.fixture(params=["de", "zh"])
def language(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def texts(language: str, tmp_path: Path) -> tuple[Texts, Texts]:
    """Return 60 hypotheses and references, and write them as the published files are written."""
    draw = random.Random(language)
    make: Callable[[random.Random], str] = {"de": german, "zh": chinese}[language]
    references = [make(draw) for _ in range(60)]
    hypotheses = [corrupted(sentence, draw) for sentence in references]
    for name, side in (("tmp_pres.txt", hypotheses), ("tmp_refs.txt", references)):
        (tmp_path / name).write_text("".join(f"{sentence}\n" for sentence in side), encoding="utf-8")
    return hypotheses, references


def scored(folder: Path, *, language: str, protocol: str) -> Scores:
    references = read_sentence_file(folder / "tmp_refs.txt").references()
    hypotheses = read_sentence_file(folder / "tmp_pres.txt").hypotheses()
    return score(pair(hypotheses, references), references.texts, language=language, protocol=protocol)


def as_sltbaselines(side: Texts, language: str) -> Texts:
    """Put spaces between Chinese characters, and end German with a full stop of its own."""
    if language == "zh":
        return [text if " " in text else " ".join(text) for text in side]
    return [text if text.endswith(" .") else text + " ." for text in side]


def textbook_bleu(hypotheses: Texts, references: Texts, *, order: int) -> float:
    """Return BLEU of words at spaces, without smoothing (Papineni et al. 2002)."""
    correct, total = [0] * order, [0] * order
    lengths = [0, 0]
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        own, wanted = hypothesis.split(), reference.split()
        lengths = [lengths[0] + len(own), lengths[1] + len(wanted)]
        for n in range(1, order + 1):
            found, allowed = (
                Counter(tuple(s[i : i + n]) for i in range(len(s) - n + 1)) for s in (own, wanted)
            )
            correct[n - 1] += sum(min(count, allowed[gram]) for gram, count in found.items())
            total[n - 1] += sum(found.values())
    logs = [math.log(right / all_) for right, all_ in zip(correct, total, strict=True)]
    return 100 * min(1.0, math.exp(1 - lengths[1] / lengths[0])) * math.exp(fmean(logs))


def textbook_rouge_l(hypotheses: Texts, references: Texts) -> float:
    """Return the mean F of the longest common subsequence, beta 1.2 (coco-caption, rouge.py)."""
    figures = []
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        own, wanted = hypothesis.split(" "), reference.split(" ")
        common = table_lcs(own, wanted)
        precision, recall = common / len(own), common / len(wanted)
        weight = 1.2**2
        figures.append((1 + weight) * precision * recall / (recall + weight * precision) if common else 0)
    return 100 * fmean(figures)


def table_lcs(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence by the usual table."""
    row = [0] * (len(second) + 1)
    for token in first:
        before = row
        row = [0]
        for j, other in enumerate(second):
            row.append(before[j] + 1 if token == other else max(before[j + 1], row[j]))
    return row[-1]


def test_sltbaselines(texts: tuple[Texts, Texts], language: str, tmp_path: Path) -> None:
    """Stands in for scores.txt of five systems."""
    scores = scored(tmp_path, language=language, protocol="sltbaselines")
    sides = [as_sltbaselines(side, language) for side in texts]
    assert scores.count == 60
    for order, ours in enumerate((scores.bleu1, scores.bleu2, scores.bleu3, scores.bleu4), 1):
        assert ours == pytest.approx(textbook_bleu(*sides, order=order), abs=1e-10)
        assert 5 < ours < 95
    assert scores.rouge_l == pytest.approx(textbook_rouge_l(*sides), abs=1e-10)


def test_sltbaselines_sacrebleu(texts: tuple[Texts, Texts], language: str, tmp_path: Path) -> None:
    """Stands in for sacrebleu_library_scores.txt of two systems."""
    scores = scored(tmp_path, language=language, protocol="sltbaselines-sacrebleu")
    hypotheses, references = (as_sltbaselines(side, language) for side in texts)
    for order, ours in enumerate((scores.bleu1, scores.bleu2, scores.bleu3, scores.bleu4), 1):
        theirs = BLEU(max_ngram_order=order, force=True).corpus_score(hypotheses, [references])
        assert ours == pytest.approx(theirs.score, abs=1e-10)


@pytest.mark.parametrize("language", ["de"], indirect=True)
def test_gfslt(texts: tuple[Texts, Texts], tmp_path: Path) -> None:
    """Stands in for the figures of GFSLT in round numbers, and for its ROUGE-L."""
    scores = scored(tmp_path, language="de", protocol="gfslt")
    hypotheses, references = ([text.removesuffix(" .") for text in side] for side in texts)
    theirs = BLEU(force=True).corpus_score(hypotheses, [references])
    assert scores.bleu4 == pytest.approx(theirs.score, abs=1e-10)
    assert scores.rouge_l == pytest.approx(textbook_rouge_l(hypotheses, references), abs=1e-10)
    assert abs(scores.bleu4 - scored(tmp_path, language="de", protocol="sltbaselines").bleu4) > 0.5


@pytest.mark.parametrize("language", ["de"], indirect=True)
@pytest.mark.parametrize(("protocol", "stemmed"), [("ssvp", False), ("spamo", True)])
def test_rouge_l_of_google(texts: tuple[Texts, Texts], tmp_path: Path, protocol: str, stemmed: bool) -> None:
    """Stands in for the ROUGE-L of two systems under SSVP-SLT and SpaMo."""
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="fla-llm[rouge] is not installed")
    scores = scored(tmp_path, language="de", protocol=protocol)
    hypotheses, references = texts
    if protocol == "spamo":
        references = [text if text.endswith(".") else text + "." for text in references]
    theirs = scorer.RougeScorer(["rougeL"], use_stemmer=stemmed)
    pairs = zip(hypotheses, references, strict=True)
    figures = [theirs.score(reference, hypothesis)["rougeL"].fmeasure for hypothesis, reference in pairs]
    assert scores.rouge_l == pytest.approx(100 * fmean(figures), abs=1e-10)


def test_three_words_by_hand() -> None:
    """Of "regen im norden ." "regen norden ." has all 3 words, 1 of 2 pairs and no triple."""
    scores = score(["regen norden"], ["regen im norden"], language="de", protocol="sltbaselines")
    brevity = math.exp(1 - 4 / 3)
    assert scores.bleu1 == pytest.approx(100 * brevity)
    assert scores.bleu2 == pytest.approx(100 * brevity * math.sqrt(1 * 1 / 2))
    assert (scores.bleu3, scores.bleu4) == (0, 0)
    assert scores.rouge_l == pytest.approx(100 * 2.44 * 1 * 0.75 / (0.75 + 1.44 * 1))
