"""Small pieces of sentences: durations, instants, lists, plurals, SQL on one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from metricdef.metrics.fields import MICROSECONDS, Instant, Size

_UNITS = {"d": "day", "h": "hour", "m": "minute"}


def plural(noun: str) -> str:
    """`user` to `users`, `country` to `countries`."""
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "z", "ch", "sh")) else f"{noun}s"


def counted(found: int, noun: str) -> str:
    """`1 day`, `14 days`."""
    return f"{found:,} {noun if found == 1 else plural(noun)}"


def duration(microseconds: int) -> str:
    """`14 days`, `36 hours`: in the longest unit that divides it."""
    unit = next(u for u in _UNITS if microseconds % MICROSECONDS[u] == 0)
    return counted(microseconds // MICROSECONDS[unit], _UNITS[unit])


def listed(parts: Sequence[str], last: str = "and") -> str:
    """`a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}" if parts else ""


def one_line(text: str) -> str:
    """Text with its line breaks and runs of spaces as single spaces."""
    return " ".join(text.split())


def conditions(filters: Iterable[str]) -> str:
    """Conditions that must all hold; in brackets where one holds an OR of its own."""
    found = [one_line(text) for text in filters]
    return " and ".join(f"({text})" if len(found) > 1 and " or " in text.lower() else text for text in found)


def number(value: float) -> str:
    """A number as people write it: no `.0`, no digits lost."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def percent(fraction: float) -> str:
    """`95%`, `0.1%`."""
    return f"{float(fraction) * 100:.12g}%"


def share(part: Fraction) -> str:
    """`50%`, `1/3`: exact."""
    hundredths = part * 100 * 10**6
    return percent(float(part)) if hundredths.denominator == 1 else str(part)


def ordinal(value: float) -> str:
    """`99.5th`, `1st`."""
    text = f"{value * 100:.12g}"
    if "." in text or text.endswith(("11", "12", "13")):
        return f"{text}th"
    return text + {"1": "st", "2": "nd", "3": "rd"}.get(text[-1], "th")


def size(value: Size) -> str:
    """`2% of the baseline`, `0.5 percentage points`, `1.5`."""
    match value.kind:
        case "relative":
            return f"{percent(value.value)} of the baseline"
        case "points":
            return f"{value.value * 100:.12g} percentage points"
    return number(value.value)


def instant(value: Instant) -> str:
    """A date as it is written; of a timestamp the instant in UTC."""
    return value.day.isoformat() if value.day else f"{value.at('UTC'):%Y-%m-%d %H:%M:%S} UTC".replace(":00 UTC", " UTC")
