"""bench/experiments trains every variant of the paper's tables with equal steps, and reports what was run."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
import yaml

from fla_llm.core.errors import RunError
from fla_llm.core.files import read_json
from fla_llm.corpora.manifest import read_manifest

FOLDER = Path(__file__).parents[2] / "bench" / "experiments"
ALL_VARIANTS = yaml.safe_load((FOLDER / "variants.yaml").read_text())
# At every second frame, as settings.yaml has it, factorized keeps half of them.
VARIANTS = {name: variant for name, variant in ALL_VARIANTS.items() if name != "frames-50"}


@pytest.fixture(scope="module")
def bench() -> Iterator[Callable[[str], Any]]:
    """Import a module of the experiments, whose files import each other by their bare names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    """The file of sizes, with small numbers in it."""
    found = yaml.safe_load((FOLDER / "settings.yaml").read_text())
    found |= {"people": 2, "views": 1, "epochs": {"stage_one": 1, "stage_two": 1}}
    found["llm"] |= {"hidden_size": 64, "layers": 1, "steps": 2}
    found["stage_one"]["encoder"] |= {
        "image_size": 32,
        "resize_size": 32,
        "pool": "grid-2",
        "hidden_size": 16,
    }
    found["stage_one"]["translator"] |= {"hidden_size": 16, "ffn_size": 32, "heads": 2}
    for stage in ("stage_one", "stage_two"):
        found[stage]["training"] |= {"batch_clips": 4, "log_every_steps": 1}
        found[stage]["decoding"] = {"num_beams": 1, "max_new_tokens": 4}
    return found


@pytest.fixture(scope="module")
def ran(
    bench: Callable[[str], Any],
    settings: dict[str, Any],
    house: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Folder with all variants of a seed."""
    out = tmp_path_factory.mktemp("experiments")
    manifest = read_manifest(house / "manifest.jsonl")
    bench("run").run(manifest, out, settings=settings, only=[], seeds=[0])
    return out


def record(out: Path, name: str) -> dict[str, Any]:
    return read_json(out / "records" / f"{name}-seed-0.json")


def test_variants_of_a_table_have_equal_steps(ran: Path) -> None:
    steps = {name: record(ran, name)["steps"] for name in VARIANTS}
    assert steps["joint"] == steps["factorized"] == 2 * steps["untrained"]
    assert steps["stage-one-alone"] == steps["untrained"]
    # Thinned clips fill fewer batches, so that rates of frames are not held to equal steps.
    same = ("temporal-tuned", "unfrozen", "frame-wise", "light-t-states")
    assert {steps[name] for name in same} == {steps["factorized"]}


def test_the_table_has_every_variant_beside_the_paper(ran: Path) -> None:
    rows = rows_of(ran, title="| variant | paper's table")
    for row, (name, variant) in zip(rows, VARIANTS.items(), strict=True):
        assert float(row[2]) == variant["paper"]
        assert float(row[4]) == pytest.approx(record(ran, name)["shuffled"], abs=0.051)
        assert float(row[5]) == pytest.approx(record(ran, name)["wer"], abs=0.051)


def test_the_table_has_every_seed(ran: Path) -> None:
    for row in rows_of(ran, title="| variant | BLEU-4, seed 0 | WER, seed 0 |"):
        own = record(ran, row[0].removeprefix("| "))
        assert float(row[1]) == pytest.approx(own["bleu4"], abs=0.051)
        assert float(row[2].removesuffix(" |")) == pytest.approx(own["wer"], abs=0.051)


def rows_of(ran: Path, *, title: str) -> list[list[str]]:
    lines = (ran / "table.md").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(title))
    rows = [line.split(" | ") for line in lines[start + 2 : start + 2 + len(VARIANTS)]]
    assert [row[0].removeprefix("| ") for row in rows] == list(VARIANTS)
    return rows


@pytest.mark.parametrize(("stride", "own"), [(1, "100"), (2, "50"), (4, "25"), (8, "12.5")])
def test_the_frame_rate_of_the_set_is_trained_once(
    bench: Callable[[str], Any], stride: int, own: str
) -> None:
    assert set(ALL_VARIANTS) - set(bench("run").variants_at(stride)) == {f"frames-{own}"}


def test_a_variant_that_was_not_run_is_said_so(bench: Callable[[str], Any], settings: Any, ran: Path) -> None:
    report, found = bench("experiment_report"), {name: [] for name in VARIANTS}
    found["joint"] = [record(ran, "joint")]
    text = report.table(VARIANTS, found, settings=settings, counts={"train": 1, "test": 1})
    assert [line.count("not run") for line in text.splitlines()[4:]] == [5, 0, *[5] * (len(VARIANTS) - 2)]


def test_figures_are_svg_that_hold_every_variant(ran: Path) -> None:
    texts = [node.text for node in ElementTree.parse(ran / "scores.svg").iter() if node.tag.endswith("text")]
    assert set(VARIANTS) <= set(texts)
    lines = [node for node in ElementTree.parse(ran / "norms.svg").iter() if node.tag.endswith("polyline")]
    assert len(lines) == 2


def test_finished_variants_are_not_computed_again(
    bench: Callable[[str], Any], settings: dict[str, Any], house: Path, ran: Path
) -> None:
    before = {file: file.stat().st_mtime_ns for file in (ran / "records").iterdir()}
    manifest = read_manifest(house / "manifest.jsonl")
    bench("run").run(manifest, ran, settings=settings, only=[], seeds=[0])
    assert {file: file.stat().st_mtime_ns for file in (ran / "records").iterdir()} == before


def test_a_folder_is_not_continued_with_other_settings(
    bench: Callable[[str], Any], settings: dict[str, Any], house: Path, ran: Path
) -> None:
    manifest = read_manifest(house / "manifest.jsonl")
    other = settings | {"views": 2}
    with pytest.raises(RunError, match="views was 1 and is 2"):
        bench("run").run(manifest, ran, settings=other, only=[], seeds=[0])


def test_the_frame_rate_of_the_set_is_no_variant(
    bench: Callable[[str], Any], settings: dict[str, Any], house: Path, ran: Path
) -> None:
    with pytest.raises(RunError, match="but names frames-50"):
        bench("run").run(
            read_manifest(house / "manifest.jsonl"), ran, settings=settings, only=["frames-50"], seeds=[0]
        )


@pytest.mark.parametrize("tuned", ["temporal", "all"])
def test_only_the_tuned_part_of_the_encoder_changes(
    bench: Callable[[str], Any], settings: dict[str, Any], house: Path, tmp_path: Path, ran: Path, tuned: str
) -> None:
    run, setup = bench("run"), bench("experiment_setup")
    manifest = setup.fewer_people(read_manifest(house / "manifest.jsonl"), 2)
    experiment = setup.Experiment(manifest=manifest, out=ran, settings=settings, stores={})
    stage_one, _ = run.encoder_of(experiment, {}, seed=0)
    before = {name: tensor.clone() for name, tensor in stage_one.encoder.state_dict().items()}
    run.train_stage_two(experiment, "tuned", {"tuned": tuned}, stage_one, seed=0)
    changed = {
        name
        for name, tensor in stage_one.encoder.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert any(name.startswith("temporal.") for name in changed)
    # The statistics of BatchNorm are among these tensors.
    assert any(name.startswith("backbone.") for name in changed) == (tuned == "all")
