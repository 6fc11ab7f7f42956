"""HTML from templates. Every text is escaped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from ..core.text import printable

TEMPLATES = Path(__file__).parent / "templates"


def render(content: Mapping[str, Any], *, template: str = "report.html") -> str:
    """Return a template as HTML that loads nothing: styles, drawings and pictures are part of the text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_visible,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = _figure
    return environment.get_template(template).render(content)


def _visible(value: Any) -> Any:
    # Control characters, overrides of the direction of text and half surrogates of ids and sentences. UTF-8
    # cannot hold the last.
    return printable(value) if type(value) is str else value


def _figure(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
