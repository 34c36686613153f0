"""What is counted in a cell, and what the cell must satisfy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["exact", "bound"]


@dataclass(slots=True)
class Tally:
    """Counts over the replications of one cell. `nominal`: total level; `sides`: tails it is spread over."""

    nominal: float = 0.05
    sides: int = 2
    kind: Kind = "exact"
    replications: int = 0
    lower: float = 0
    upper: float = 0
    fired: int = 0
    refused: int = 0
    guarded: bool = True

    def rejection(self, sign: float, weight: float = 1) -> None:
        """A false rejection, or a share of one: `sign` below 0 in the lower tail."""
        if sign < 0:
            self.lower += weight
        else:
            self.upper += weight

    def add(self, other: Tally) -> None:
        """Take in the counts of further replications."""
        for name in ("replications", "lower", "upper", "fired", "refused"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class Key:
    """Which cell."""

    procedure: str
    world: str
    n: int
    split: str


Tallies = dict[str, Tally]
