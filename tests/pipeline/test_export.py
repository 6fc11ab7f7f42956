"""``fla export`` from the outside: its directory takes a run's place, and its card tells what it is."""

import json
from collections.abc import Callable
from pathlib import Path

import yaml
from click.testing import Result

Fla = Callable[..., Result]


def test_a_merged_export_is_scored_and_its_card_says_so(run_fla: Fla, house: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    done = run_fla(
        "export",
        house / "stage2",
        "--out",
        out,
        "--merge",
        "--features",
        house / "cache",
        "--device",
        "cpu",
        "--json",
    )
    scores = json.loads(done.stdout)["scores"]
    again = run_fla("evaluate", out, "--features", house / "cache", "--device", "cpu", "--json")
    assert json.loads(again.stdout)["bleu4"] == scores["bleu4"]
    card = (out / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] is None
    assert front["language"] == json.loads((out / "run.json").read_text())["languages"]
    assert f"{scores['chrf']:.2f}" in card
    assert scores["signature"] in card
    assert "Licence: (to be filled in" in card
    assert "demo (" in card
    assert str(house) not in card


def test_an_unmerged_export_keeps_the_scores_of_its_run(run_fla: Fla, house: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    run_fla("evaluate", house / "stage2", "--features", house / "cache", "--device", "cpu")
    shown = run_fla("export", house / "stage2", "--out", out)
    assert "with its adapters" in shown.stdout
    assert (out / "scores.json").read_bytes() == (house / "stage2" / "scores.json").read_bytes()
    assert "| test |" in (out / "README.md").read_text()
