"""Pages from templates: every text is shown as text, also control and bidirectional characters."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from metricdef.reports.lines import visible
from metricdef.reports.pages import page_environment
from metricdef.reports.site.slugs import page_path

if TYPE_CHECKING:
    from jinja2 import Environment


_KEPT = {"\n", "\u200c", "\u200d"}  # joiners are part of letters in some scripts, and of emoji


def shown(value: Any) -> Any:
    """Text whose characters can do nothing but be seen; line breaks stay. Anything else as it is."""
    if not isinstance(value, str) or hasattr(value, "__html__") or value.isprintable():
        return value
    return "\n".join(line if line.isprintable() else _visible(line) for line in value.split("\n"))


def _visible(line: str) -> str:
    return "".join(c if c.isprintable() or c in _KEPT else visible(c, spaces=False) for c in line)


@lru_cache(maxsize=1)
def site_environment() -> Environment:
    """The templates of all pages, with what is the same on each page of a site."""
    environment = page_environment().overlay(finalize=shown)
    environment.globals = {**environment.globals, "page_path": page_path}
    return environment


def asset(name: str) -> str:
    """A file of templates/pages as it is."""
    environment = site_environment()
    source, _, _ = environment.loader.get_source(environment, name)  # type: ignore[union-attr]  # it has one
    return source
