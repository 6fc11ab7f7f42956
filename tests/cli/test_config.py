"""``fla config``: every setting has a meaning, presets are listed and copied, and the page is current."""

import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fla_llm.cli import fla
from fla_llm.cli.config import CLASSES, PRESETS, default_settings
from fla_llm.core.config import load_config
from fla_llm.core.errors import ConfigError, RunError
from fla_llm.core.settings import settings_of

DOCS = Path(__file__).parents[2] / "docs"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(fla, ["config", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("command", CLASSES)
def test_every_setting_has_a_meaning(command: str) -> None:
    assert [row.key for row in settings_of(default_settings(command)) if not row.meaning] == []


@pytest.mark.parametrize("command", CLASSES)
def test_a_shown_key_is_one_that_set_accepts(command: str) -> None:
    settings = default_settings(command)
    for row in settings_of(settings):
        value = json.dumps(row.value, default=str)
        again = load_config(type(settings), base=settings, overrides=[f"{row.key}={value}"])
        assert again == settings, row.key


def test_show_marks_what_a_preset_changes() -> None:
    shown = run("show", "tune", "training.epochs", "--config", "phoenix14t-qwen")
    assert shown.startswith("training.epochs = 60   (default: 30)\n")
    content = json.loads(run("show", "tune", "lora", "--set", "lora.rank=8", "--json"))
    assert (content["lora.rank"]["value"], content["lora.rank"]["default"]) == (8, 16)
    assert all(key.startswith("lora.") for key in content)


def test_a_misspelt_key_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"'lora\.rnk'.*Did you mean 'lora\.rank'"):
        run("show", "tune", "lora.rnk")


def test_list_names_every_preset_on_disk() -> None:
    listed = {(row["command"], row["preset"]) for row in json.loads(run("list", "--json"))["presets"]}
    assert listed == {(name, file.stem) for name, folder in PRESETS.items() for file in folder.glob("*.yaml")}


def test_a_copy_is_the_preset_and_never_goes_over_a_file(tmp_path: Path) -> None:
    out = tmp_path / "mine.yaml"
    run("copy", "tune", "t5", str(out))
    assert out.read_bytes() == (PRESETS["tune"] / "t5.yaml").read_bytes()
    with pytest.raises(RunError, match="must not exist yet"):
        run("copy", "tune", "t5", str(out))
    with pytest.raises(ConfigError, match="'mbert'.*Did you mean 'mbart'"):
        run("copy", "tune", "mbert", str(tmp_path / "other.yaml"))


def test_the_page_of_settings_is_current() -> None:
    spec = importlib.util.spec_from_file_location("settings_page", DOCS / "settings_page.py")
    assert spec is not None
    assert spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert page.PAGE.read_text(encoding="utf-8") == page.settings_page(), "run: python docs/settings_page.py"
