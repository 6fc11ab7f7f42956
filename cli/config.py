"""``fla config``: the presets, and every setting with default and meaning."""

import importlib
import shutil
from pathlib import Path
from typing import Any

import click

from ..configs import DIFFUSION_PRESETS, PRETRAIN_PRESETS, TUNE_PRESETS
from ..core.config import load_config
from ..core.errors import ConfigError, RunError, did_you_mean
from ..core.files import visible
from ..core.settings import Setting, settings_of
from .options import config_options, emit, json_option

DIFFUSION = "tune --decoder diffusion"
PRESETS = {"pretrain": PRETRAIN_PRESETS, "tune": TUNE_PRESETS, DIFFUSION: DIFFUSION_PRESETS}
"""Command -> folder of presets."""
CLASSES = {
    "prepare": ("corpora.config", "PrepareConfig"),
    "shrink": ("corpora.config", "ShrinkConfig"),
    "poses": ("detect.config", "DetectConfig"),
    "pretrain": ("pretrain.config", "PretrainConfig"),
    "extract": ("extract.config", "ExtractConfig"),
    "describe": ("describe.config", "DescribeConfig"),
    "map": ("describe.map_config", "MapConfig"),
    "tune": ("finetune.config", "TuneConfig"),
    DIFFUSION: ("diffusion.config", "DiffusionConfig"),
    "evaluate": ("training.config", "DecodingConfig"),
    "translate": ("training.config", "DecodingConfig"),
    "demo": ("demo.config", "load_demo_config"),
}
"""Command with settings -> (module, class or function) of the default settings."""


def default_settings(command: str) -> Any:
    """Return the default settings of a command."""
    module, name = CLASSES[command]
    return getattr(importlib.import_module(f"...{module}", __name__), name)()


@click.group()
def command() -> None:
    """List presets, show settings, copy a preset."""


@command.command("list")
@json_option
def list_presets(as_json: bool) -> None:
    """List the presets of each command, with the first line of each file."""
    rows = [
        {"command": name, "preset": file.stem, "about": _first_line(file)}
        for name, folder in PRESETS.items()
        for file in visible(folder.glob("*.yaml"))
    ]
    lines = [f"{row['command']:26}{row['preset']:20}{row['about']}" for row in rows]
    emit(as_json, {"presets": rows}, "\n".join(lines))


@command.command("show")
@click.argument("name", metavar="COMMAND", type=click.Choice(list(CLASSES)))
@click.argument("key", required=False)
@config_options("training.epochs=3", preset="phoenix14t", presets=PRETRAIN_PRESETS)
@json_option
def show(
    name: str, key: str | None, config_source: str | None, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Show every setting of COMMAND: key, value, accepted values and meaning.

    KEY shows one setting, such as lora.rank, or one group, such as lora. With --config and --set the values
    are those of a run with the same options, and a value that is not the default is marked.
    """
    defaults = default_settings(name)
    config = load_config(
        type(defaults),
        base=defaults,
        presets=PRESETS.get(name),
        source=config_source,
        overrides=overrides,
    )
    rows = _below(list(settings_of(config)), key)
    # With a preset or --set, values differ from the defaults. Both are shown.
    by_key = {row.key: row.value for row in settings_of(defaults)}
    content = {row.key: {**vars(row), "default": by_key[row.key]} for row in rows}
    emit(as_json, content, "\n\n".join(_describe(row, by_key[row.key]) for row in rows))


@command.command("copy")
@click.argument("name", metavar="COMMAND", type=click.Choice(list(PRESETS)))
@click.argument("preset")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
def copy(name: str, preset: str, out: Path) -> None:
    """Copy the PRESET of COMMAND to the file OUT, to be edited and given to --config."""
    source = PRESETS[name] / f"{preset}.yaml"
    known = [file.stem for file in visible(PRESETS[name].glob("*.yaml"))]
    if preset not in known:
        raise ConfigError(
            f"PRESET must be one of {', '.join(known)}, but is {preset!r}.{did_you_mean(preset, known)}"
        )
    # OUT may be a preset that the user has edited for days.
    if out.exists():
        raise RunError(f"{out} must not exist yet, but does.\nName another file, or remove this one.")
    shutil.copyfile(source, out)
    text = f"{out}: edit it, then run: fla {name} --config {out} ..."
    emit(False, {}, text)


def _first_line(file: Path) -> str:
    return file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()


def _below(rows: list[Setting], key: str | None) -> list[Setting]:
    """Return the rows of a key or a group."""
    found = [row for row in rows if key is None or row.key == key or row.key.startswith(f"{key}.")]
    if not found:
        hint = did_you_mean(str(key), [row.key for row in rows])
        raise ConfigError(f"KEY must be a setting or a group of settings, but is {key!r}.{hint}")
    return found


def _describe(row: Setting, default: Any) -> str:
    changed = "" if row.value == default else f"   (default: {default})"
    return f"{row.key} = {row.value}{changed}\n    {row.kind}\n    {row.meaning}"
