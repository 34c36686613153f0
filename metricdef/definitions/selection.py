"""Names that are picked by words with wildcards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from metricdef.definitions.project import Project
from metricdef.errors import UsageError, suggest


def select_tests(project: Project, select: Iterable[str]) -> list[str]:
    """Tests by their own or their metric's name. Raises UsageError where a word matches none."""
    return matching(select, {name: (name, test.metric) for name, test in project.tests.items()}, "test")


def matching(select: Iterable[str], names: Mapping[str, tuple[str, ...]], kind: str) -> list[str]:
    """Keys of `names` of which one name matches one word of `select`; all without words. Raises UsageError."""
    words = list(select)
    for word in words:
        if not any(fnmatchcase(name, word) for values in names.values() for name in values):
            known = sorted({name for values in names.values() for name in values})
            similar = suggest(word, known)
            hint = f"did you mean `{similar[0]}`?" if similar else f"names: {', '.join(known[:12]) or 'none'}"
            raise UsageError(f"no {kind} matches `{word}`", [hint])
    return [n for n, values in names.items() if not words or any(fnmatchcase(v, w) for v in values for w in words)]
