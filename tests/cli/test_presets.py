"""Presets: each loads, its header's commands are real ones, and the docs list exactly those on disk."""

import itertools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from fla_llm.cli import fla
from fla_llm.cli.prepare import RELEASED
from fla_llm.configs import PRETRAIN_PRESETS, TUNE_PRESETS
from fla_llm.core.config import load_config
from fla_llm.finetune.config import TuneConfig
from fla_llm.pretrain.config import PretrainConfig

ROOT = Path(__file__).parents[2]
ROOMS = {"pretrain": (PRETRAIN_PRESETS, PretrainConfig), "tune": (TUNE_PRESETS, TuneConfig)}
"""Commands that take presets: their folder, and what a preset sets."""
PAGES = {"pretrain": ROOT / "docs/pretrain.md", "tune": ROOT / "docs/presets.md"}
PUBLISHED = [corpus for corpus in RELEASED if corpus not in ("table", "uni-sign")]
"""Uni-Sign's label files are another form of these corpora, a table is the user's own."""
MODELS = ("mbart", "t5", "qwen")


def presets(command: str) -> list[str]:
    return sorted(path.stem for path in ROOMS[command][0].glob("*.yaml"))


def load(command: str, preset: str) -> Any:
    folder, settings = ROOMS[command]
    return load_config(settings, base=settings(), presets=folder, source=preset)


def header(command: str, preset: str) -> list[str]:
    """Return the comment a preset opens with, line by line, without its marks."""
    lines = (ROOMS[command][0] / f"{preset}.yaml").read_text(encoding="utf-8").splitlines()
    return [
        line.removeprefix("#").strip() for line in itertools.takewhile(lambda line: line[:1] == "#", lines)
    ]


def parsed(line: str) -> tuple[str, dict[str, Any]]:
    """Return a command's name and its parameters as the command line gives them; nothing is run."""
    name, *arguments = shlex.split(line, comments=True)[1:]
    above = fla.make_context("fla", [name])  # a command without it would remember other help options
    command = fla.get_command(above, name)
    assert command is not None, line
    return name, command.make_context(name, arguments, parent=above).params


def commands(command: str, preset: str) -> list[tuple[str, dict[str, Any]]]:
    return [parsed(line) for line in header(command, preset) if line.startswith("fla ")]


def test_the_readme_opens_with_real_commands() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    steps = [
        parsed(line.strip()) for line in lines if line.startswith("    fla ") and line.strip() != "fla demo"
    ]
    assert [name for name, _ in steps] == ["prepare", "pretrain", "extract", "tune", "evaluate", "translate"]
    assert all(given["config_source"] in presets(name) for name, given in steps if name in ROOMS)


EVERY = [(command, preset) for command in ROOMS for preset in presets(command)]
OF_CORPORA = [(corpus, model) for corpus in PUBLISHED for model in MODELS]


def test_each_corpus_has_its_presets_of_both_stages() -> None:
    assert set(PUBLISHED) <= set(presets("pretrain"))
    assert {f"{corpus}-{model}" for corpus, model in OF_CORPORA} <= set(presets("tune"))


@pytest.mark.parametrize(("command", "preset"), EVERY)
def test_a_preset_loads_and_its_header_calls_it(command: str, preset: str) -> None:
    load(command, preset)
    named = [(name, given["config_source"]) for name, given in commands(command, preset) if name in ROOMS]
    assert (command, preset) in named
    assert all(source in presets(name) for name, source in named)


@pytest.mark.parametrize(("corpus", "model"), OF_CORPORA)
def test_a_header_goes_from_the_release_to_scores(corpus: str, model: str) -> None:
    steps = commands("tune", f"{corpus}-{model}")
    assert [name for name, _ in steps] == ["prepare", "pretrain", "extract", "tune", "evaluate"]
    prepared, pretrained, extracted, tuned, evaluated = (given for _, given in steps)
    assert (prepared["corpus"], pretrained["config_source"]) == (corpus, corpus)
    assert tuned["config_source"] == f"{corpus}-{model}"
    assert Path(prepared["out"]) == Path(pretrained["manifest"]) == Path(extracted["manifest"])
    assert Path(pretrained["out"]) == Path(extracted["ckpt"])
    assert (extracted["out"],) == tuned["features"] == evaluated["features"]
    assert tuned["out"] == evaluated["run"]


@pytest.mark.parametrize(("corpus", "model"), OF_CORPORA)
def test_both_stages_of_a_corpus_agree(corpus: str, model: str) -> None:
    one, two = load("pretrain", corpus), load("tune", f"{corpus}-{model}")
    assert two.decoding.num_beams == one.decoding.num_beams
    assert two.training.batch_tokens >= one.encoder.sampling.max_frames  # the longest clip fits into a batch
    assert two.allow_lossy_tokenizer == (corpus == "csl-daily" and model != "qwen")  # NFKC narrows its marks
    assert (two.train == "full") == two.trim_vocab == (model == "mbart")


@pytest.mark.parametrize("command", ROOMS)
def test_the_docs_list_the_presets_on_disk(command: str) -> None:
    _, _, table = PAGES[command].read_text(encoding="utf-8").partition("\n| preset |")
    rows = [line for line in table.partition("\n\n")[0].splitlines() if line.startswith("| `")]
    listed = [name for row in rows for name in re.findall(r"`([\w-]+)`", row.split("|")[1])]
    assert sorted(listed) == presets(command)


@pytest.mark.parametrize(("corpus", "model"), OF_CORPORA)
def test_the_docs_give_the_figures_of_the_header(corpus: str, model: str) -> None:
    text = " ".join(header("tune", f"{corpus}-{model}"))
    assert "Expected VRAM" in text
    assert "not measured" in text
    assert "not yet reproduced here" in text
    page = PAGES["tune"].read_text(encoding="utf-8").splitlines()
    (row,) = [line for line in page if line.startswith(f"| `{corpus}-{model}` |")]
    figures = re.findall(r"\d+\.\d+", " ".join(row.split("|")[4:]))
    assert figures
    assert [figure for figure in figures if figure not in text] == []
