"""Are the columns that the SQL reads still what they were when the protocol was locked?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from metricdef.analysis.readout import HealthRow

Columns = Mapping[str, Mapping[str, str]]  # types by source and column

NAMED = 3
# What a type can be compared as; engines write the same one in several ways.
_FAMILIES = (
    ("a time with a zone", r"WITH TIME ZONE|TIMESTAMP_?(TZ|LTZ)"),
    ("a time", r"TIMESTAMP|DATETIME"),
    ("a date", r"^DATE"),
    ("a truth value", r"BOOL"),
    ("a number", r"INT\d*\b|DECIMAL|NUMERIC|NUMBER|DOUBLE|FLOAT|REAL|FIXED"),
    ("a text", r"CHAR|TEXT|STRING"),
)


def check_schema(before: Columns, now: Columns, text: str | None) -> Iterator[HealthRow]:
    """Columns that the SQL names and that are gone, or of another kind.

    Args:
        before: As known at the lock, or from the snapshot; nothing is said where that is empty.
        now: As the warehouse has them.
        text: The SQL; None: every column counts.
    """
    if not before:
        return
    if not set(before) & set(now):
        message = "the warehouse describes none of the sources: SELECT on them may not be granted"
        yield HealthRow("schema_drift", "skipped", message)
        return
    words = None if text is None else {word.casefold() for word in re.findall(r"\w+", text)}
    changed, total = [], 0
    for source, columns in sorted(before.items()):
        found = {name.casefold(): kind for name, kind in now.get(source, {}).items()}
        for name, kind in columns.items():
            if source not in now or (words is not None and name.casefold() not in words):
                continue
            total += 1
            other = found.get(name.casefold())
            if other is None:
                changed.append(f"`{source}.{name}` is gone")
            elif _family(kind) != _family(other):
                changed.append(f"`{source}.{name}` is {_family(other)} ({other}), and was {_family(kind)} ({kind})")
    message = f"{total:,} columns are of the kind that they were"
    if changed:
        more = f"; and {len(changed) - NAMED:,} more" if len(changed) > NAMED else ""
        message = (
            f"{'; '.join(changed[:NAMED])}{more}: find out what changed in the source, and what its values mean now"
        )
    yield HealthRow("schema_drift", "warn" if changed else "pass", message, float(len(changed)), None, 0.0)


def _family(kind: str) -> str:
    """What a column of a type holds; the type itself where that is not known."""
    return next((family for family, pattern in _FAMILIES if re.search(pattern, kind.upper())), kind)
