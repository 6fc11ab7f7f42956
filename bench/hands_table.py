"""Tables of a run of ``real_hands.py``: scores of all systems, scores by person, seconds of each step."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fla_llm.core.files import read_json, read_jsonl, write_json
from fla_llm.corpora.manifest import Manifest
from fla_llm.scoring import score

PREDICTIONS = {"": "predictions-test.jsonl", ", shuffled": "predictions-test-shuffled.jsonl"}
COUNTS = ("insertions", "deletions", "substitutions")
COLUMNS = ("wer", *COUNTS, "exact_match", "bleu4", "chrf")


def write_tables(manifest: Manifest, folder: Path, *, records: Mapping[str, dict[str, Any]]) -> Path:
    """Write table.json and table.md, and return the latter."""
    found = {name: read_jsonl(file) for name, file in prediction_files(folder).items()}
    signers = {sample.id: sample.signer or "unknown" for sample in manifest.split("test")}
    stages = {name: rows for name, rows in found.items() if "stage" in name and "shuffled" not in name}
    content = {
        "clips": manifest.counts,
        "training_people": len({sample.signer for sample in manifest.split("train")}),
        "scores": {name: scores(rows) for name, rows in found.items()},
        "people": {name: by_person(rows, signers) for name, rows in stages.items()},
        "steps": records,
    }
    write_json(folder / "table.json", content)
    (folder / "table.md").write_text(describe(content))
    return folder / "table.md"


def write_curve(out: Path, folders: Sequence[Path]) -> Path:
    """Write curve.md with the WER of every system by training people, and return the file."""
    runs = [read_json(folder / "table.json") for folder in folders]
    systems = list(dict.fromkeys(name for run in runs for name in run["scores"]))
    rows = [
        [run["training_people"], run["clips"]["train"]]
        # A language model may have been tuned in some of the runs alone.
        + [f"{run['scores'][name]['wer']:.1f}" if name in run["scores"] else "" for name in systems]
        for run in runs
    ]
    titles = ["training people", "training clips", *(f"WER, {name}" for name in systems)]
    (out / "curve.md").write_text("\n".join([*markdown(titles, rows), ""]))
    return out / "curve.md"


def prediction_files(folder: Path) -> dict[str, Path]:
    """Return the files of predictions by the name of their system, stages first."""
    runs = {"stage one": folder / "stage1"}
    runs |= {
        f"stage two, {run.name.removeprefix('stage2-')}": run for run in sorted(folder.glob("stage2-*/"))
    }
    files = {
        name + control: run / file for name, run in runs.items() for control, file in PREDICTIONS.items()
    }
    baselines = {"nearest training clip": "nearest_clip", "most frequent sentence": "most_frequent"}
    files |= {name: folder / f"{file}.jsonl" for name, file in baselines.items()}
    return {name: file for name, file in files.items() if file.is_file()}


def scores(rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return the scores of predictions as ``fla score`` computes them."""
    texts = ([row[side] for row in rows] for side in ("prediction", "reference"))
    return score(*texts, language=rows[0]["language"]).to_dict()


def by_person(rows: Sequence[dict[str, str]], signers: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return WER, exact match and clips of each test person, worst first."""
    people: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        people.setdefault(signers[row["id"]], []).append(row)
    each = {person: scores(own) for person, own in people.items()}
    worst_first = sorted(each, key=lambda person: (-each[person]["wer"], person))
    return {
        person: {key: each[person][key] for key in ("wer", "exact_match", "count")} for person in worst_first
    }


def describe(content: dict[str, Any]) -> str:
    """Return the tables in Markdown."""
    counts = " / ".join(str(count) for count in content["clips"].values())
    words = next(iter(content["scores"].values()))["reference_words"]
    head = f"{counts} clips, {content['training_people']} training people, {words} words in test\n"
    figures = [
        [name, *(f"{own[key]:.1f}" if key not in COUNTS else own[key] for key in COLUMNS)]
        for name, own in content["scores"].items()
    ]
    steps = [
        [name, f"{step['seconds']:.0f}", f"{step['cpu_seconds']:.0f}",
         " to ".join(map(str, step["load_average"])), "the last part" if step["resumed"] else "whole"]
        for name, step in content["steps"].items()
    ]  # fmt: skip
    titles = ["", "WER", "ins", "del", "sub", "exact", "BLEU-4", "chrF"]
    return "\n".join(
        [
            head, *markdown(titles, figures), "", *markdown(*people_table(content["people"])), "",
            *markdown(["step", "seconds", "CPU seconds", "load average", "measured"], steps), "",
        ]
    )  # fmt: skip


def people_table(people: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Return titles and rows of the table by person, in the order of the first system."""
    first = next(iter(people.values()), {})
    rows = [
        [person, own["count"], *(f"{system[person]['wer']:.1f}" for system in people.values())]
        for person, own in first.items()
    ]
    return ["person", "clips", *(f"WER, {name}" for name in people)], rows


def markdown(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a Markdown table."""
    body = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles), *body]
