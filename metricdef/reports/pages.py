"""The templates of pages: HTML by Jinja, every value escaped."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from metricdef.reports.lines import visible

if TYPE_CHECKING:
    from jinja2 import Environment, Template


@lru_cache(maxsize=1)
def page_environment() -> Environment:
    """Templates of templates/pages. Values are text: `<` never opens a tag. A name that is missing is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    packaged = Path(__file__).parent.parent / "_templates"
    folder = packaged if packaged.is_dir() else Path(__file__).parent.parent.parent / "templates"
    made = Environment(
        loader=FileSystemLoader(folder / "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["visible"] = visible
    return made


def page_template(name: str) -> Template:
    """The template of that name: `report.html.j2`."""
    return page_environment().get_template(name)
