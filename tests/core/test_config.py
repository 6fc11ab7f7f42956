"""The strict loader: what it mends, and that it reports every fault at once."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from fla_llm.core.config import config_from_dict, config_to_dict, first_difference, load_config, write_config
from fla_llm.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    learning_rate: float = 1e-3
    name: Literal["adamw", "sgd"] = "adamw"


@dataclass(frozen=True, kw_only=True)
class Config:
    language: str = "de"
    epochs: int = 3
    resume: bool = False
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    phases: tuple[int, ...] | None = None
    columns: dict[str, str] = field(default_factory=dict)
    optimiser: Optimiser = field(default_factory=Optimiser)

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, but is {self.epochs}.")


def test_defaults_then_file_then_overrides(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("epochs: 5\noptimiser: {learning_rate: 1e-4}\n")
    config = load_config(Config, source=str(file), overrides=["epochs=7", "phases=[0, 2]"])
    assert config == Config(epochs=7, phases=(0, 2), optimiser=Optimiser(learning_rate=1e-4))


def test_a_group_without_its_keys_is_refused_by_their_names() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Needy:
        batch: int
        epochs: int = 3
        rate: float

    with pytest.raises(ConfigError, match="file: Needy must have batch, rate, but has none of these keys"):
        config_from_dict(Needy, {"epochs": 2}, origin="file")


def test_a_base_stands_in_for_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("optimiser: {name: sgd}")
    base = Config(epochs=9, optimiser=Optimiser(learning_rate=0.5))
    config = load_config(Config, base=base, source=str(file), overrides=["language=en"])
    assert config == Config(epochs=9, language="en", optimiser=Optimiser(learning_rate=0.5, name="sgd"))


def test_a_preset_is_found_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text("epochs: 2")
    assert load_config(Config, presets=tmp_path, source="small").epochs == 2
    with pytest.raises(ConfigError, match="but is 'smal'. Did you mean 'small'"):
        load_config(Config, presets=tmp_path, source="smal")


def test_a_file_goes_over_the_preset_it_builds_on(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text("epochs: 2\noptimiser: {learning_rate: 0.5, name: sgd}")
    (tmp_path / "german.yaml").write_text("base: small\nlanguage: de\noptimiser: {learning_rate: 0.1}")
    mine = tmp_path / "elsewhere" / "mine.yaml"
    mine.parent.mkdir()
    mine.write_text("base: german\nepochs: 4")
    config = load_config(Config, presets=tmp_path, source=str(mine), overrides=["resume=true"])
    expected = Optimiser(learning_rate=0.1, name="sgd")
    assert config == Config(language="de", epochs=4, resume=True, optimiser=expected)
    write_config(config, tmp_path / "config.yaml")
    assert "base" not in (tmp_path / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("base", "match"),
    [
        ("smal", "mine.yaml: 'base' must be one of mine, other, small, but is 'smal'. Did you mean 'small'"),
        ("[small]", r"'base' must be one of mine, other, small, but is \['small'\]"),
        ("other", "'base' must end at a preset without one, but goes round: other > mine > other"),
        ("mine", "'base' must end at a preset without one, but goes round: mine > mine"),
    ],
)
def test_a_base_that_leads_nowhere_is_refused(base: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text("epochs: 2")
    (tmp_path / "other.yaml").write_text("base: mine")
    (tmp_path / "mine.yaml").write_text(f"base: {base}")
    with pytest.raises(ConfigError, match=match):
        load_config(Config, presets=tmp_path, source="mine")


def test_a_base_without_presets_is_an_unknown_key(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("base: small")
    with pytest.raises(ConfigError, match="unknown key 'base'"):
        load_config(Config, source=str(tmp_path / "mine.yaml"))


def test_reading_what_was_written_gives_the_same(tmp_path: Path) -> None:
    config = Config(mean=(0.1, 0.2, 0.3), columns={"id": "name"})
    write_config(config, tmp_path / "config.yaml")
    assert load_config(Config, source=str(tmp_path / "config.yaml")) == config
    assert config_from_dict(Config, config_to_dict(config), origin="test") == config


def test_all_faults_are_reported_at_once() -> None:
    overrides = ["epoch=2", "language=no", "resume=1", "mean=[1, 2]", "optimiser.name=adam", "phases=[a]"]
    with pytest.raises(ConfigError) as caught:
        load_config(Config, overrides=overrides)
    message = str(caught.value)
    for part in [
        "unknown key 'epoch'. Did you mean 'epochs'?",
        "'language' must be text, but is False. Quote it",
        "'resume' must be true or false, but is 1",
        "'mean' must be a list of 3 values, but is [1, 2]",
        "'optimiser.name' must be one of adamw, sgd, but is 'adam'. Did you mean 'adamw'?",
        "'phases[0]' must be a whole number, but is 'a'",
    ]:
        assert part in message


@pytest.mark.parametrize("value", [".nan", "nan", ".inf", "-.inf", "inf", "1e999", "1" + "0" * 400])
def test_a_number_is_finite(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="'optimiser.learning_rate' must be a (finite )?number, but is"):
        load_config(Config, overrides=[f"optimiser.learning_rate={value}"])
    (tmp_path / "a.yaml").write_text(f"mean: [0, {value}, 0]")
    with pytest.raises(ConfigError, match=r"'mean\[1\]' must be a (finite )?number, but is"):
        load_config(Config, source=str(tmp_path / "a.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "columns: {no: a, de: b}",
            "'columns' must have keys that are text, but one is False. Quote it: YAML",
        ),
        ("columns: {7: a}", "'columns' must have keys that are text, but one is 7. Quote it."),
        ("optimiser: {on: 1}", "'optimiser' must have keys that are text, but one is True. Quote it: YAML"),
        ("yes: 1", "a key must be text, but one is True. Quote it: YAML"),
        ("epochs: 1\nepochs: 2", "the key 'epochs' must stand once"),
        ("optimiser: {name: sgd, name: adamw}", "the key 'name' must stand once"),
        ('language: "a\\ud83d"', "'language' must be without U[+]D83D"),
        ('columns: {a: "\\0"}', "'columns.a' must be without U[+]0000"),
        ('columns: {"\\0": a}', "'columns' must be without U[+]0000"),
        ("language: 2024-13-01", "must be YAML, but is not: month must be"),
        ("[" * 1000, "must be YAML, but is not"),
    ],
)
def test_what_yaml_would_take_without_a_word_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(Config, source=str(tmp_path / "a.yaml"))


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("optimiser.nam=sgd", "'optimiser.nam'. Did you mean 'optimiser.name'"),
        ("optimizer.name=sgd", "'optimizer.name'. Did you mean 'optimiser.name'"),
        ("learning_rate=1", "'learning_rate'. Did you mean 'optimiser.learning_rate'"),
        ("lerning_rate=1", "'lerning_rate'. Did you mean 'optimiser.learning_rate'"),
        ("optimiser.epochs=1", "'optimiser.epochs'. Did you mean 'epochs'"),
        ("optimizer=1", "'optimizer'. Did you mean 'optimiser'"),
        ("x.y.z=1", r"'x.y.z'.$"),
    ],
)
def test_a_suggestion_is_a_key_that_works(override: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown key {hint}"):
        load_config(Config, overrides=[override])


def test_a_config_refuses_contradictions_itself() -> None:
    with pytest.raises(ConfigError, match="epochs must be at least 1, but is 0"):
        load_config(Config, overrides=["epochs=0"])


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ("epochs", "must look like a.b=c, but is 'epochs'"),
        ("epochs.x=1", "'epochs' must be a whole number"),
        ("optimiser=3", "a group of settings"),
    ],
)
def test_an_override_that_cannot_be_read_is_refused(override: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        load_config(Config, overrides=[override])


def test_the_first_difference_is_named() -> None:
    old, new = config_to_dict(Config()), config_to_dict(Config(optimiser=Optimiser(name="sgd")))
    assert first_difference(old, new) == ("optimiser.name", "adamw", "sgd")
    assert first_difference(old, old) is None
