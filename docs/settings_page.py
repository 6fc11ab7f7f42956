"""Write docs/settings.md from the settings classes. Run: python docs/settings_page.py."""

from collections.abc import Iterator
from pathlib import Path

from fla_llm.cli.config import CLASSES, default_settings
from fla_llm.core.settings import settings_of

PAGE = Path(__file__).with_name("settings.md")
INTRODUCTION = """\
# Settings

Every setting of every command that takes `--set KEY=VALUE` and `--config FILE`.
`docs/settings_page.py` writes this page from the code, and a test compares the two.
`fla config show COMMAND` prints the same in a terminal ([fla config](config.md)).
"""


def settings_page() -> str:
    """Return the whole page."""
    return "\n".join([INTRODUCTION, *(line for command in CLASSES for line in _section(command))])


def _section(command: str) -> Iterator[str]:
    yield f"## fla {command}\n\n| key | default | values | meaning |\n|---|---|---|---|"
    for row in settings_of(default_settings(command)):
        if command == "demo" and row.key.startswith(("pretrain.", "extract.", "tune.")):
            continue  # the settings of those commands, shown above
        cells = [f"`{row.key}`", f"`{_value(row.value)}`", row.kind, row.meaning.replace("``", "`")]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _value(value: object) -> str:
    words = {"None": "null", "True": "true", "False": "false", "''": '""'}
    return str(list(value)) if isinstance(value, tuple) else words.get(repr(value), str(value))


if __name__ == "__main__":
    PAGE.write_text(settings_page(), encoding="utf-8")
