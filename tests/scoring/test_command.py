"""``fla score``, in process."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fla_llm.cli import fla, main
from fla_llm.core.errors import ConfigError, DataError
from fla_llm.core.files import write_jsonl
from fla_llm.core.sample import Sample, Split
from fla_llm.scoring import PROTOCOLS

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
    figures = ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "chrF2", "WER", "exact"]
    assert shown[0].split() == [*figures, "sentences"]
    assert shown[1].split()[0] == "sacrebleu"
    assert shown[1].split()[-1] == "3"
    assert shown[3].startswith("protocol:sacrebleu|lang:de|hyp:raw|ref:raw BLEU|nrefs:1|")
    # Wrong are "sie" in the second sentence, "heute" and "wärmer" in the third. "sonne" is absent.
    assert shown[4] == "sacrebleu: WER of 0 insertions, 1 deletions and 3 substitutions in 16 words"


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


def test_all_protocols_are_one_table_and_a_refusal_is_a_row(tmp_path: Path) -> None:
    path = predictions(tmp_path / "p.jsonl", references=["今天星期几", "今天", "明天"], language="zh")
    rows = json.loads(run(path, "--protocol", "all", "--json").stdout)
    assert list(rows) == list(PROTOCOLS)
    assert rows["gfslt"]["refused"].startswith(
        "References in 'zh' must have spaces between words under gfslt"
    )
    assert {"bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "chrf", "count", "signature"} <= rows[
        "uni-sign"
    ].keys()
    shown = run(path, "--protocol", "all").stdout
    assert [line.split()[0] for line in shown.splitlines()[1 : 1 + len(PROTOCOLS)]] == list(PROTOCOLS)
    assert "beyond-bleu: beyond-bleu cannot score 'zh'" in shown
    assert "spamo: no ROUGE-L: rouge_score keeps a-z and 0-9 alone" in shown


def test_intervals_stand_beside_the_figures(tmp_path: Path) -> None:
    found = run(predictions(tmp_path / "p.jsonl"), "--intervals", "--resamples", "50")
    assert found.stdout.splitlines()[1].count("±") == 4
    assert "bs:50|seed:12345" in found.stdout


def test_missing_ids_are_refused_or_counted(tmp_path: Path) -> None:
    path = tmp_path / "h.tsv"
    path.write_text("id\tprediction\n" + "".join(f"{n}\t{text}\n" for n, text in list(enumerate(TEXTS))[:2]))
    refs = manifest(tmp_path / "manifest.jsonl")
    with pytest.raises(DataError, match=r"(?s)lacks 1: '2'.*Score those it has with --allow-missing"):
        raise_of(run(path, "--refs", refs))
    found = run(path, "--refs", refs, "--allow-missing")
    assert "1 sentences are missing and not scored: 2" in found.stdout
    scores = json.loads(run(path, "--refs", refs, "--allow-missing", "--json").stdout)["sacrebleu"]
    assert (scores["count"], scores["missing"], scores["bleu4"]) == (2, ["2"], pytest.approx(100))


def test_a_predictions_file_that_lacks_a_clip_of_the_manifest_is_counted(tmp_path: Path) -> None:
    whole, true = predictions(tmp_path / "p.jsonl"), manifest(tmp_path / "manifest.jsonl")
    part = tmp_path / "part.jsonl"
    part.write_text("".join(whole.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(DataError, match=r"(?s)part.jsonl must hold every id of .*lacks 1: '2'"):
        raise_of(run(part, "--manifest", true))
    scores = json.loads(run(part, "--manifest", true, "--allow-missing", "--json").stdout)["sacrebleu"]
    assert (scores["count"], scores["missing"]) == (2, ["2"])
    shown = run(part, "--manifest", true, "--allow-missing").stdout
    assert shown.splitlines()[0].split()[-2:] == ["sentences", "missing"]
    assert shown.splitlines()[1].split()[-2:] == ["2", "1"]
    assert "1 sentences are missing and not scored: 2" in shown


def test_references_are_checked_against_a_manifest(tmp_path: Path) -> None:
    true = manifest(tmp_path / "manifest.jsonl")
    sound = run(predictions(tmp_path / "p.jsonl"), "--manifest", true)
    assert (sound.exit_code, "references" in sound.stdout) == (0, False)
    lossy = predictions(tmp_path / "q.jsonl", references=[text.replace("ü", "") for text in TEXTS])
    found = run(lossy, "--manifest", true)
    assert found.exit_code == 1
    assert "1 references are not the manifest's sentences:\n  'im sden scheint die sonne .'" in found.stdout
    assert (
        json.loads(run(lossy, "--manifest", true, "--json").stdout)["sacrebleu"]["differing_references"] == 1
    )


def test_a_manifest_alone_gives_the_references(tmp_path: Path) -> None:
    true = manifest(tmp_path / "manifest.jsonl")
    path = lines(tmp_path / "h.txt", TEXTS[::-1])
    assert json.loads(run(path, "--manifest", true, "--json").stdout)["sacrebleu"]["bleu4"] == pytest.approx(
        100
    )


def test_training_sentences_show_what_is_repeated_and_what_guessing_scores(tmp_path: Path) -> None:
    train = lines(tmp_path / "train.txt", [TEXTS[0], "etwas anderes .", "etwas anderes ."])
    path = predictions(tmp_path / "p.jsonl")
    scores = json.loads(run(path, "--train", train, "--baselines", "--json").stdout)["sacrebleu"]
    assert scores["verbatim_in_train"] == 1
    assert list(scores["baselines"]) == ["most_frequent", "nearest_length", "shuffled"]
    shown = run(path, "--train", train, "--baselines").stdout
    assert "1 of the test sentences stand verbatim in the training file" in shown
    assert "nearest length" in shown
    with pytest.raises(DataError, match=r"(?s)made of training sentences, but none.*--train"):
        raise_of(run(path, "--baselines"))
    of_manifest = run(path, "--train", manifest(tmp_path / "manifest.jsonl"), "--json")
    assert json.loads(of_manifest.stdout)["sacrebleu"]["verbatim_in_train"] == 0


def test_export_writes_raw_pairs_for_other_metrics(tmp_path: Path) -> None:
    run(predictions(tmp_path / "p.jsonl"), "--protocol", "spamo", "--export", tmp_path / "out")
    assert (tmp_path / "out" / "hypotheses.txt").read_text() == "".join(f"{text}\n" for text in HYPOTHESES)
    assert (tmp_path / "out" / "references.txt").read_text() == "".join(f"{text}\n" for text in TEXTS)
    again = run(tmp_path / "out" / "pairs.jsonl", "--json").stdout
    assert json.loads(again)["sacrebleu"]["language"] == "de"
    broken = tmp_path / "b.jsonl"
    broken.write_text('{"id": "1", "prediction": "a\\nb", "reference": "c"}\n')
    with pytest.raises(DataError, match="must be one line to be exported, but pair '1' breaks"):
        raise_of(run(broken, "--export", tmp_path / "other"))


def test_an_unsaid_language_is_said(tmp_path: Path) -> None:
    found = run(lines(tmp_path / "h.txt", TEXTS), "--refs", lines(tmp_path / "r.txt", TEXTS))
    assert "taken as en" in found.stderr
    assert "taken as en" not in run(predictions(tmp_path / "p.jsonl")).stderr


def test_an_unknown_protocol_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'signjoey'"):
        raise_of(run(predictions(tmp_path / "p.jsonl"), "--protocol", "sign-joey"))


def test_several_references_are_scored_under_their_own_name(tmp_path: Path) -> None:
    hypotheses, first = lines(tmp_path / "h.txt", HYPOTHESES), lines(tmp_path / "r.txt", TEXTS)
    further = lines(tmp_path / "r2.txt", [*HYPOTHESES[:2], ""])
    alone = json.loads(run(hypotheses, "--refs", first, "--json").stdout)["sacrebleu"]
    found = json.loads(run(hypotheses, "--refs", first, "--refs", further, "--json").stdout)["sacrebleu"]
    multi = found.pop("multi_reference")
    assert found == alone
    assert multi["multi_reference_bleu4"] > alone["bleu4"]
    assert multi["references_per_clip"] == pytest.approx(5 / 3)
    with pytest.raises(DataError, match=r"r3.txt must hold one sentence for each of the 3"):
        raise_of(run(hypotheses, "--refs", first, "--refs", lines(tmp_path / "r3.txt", TEXTS[:2])))


def test_further_references_are_matched_by_id(tmp_path: Path) -> None:
    own = predictions(tmp_path / "p.jsonl")
    rows = [{"id": str(number), "text": HYPOTHESES[number]} for number in (2, 0, 1)]
    write_jsonl(tmp_path / "more.jsonl", rows)
    asked = (own, "--refs", own, "--json", "--refs", tmp_path / "more.jsonl")
    found = json.loads(run(*asked).stdout)["sacrebleu"]["multi_reference"]
    assert found["multi_reference_bleu4"] == pytest.approx(100)
    write_jsonl(tmp_path / "more.jsonl", rows[:2])
    with pytest.raises(DataError, match=r"more.jsonl must hold every id of .*, but lacks 1: '1'.\nLeave"):
        raise_of(run(*asked))


def test_references_of_a_manifest_are_further_references(tmp_path: Path) -> None:
    from fla_llm.corpora.manifest import Manifest, write_manifest

    samples = [
        Sample(id=str(number), split="test", video="a.mp4", text=text, language="de", num_frames=8, fps=25.0,
               references=tuple(more))
        for number, (text, more) in enumerate(zip(TEXTS, [HYPOTHESES[:1], HYPOTHESES[1:2], []], strict=True))
    ]  # fmt: skip
    write_manifest(tmp_path / "m.jsonl", Manifest(corpus="t", root=tmp_path, samples=tuple(samples)))
    found = json.loads(
        run(predictions(tmp_path / "p.jsonl"), "--refs", tmp_path / "m.jsonl", "--json").stdout
    )
    multi = found["sacrebleu"]["multi_reference"]
    assert multi["references_per_clip"] == pytest.approx(5 / 3)
    assert multi["multi_reference_bleu4"] > found["sacrebleu"]["bleu4"]
