"""Whether the looks so far can be of one effect: rows that an earlier look has read may be restated since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from metricdef.analysis.look_record import LookRecord, ResultLook
from metricdef.analysis.readout import EstimateRow, TestRow
from metricdef.analysis.schedule import iso
from metricdef.stats.tails import z_quantile

LOOKS_DISAGREE = "looks_disagree"


def disagreement(row: EstimateRow, seen: Sequence[ResultLook], earlier: Sequence[LookRecord]) -> str | None:
    """Why no verdict can be given over all looks; None where it can.

    Either the looks' intervals share no effect, or a test is rejected by an earlier look alone, and the present estimate
    is not what that look left. Where rows stay as they were and the effect is one, the looks' joint coverage bounds how
    often that happens, and a verdict that is withheld errs on no side.

    Args:
        row: With the tests over all looks.
        seen: What the looks saw of it, the present one last.
        earlier: The recorded looks that they are from.
    """
    limits = [(r.lower, r.upper, r) for r in seen if r.lower is not None and r.upper is not None]
    if limits:
        above, below = max(limits, key=lambda x: x[0]), min(limits, key=lambda x: x[1])
        if above[0] >= below[1]:
            return _told("their intervals have no effect in common", [above[2], below[2]], seen, earlier)
    for test in row.tests:
        first = next((found for found in seen[:-1] if _rejected(found, test)), None)
        if first is not None and _is_contradicted(test, first, seen[-1].estimate):
            what = f"the first shows {test.hypothesis.replace('_', '-')}, and the present estimate lies outside of what it left"
            return _told(what, [first, seen[-1]], seen, earlier)
    return None


def _rejected(found: ResultLook, test: TestRow) -> bool:
    """Whether a look had rejected on the side that the test speaks for."""
    names = [test.hypothesis, f"{test.hypothesis}:{test.direction}"]
    if test.direction is None and test.look is not None:
        names += [f"{test.hypothesis}:{name}" for name in test.look.z]
    p_values = [found.sides[name].p_value for name in names if name in found.sides]
    return bool(p_values) and max(p_values) <= _one_sided(test)


def _is_contradicted(test: TestRow, first: ResultLook, estimate: float) -> bool:
    """Whether the present estimate lies on the other side of the null, or outside the interval of the look that rejected.

    The latter counts only where the present look would not reject as a fixed test either.
    """
    assert test.look is not None  # noqa: S101 - every test of a look has one
    z = test.look.z[test.direction] if test.direction else min(test.look.z.values())
    outside = first.lower is not None and first.upper is not None and not first.lower <= estimate <= first.upper
    return z < 0 or (outside and z < z_quantile(2 * _one_sided(test)))


def _one_sided(test: TestRow) -> float:
    return test.alpha / 2 if test.sidedness == "two-sided" else test.alpha


def withheld(row: EstimateRow, why: str) -> EstimateRow:
    """The row without verdict and effect; a test of harm stays unless the present estimate is on its good side."""
    harm = tuple(
        t for t in row.tests if t.hypothesis == "deterioration" and t.look is not None and min(t.look.z.values()) >= 0
    )
    return replace(
        row, tests=harm, absolute=None, relative=None, verdict="not_computed", reason=LOOKS_DISAGREE, message=why
    )


def _told(what: str, named: Sequence[ResultLook], seen: Sequence[ResultLook], earlier: Sequence[LookRecord]) -> str:
    when = {id(found): _when(found, earlier) for found in seen[:-1]}
    past = sorted({at for found in named if (at := when.get(id(found))) is not None})
    looks = " and ".join([*past, "the present one"] if any(found is seen[-1] for found in named) else past)
    return (
        f"the looks as of {looks} can't be of one effect: {what}. Rows were restated, or the effect has changed; "
        f"`metricdef run` with `--as-of {past[0]}` shows what that look gives now"
    )


def _when(found: ResultLook, earlier: Sequence[LookRecord]) -> str | None:
    return next((iso(r.as_of) for r in earlier if any(own is found for own in r.results)), None)
