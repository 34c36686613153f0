"""Names of columns in the compiled SQL: unique, readable, and short enough for every engine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

MAX_NAME = 48  # PostgreSQL cuts names at 63 without a word


@dataclass
class Names:
    """Hands out names; a label asked for twice gets a number."""

    taken: set[tuple[str, str]] = field(default_factory=set)

    def unique(self, kind: str, label: str) -> str:
        """A name that no other column of its kind has."""
        safe = "".join(c if (c.isalnum() and c.isascii()) or c == "_" else "_" for c in label)
        if len(safe) > MAX_NAME:
            safe = f"{safe[: MAX_NAME - 9]}_{hashlib.sha256(label.encode()).hexdigest()[:8]}"
        name, count = safe, 1
        while (kind, name) in self.taken:
            count += 1
            name = f"{safe}_{count}"
        self.taken.add((kind, name))
        return name


def block_name(horizon: int | None, anchor: str) -> str:
    """`all`, or how old a unit's anchor must be; values anchored at exposure beside triggered ones are `exposed`."""
    prefix = "exposed_" if anchor == "exposure" else ""
    if horizon is None:
        return f"{prefix}all"
    for unit, size in (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000)):
        if horizon % size == 0:
            return f"{prefix}mature_{horizon // size}{unit}"
    raise AssertionError(horizon)  # durations are whole minutes


def cap_key(label: str, meaning: tuple[object, ...]) -> str:
    """`revenue.upper:1f0c2a9b`: which limit of whose cap, and a hash of the values that it is a percentile of.

    The same label stands for several: a covariate's look-back and block are not part of it, and a metric may be called
    like the part of a ratio.
    """
    return f"{label}:{hashlib.sha256(repr(meaning).encode()).hexdigest()[:8]}"
