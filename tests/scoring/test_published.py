"""Published outputs give their published figures: SLTBaselines' five systems on PHOENIX-2014T and CSL-Daily.

Their PHOENIX text holds its final full stop as a word of its own, where 13a and white space agree; on
CSL-Daily their sacrebleu figures, made on spaced characters, are those of the tokenizer ``char``. Their
CSL-Daily ROUGE-L leaves a mark glued to its character ("几?") one token; that is another protocol.
"""

from pathlib import Path

import pytest

from fla_llm.scoring import Scores, pair, read_sentence_file, score


@pytest.fixture
def outputs(shared_data: Path) -> Path:
    folder = shared_data / "scorer" / "sltbaselines"
    if not folder.is_dir():
        pytest.skip(f"no published outputs at {folder}")
    return folder


def published_figures(path: Path) -> dict[str, float]:
    rows = (line.split(": ") for line in path.read_text(encoding="utf-8").splitlines())
    return {name: float(figure) for name, figure in rows}


def score_system(folder: Path, *, language: str) -> Scores:
    references = read_sentence_file(folder / "tmp_refs.txt").references()
    hypotheses = read_sentence_file(folder / "tmp_pres.txt").hypotheses()
    return score(pair(hypotheses, references), references.texts, language=language)


@pytest.mark.parametrize("system", ["GFSLT", "GFSLT-CiCO", "FlaLLM"])
def test_phoenix(outputs: Path, system: str) -> None:
    scores = score_system(outputs / "Phoenix" / system, language="de")
    published = published_figures(outputs / "Phoenix" / system / "scores.txt")
    for ours, name in [
        (scores.bleu1, "Bleu_1"),
        (scores.bleu2, "Bleu_2"),
        (scores.bleu3, "Bleu_3"),
        (scores.bleu4, "Bleu_4"),
        (scores.rouge_l, "ROUGE_L"),
    ]:
        assert ours / 100 == pytest.approx(published[name], abs=1e-10), name


def test_phoenix_gfslt_in_round_figures(outputs: Path) -> None:
    scores = score_system(outputs / "Phoenix" / "GFSLT", language="de")
    assert (round(scores.bleu1, 2), round(scores.bleu4, 2), round(scores.rouge_l, 2)) == (46.93, 22.23, 47.53)
    assert scores.count == 642


@pytest.mark.parametrize("system", ["Fla-LLM", "GFSLT"])
def test_csl_daily(outputs: Path, system: str) -> None:
    folder = outputs / "CSL-Daily" / system
    scores = score_system(folder, language="zh")
    published = published_figures(folder / "sacrebleu_library_scores.txt")
    for order, ours in enumerate((scores.bleu1, scores.bleu2, scores.bleu3, scores.bleu4), 1):
        assert ours == pytest.approx(published[f"sacre_bleu{order}"], abs=1e-10)
    assert scores.count == 1176
