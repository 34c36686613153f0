"""A stage of the compiled SQL: a name, a comment and a template filled in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment


@dataclass(frozen=True, slots=True)
class Stage:
    """One named step: a CTE, or a temporary table where the engine would compute the CTE twice."""

    name: str
    comment: tuple[str, ...]
    body: str
    shared: bool = False


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    packaged = Path(__file__).parent.parent / "_templates"
    folder = packaged if packaged.is_dir() else Path(__file__).parent.parent.parent / "templates"
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folder), undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False
    )


def template(name: str) -> Template:
    """The SQL template of that name."""
    return _environment().get_template(f"{name}.sql.j2")
