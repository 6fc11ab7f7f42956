"""Published outputs give their published figures: SLTBaselines on PHOENIX-2014T and CSL-Daily."""

from pathlib import Path

import pytest

from fla_llm.scoring import Scores, pair, read_sentence_file, score

SYSTEMS = [
    ("Phoenix/GFSLT", "de", 642),
    ("Phoenix/GFSLT-CiCO", "de", 642),
    ("Phoenix/FlaLLM", "de", 639),
    ("CSL-Daily/Fla-LLM", "zh", 1176),
    ("CSL-Daily/GFSLT", "zh", 1176),
]


@pytest.fixture
def outputs(shared_data: Path) -> Path:
    folder = shared_data / "scorer" / "sltbaselines"
    if not folder.is_dir():
        pytest.skip(f"no published outputs at {folder}")
    return folder


def published_figures(path: Path) -> dict[str, float]:
    rows = (line.split(": ") for line in path.read_text(encoding="utf-8").splitlines())
    return {name: float(figure) for name, figure in rows}


def score_system(folder: Path, *, language: str, protocol: str) -> Scores:
    references = read_sentence_file(folder / "tmp_refs.txt").references()
    hypotheses = read_sentence_file(folder / "tmp_pres.txt").hypotheses()
    return score(pair(hypotheses, references), references.texts, language=language, protocol=protocol)


@pytest.mark.parametrize(("system", "language", "count"), SYSTEMS)
def test_every_figure_of_scores_txt(outputs: Path, system: str, language: str, count: int) -> None:
    scores = score_system(outputs / system, language=language, protocol="sltbaselines")
    published = published_figures(outputs / system / "scores.txt")
    assert scores.count == count
    assert scores.rouge_l is not None
    for ours, name in [
        (scores.bleu1, "Bleu_1"),
        (scores.bleu2, "Bleu_2"),
        (scores.bleu3, "Bleu_3"),
        (scores.bleu4, "Bleu_4"),
        (scores.rouge_l, "ROUGE_L"),
    ]:
        assert ours / 100 == pytest.approx(published[name], abs=1e-10), name


@pytest.mark.parametrize("system", ["CSL-Daily/Fla-LLM", "CSL-Daily/GFSLT"])
def test_every_figure_of_sacrebleu_library_scores_txt(outputs: Path, system: str) -> None:
    scores = score_system(outputs / system, language="zh", protocol="sltbaselines-sacrebleu")
    published = published_figures(outputs / system / "sacrebleu_library_scores.txt")
    for order, ours in enumerate((scores.bleu1, scores.bleu2, scores.bleu3, scores.bleu4), 1):
        assert ours == pytest.approx(published[f"sacre_bleu{order}"], abs=1e-10)


def test_figures_in_round_numbers(outputs: Path) -> None:
    csl = score_system(outputs / "CSL-Daily/Fla-LLM", language="zh", protocol="sltbaselines")
    assert csl.rouge_l is not None
    assert (round(csl.bleu1, 2), round(csl.bleu4, 2), round(csl.rouge_l, 2)) == (38.56, 10.56, 37.67)
    folder = outputs / "Phoenix/GFSLT"
    found = [score_system(folder, language="de", protocol=name).bleu4 for name in ("sltbaselines", "gfslt")]
    assert [round(bleu4, 2) for bleu4 in found] == [22.23, 21.09]


@pytest.mark.parametrize(
    ("system", "protocol", "rouge_l"),
    [  # measured once with nlg-eval's code and the package rouge_score, on the same files
        ("Phoenix/GFSLT", "gfslt", 42.73),
        ("Phoenix/GFSLT", "ssvp", 43.20),
        ("Phoenix/FlaLLM", "gfslt", 39.15),
        ("Phoenix/FlaLLM", "ssvp", 39.57),
        ("Phoenix/FlaLLM", "spamo", 40.10),
    ],
)
def test_other_definitions_of_rouge(outputs: Path, system: str, protocol: str, rouge_l: float) -> None:
    pytest.importorskip("rouge_score", reason="the extra fla-llm[rouge] is not installed")
    scores = score_system(outputs / system, language="de", protocol=protocol)
    assert scores.rouge_l == pytest.approx(rouge_l, abs=0.005)
