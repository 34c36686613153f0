"""The looks of a sequential experiment: information and planned fractions as they enter the theory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

MIN_GROWTH = 1e-3
_FINAL_GROWTH = 1e-4


@dataclass(frozen=True, slots=True)
class Looks:
    """Looks as they enter the theory.

    Attributes:
        information: Never falling; the last of a finished experiment grows.
        fractions: Of the plan, by which alpha is spent; 1 at the end.
        grown: Whether a look has new information; one without has no bound and spends nothing.
    """

    information: tuple[float, ...]
    fractions: tuple[float, ...]
    grown: tuple[bool, ...]

    def __len__(self) -> int:
        """Number of looks."""
        return len(self.information)

    def until(self, count: int) -> Looks:
        """The first looks only."""
        return Looks(self.information[:count], self.fractions[:count], self.grown[:count])


def tidy(information: Sequence[float], fractions: Sequence[float] | None = None) -> Looks:
    """Looks from raw information (1 / se^2, or any multiple of it).

    A look whose information exceeds the largest so far by less than 0.1 % brings nothing new and spends nothing. The
    final look (fraction 1) must decide: there information is taken to have grown by at least 0.01 %. Where it has fallen
    from the largest I to I', as rows were taken back, it enters as I^2 / I': the look then has with the one before the
    correlation sqrt(I' / I) of a part with its whole. At I itself the correlation would be 1, and the look would have
    what is left of alpha without a price.

    Args:
        information: Per look; may fall or stand still.
        fractions: Planned fraction of each look by which alpha is spent (say j / J); by default the share of the
            last look's information, so the looks given are all there are.
    """
    if not information:
        raise ValueError("there is no look")
    if not all(0 <= value < math.inf for value in information):
        raise ValueError(f"information must be finite and not negative: {list(information)}")
    shares = _shares(information) if fractions is None else tuple(min(float(f), 1.0) for f in fractions)
    if len(shares) != len(information):
        raise ValueError(f"{len(information)} looks but {len(shares)} fractions")
    if not all(a >= 0 and b >= a for a, b in zip((0.0, *shares), shares, strict=False)):
        raise ValueError(f"fractions must not be negative nor fall: {list(shares)}")
    if any(share == 1 for share in shares[:-1]):
        raise ValueError("only the last look can be final (fraction 1)")
    highest, used, grown = 0.0, [], []
    for value, share in zip(information, shares, strict=True):
        final = share == 1
        floor = highest * (1 + (_FINAL_GROWTH if final else MIN_GROWTH))
        if final and value < floor:
            value = max(floor, highest**2 / value) if value > 0 else floor  # noqa: PLW2901
        grown.append(value > 0 and value >= floor)
        highest = max(highest, value)
        used.append(highest)
    if shares[-1] == 1 and not grown[-1]:
        raise ValueError("the final look has no information")
    return Looks(tuple(used), shares, tuple(grown))


def _shares(information: Sequence[float]) -> tuple[float, ...]:
    last = max(information)
    if last <= 0:
        raise ValueError("no look has information")
    running = [max(information[: j + 1]) / last for j in range(len(information))]
    # The largest share belongs to the last look, which is final also where information fell.
    return (*(min(share, math.nextafter(1.0, 0.0)) for share in running[:-1]), 1.0)


def realised_fractions(information: Sequence[float], planned: float, *, final: bool) -> tuple[float, ...]:
    """Fractions of the planned information at which looks spend: min(I_j / planned, 1), 1 at a declared final look.

    Where information has fallen, I_j is the largest so far: such a look spends nothing, and nothing is given back.
    Over-running and under-running both end at 1: the final look spends what is left. A look that is not declared
    final but has reached the plan is the last, too. Jennison & Turnbull (2000), section 7.3.

    Args:
        information: Realised so far.
        planned: Maximum of the plan, fixed in advance.
        final: Whether the last look ends the experiment whatever its information.
    """
    if not 0 < planned < math.inf:
        raise ValueError(f"the planned information must be positive and finite: {planned}")
    if not all(0 <= value < math.inf for value in information):
        raise ValueError(f"information must be finite and not negative: {list(information)}")
    shares = tuple(min(value / planned, 1.0) for value in accumulate(information, max))
    return (*shares[:-1], 1.0) if final else shares
