"""A look of a sequential design in words: which it is, what it may spend, what each test's bound was, what to quote."""

from __future__ import annotations

from collections.abc import Iterator

from metricdef.analysis.readout import EstimateRow, Readout, TestRow
from metricdef.reports import words
from metricdef.reports.lines import visible
from metricdef.reports.numbers import count, decimals_for, estimate_text, number, percent, unit_of

_METHODS = {
    "group_sequential": "group-sequential design",
    "always_valid": "tests valid at any time",
    "hybrid": "tests valid at any time, and planned looks",
}


def describe(readout: Readout) -> Iterator[str]:
    """Parts of a line: which look this is, how far the plan is, and when the next comes."""
    look = readout.look
    if look is None:
        return
    yield f"{_METHODS.get(look['method']) or words.spelled(look['method'])}: {_which(look)}"
    if look["fraction"] is not None:
        yield f"{percent(look['fraction'])} of the plan"
    spent = spent_share(readout)
    if spent is not None:
        yield spent
    if look["next"]:
        yield f"the next look lies at {words.instant(look['next'])}"
    if look["final"]:
        yield "nothing is left to look at"


def _which(look: dict[str, object]) -> str:
    again = " again" if look["replay"] else ""
    if look["number"] is not None:
        of = f" of {look['of']}" if look["of"] else ""
        return f"look {look['number']}{of}{again}"
    return f"{'an unplanned look' if look['method'] == 'group_sequential' else 'a look between the planned ones' if look['of'] else 'a look'}{again}"


def spent_share(readout: Readout) -> str | None:
    """`0.31% of 5% alpha spent`, by the planned look reached."""
    table, look = readout.ledger.get("looks") or [], readout.look
    if look is None or not table or look["number"] is None or look["of"] is None:
        return None
    spent, whole = (table[j]["alpha_spent"] for j in (look["number"] - 1, -1))
    return f"{percent(spent)} of {percent(whole)} alpha spent"


def changes(readout: Readout) -> Iterator[str]:
    """What a replay gives otherwise than was recorded."""
    for found in readout.look["differences"] if readout.look else ():
        then, now = found["recorded"], found["now"]
        text = f"{visible(found['metric'])}, {visible(found['arm'])}: recorded {number(then['estimate'], 6)} from {count(then['units'])} units"
        yield (
            f"{text}, now {number(now['estimate'], 6)} from {count(now['units'])}"
            if now
            else f"{text}, now not computed"
        )


def of_row(row: EstimateRow) -> Iterator[str]:
    """Notes on one comparison: its score beside the bound, futility, and the estimate to quote after a stop."""
    main = row.test("non_inferiority" if row.role == "guardrail" else "superiority")
    if main is not None and main.look is not None:
        yield _bound(main)
        if main.look.futility is not None:
            met = "met: the planned effect is unlikely" if main.look.futile else "not met"
            yield f"futility bound {number(main.look.futility, 2)}: {met}"
    if row.headline is not None:
        yield f"to quote, now that the test has stopped: {quoted(row)} (median-unbiased)"


def quoted(row: EstimateRow) -> str:
    """The estimate to quote after a stop, at the interval's digits; empty where there is none."""
    if row.headline is None:
        return ""
    unit = unit_of(row)
    decimals = 2
    if row.absolute is not None:
        decimals = decimals_for(row.absolute.lower * unit.factor, row.absolute.upper * unit.factor, (0.0,))
    return estimate_text(row.headline.estimate * unit.factor, decimals) + unit.difference_suffix


def _bound(test: TestRow) -> str:
    assert test.look is not None  # noqa: S101 - asked by the caller
    z = max(test.look.z.values(), key=abs)
    if test.look.bound is None:
        return f"z = {number(z, 2)}; this look spends nothing of its level"
    both = "±" if len(test.look.z) > 1 else ""
    spent = "" if test.look.spent is None else f"; {percent(test.look.spent)} of its alpha spent so far"
    return f"z = {number(z, 2)}, bound {both}{number(test.look.bound, 2)} at this look{spent}"
