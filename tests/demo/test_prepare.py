"""``fla prepare demo``."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fla_llm.cli import fla
from fla_llm.core.errors import ConfigError, DataError
from fla_llm.corpora import read_manifest
from fla_llm.demo.prepare import PrepareDemoConfig, prepare_demo


def run(*arguments: object) -> Result:
    return CliRunner().invoke(fla, ["prepare", *(str(argument) for argument in arguments)])


def test_the_demo_corpus_is_rendered_and_limited(tmp_path: Path) -> None:
    sizes = {"train_clips": 3, "single_sign_clips": 1, "dev_clips": 2, "test_clips": 1, "image_size": 16}
    settings = [part for key, value in sizes.items() for part in ("--set", f"demo.{key}={value}")]
    result = run(
        "demo", tmp_path / "demo", "--out", tmp_path / "m.jsonl", "--limit", 1, "--seed", 3, *settings
    )
    assert result.exit_code == 0
    manifest = read_manifest(tmp_path / "m.jsonl")
    assert manifest.counts == {"train": 1, "dev": 1, "test": 1}
    assert all(manifest.clip(sample).path.is_file() for sample in manifest.samples)


def test_a_dry_run_renders_no_demo(tmp_path: Path) -> None:
    result = run("demo", tmp_path / "demo", "--out", tmp_path / "m.jsonl", "--dry-run")
    assert "would render the demo corpus" in result.stdout
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("demo", "out", "--check", "decode"), "--check must go with videos that exist"),
        (("demo", "out", "--set", "check=decode"), "unknown key 'check'"),
        (("table", "t.csv", "--seed", "3"), "--seed must go with demo, but the corpus is table"),
        (("table", "t.csv", "--set", "demo.fps=5"), "unknown key 'demo"),
    ],
)
def test_settings_of_the_demo_and_of_released_corpora_do_not_mix(
    arguments: tuple[str, ...], fault: str, tmp_path: Path
) -> None:
    result = run(*arguments, "--out", tmp_path / "m.jsonl")
    assert isinstance(result.exception, ConfigError)
    assert fault in str(result.exception)


def test_a_path_that_no_manifest_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be a path in UTF-8"):
        prepare_demo(tmp_path / "D\udce4ten", config=PrepareDemoConfig())
