"""``fla score``, in process."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fla_llm.cli import fla, main
from fla_llm.core.errors import DataError
from fla_llm.core.files import write_jsonl
from fla_llm.core.sample import Sample, Split

TEXTS = ["es regnet im norden .", "im süden scheint die sonne .", "morgen wird es kälter ."]
HYPOTHESES = ["es regnet im norden .", "im süden scheint sie .", "heute wird es wärmer ."]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(fla, ["score", *map(str, arguments)], prog_name="fla", terminal_width=78)


def lines(path: Path, sentences: list[str]) -> Path:
    path.write_text("\n".join(sentences) + "\n", encoding="utf-8")
    return path


def predictions(path: Path, *, references: list[str] = TEXTS, language: str = "de") -> Path:
    rows = zip(HYPOTHESES, references, strict=True)
    write_jsonl(
        path,
        [
            {"id": f"{number}", "prediction": hypothesis, "reference": reference, "language": language}
            for number, (hypothesis, reference) in enumerate(rows)
        ],
    )
    return path


def manifest(path: Path) -> Path:
    """Three test sentences in reverse, and a train sentence, under the ids of ``predictions``."""
    from fla_llm.corpora.manifest import Manifest, write_manifest

    def sample(name: str, split: Split, text: str) -> Sample:
        return Sample(id=name, split=split, video="a.mp4", text=text, language="de", num_frames=8, fps=25.0)

    tests = [sample(str(number), "test", text) for number, text in reversed(list(enumerate(TEXTS)))]
    samples = (*tests, sample("0", "train", "etwas anderes ."))
    write_manifest(path, Manifest(corpus="table", root=path.parent, samples=samples))
    return path


def test_lines_against_lines(tmp_path: Path) -> None:
    found = run(lines(tmp_path / "h.txt", HYPOTHESES), "--refs", lines(tmp_path / "r.txt", TEXTS), "--json")
    scores = json.loads(found.stdout)["sacrebleu"]
    assert scores["count"] == 3
    # 5 of 5, 4 of 5 and 3 of 5 tokens right; 15 tokens for 16: penalty e^(1 - 16/15)
    assert scores["bleu1"] == pytest.approx(100 * 12 / 15 * 2.718281828459045 ** (-1 / 15))
    assert "tok:13a" in scores["signature"]


def test_a_predictions_file_brings_its_references_and_language(tmp_path: Path) -> None:
    alone = run(predictions(tmp_path / "p.jsonl"), "--json")
    beside = run(predictions(tmp_path / "p.jsonl"), "--refs", lines(tmp_path / "r.txt", TEXTS), "--json")
    assert alone.stdout == beside.stdout
    chinese = run(predictions(tmp_path / "zh.jsonl", language="zh"), "--json")
    assert "tok:char" in json.loads(chinese.stdout)["sacrebleu"]["signature"]


def test_references_of_a_manifest_are_matched_by_id(tmp_path: Path) -> None:
    path = predictions(tmp_path / "p.jsonl")
    by_manifest = run(path, "--refs", manifest(tmp_path / "manifest.jsonl"), "--json")
    theirs, own = (json.loads(found.stdout)["sacrebleu"] for found in (by_manifest, run(path, "--json")))
    assert theirs == pytest.approx(own)
    with pytest.raises(DataError, match=r"manifest.jsonl \(train\), but also has 2: '1', '2'"):
        raise_of(run(path, "--refs", tmp_path / "manifest.jsonl", "--split", "train"))


def test_the_table_shows_scores_and_signatures(tmp_path: Path) -> None:
    shown = run(predictions(tmp_path / "p.jsonl")).stdout.splitlines()
    assert shown[0].split() == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "chrF2", "ROUGE-L", "sentences"]
    assert shown[1].split()[0] == str(tmp_path / "p.jsonl")
    assert shown[1].split()[-1] == "3"
    assert [line.split()[0] for line in shown[3:]] == ["BLEU", "chrF2", "ROUGE-L"]


def test_two_systems_are_compared(tmp_path: Path) -> None:
    first, second = predictions(tmp_path / "a.jsonl"), lines(tmp_path / "b.txt", TEXTS)
    scores = json.loads(run(first, second, "--json").stdout)["sacrebleu"]
    assert scores["second"]["bleu4"] == pytest.approx(100)
    assert scores["paired_bootstrap"]["bleu4"]["second"] == pytest.approx(100)
    assert 0 < scores["paired_bootstrap"]["chrf"]["p_value"] <= 1
    shown = run(first, second).stdout
    assert "paired bootstrap" in shown
    assert "±" in shown


def test_predictions_of_other_references_are_not_compared(tmp_path: Path) -> None:
    first = predictions(tmp_path / "a.jsonl")
    second = predictions(tmp_path / "b.jsonl", references=[text.upper() for text in TEXTS])
    with pytest.raises(DataError, match="b.jsonl must hold the same references as .*a.jsonl"):
        raise_of(run(first, second))


def test_hypotheses_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="h.txt must be scored against references, but has none"):
        raise_of(run(lines(tmp_path / "h.txt", HYPOTHESES)))


def test_a_missing_file_is_input_refused_not_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none.txt cannot be read"):
        raise_of(run(tmp_path / "none.txt"))


def raise_of(result: Result) -> None:
    """Raise what the command raised: ``main`` turns it into a sentence and exit code 1."""
    assert result.exception is not None
    raise result.exception


def test_main_turns_a_refusal_into_a_sentence_and_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["fla", "score", str(tmp_path / "none.txt")])
    with pytest.raises(SystemExit, match="1"):
        main()
    shown = capsys.readouterr()
    assert shown.err.startswith(f"fla: {tmp_path / 'none.txt'} cannot be read")
    assert shown.out == ""
