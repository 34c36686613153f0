"""What stands beside judged rows at a look: bounds at each test's own level, futility, the headline of a stopped test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from metricdef.analysis.look_agreement import LOOKS_DISAGREE
from metricdef.analysis.look_rows import Looking, Reading
from metricdef.analysis.readout import EstimateRow, Headline, Interval, TestRow
from metricdef.analysis.sequential_design import FUTILITY_BETA
from metricdef.analysis.sequential_tests import Track, critical_value, intersect, planned_bounds, two_sided_tail
from metricdef.errors import NotComputable
from metricdef.stats.futility import futility_bounds, futility_design
from metricdef.stats.group_sequential import Boundaries, boundaries
from metricdef.stats.looks import tidy
from metricdef.stats.stagewise import stagewise
from metricdef.stats.tails import t_quantile, z_quantile

Key = tuple[str, str]  # metric, arm
NOT_CROSSED = "bound_not_crossed"


def settle(rows: Sequence[EstimateRow], readings: Mapping[Key, Reading], looking: Looking) -> list[EstimateRow]:
    """Judged rows with their tests' bounds, simultaneous intervals and headlines."""
    return [_settled(row, readings.get((row.metric, row.arm)), looking) for row in rows]


def _settled(row: EstimateRow, reading: Reading | None, looking: Looking) -> EstimateRow:
    if reading is None or not row.tests or row.reason == LOOKS_DISAGREE:
        return row
    tests = tuple(_with_bounds(test, reading) for test in row.tests)
    main = next(t for t in tests if t.hypothesis == ("non_inferiority" if row.role == "guardrail" else "superiority"))
    if row.role == "primary" and looking.design.futility is not None:
        tests = tuple(_with_futility(test, row, reading, looking) for test in tests)
    simultaneous = _simultaneous(row, main, reading)
    row = replace(row, tests=tests, simultaneous=simultaneous, headline=_headline(row, main, reading, looking))
    row = replace(row, interval_kind="anytime" if looking.design.method == "always_valid" else "repeated")
    if row.verdict == "inconclusive" and row.reason is None and not looking.point.final:
        return replace(row, reason=NOT_CROSSED)
    return row


def _level(test: TestRow) -> float:
    """One-sided level that the test has whatever the others of its family say."""
    level = test.alpha if test.local_alpha is None else test.local_alpha
    return level / 2 if test.sidedness == "two-sided" else level


def _with_bounds(test: TestRow, reading: Reading) -> TestRow:
    """Bound and spent level at the test's own level."""
    assert test.look is not None  # noqa: S101 - every test of a reading has one
    level = _level(test)
    own = reading.harm if test.hypothesis == "deterioration" else reading.main
    if not level > 0:
        return replace(test, look=replace(test.look, spent=0.0))
    critical = critical_value(own, reading.track, level)
    spent = None
    if own.rule is not None and reading.track.fractions:
        bounds = planned_bounds(own, replace(reading.track, spends=True), level)
        sides = 2 if test.sidedness == "two-sided" else 1
        spent = sides * bounds.spent[-1] if bounds else None
    look = replace(test.look, bound=critical if math.isfinite(critical) else None, spent=spent)
    return replace(test, look=look)


def _simultaneous(row: EstimateRow, main: TestRow, reading: Reading) -> Interval | None:
    """The interval at the main test's own level, where its family is one for which single steps have one that agrees."""
    if row.absolute is None or main.null_kind == "relative" or main.procedure in ("none", "by"):
        return None
    level = _level(main)
    limit = main.local_alpha or 0.0
    if not level > 0 or (main.p_value <= limit) != main.rejected:
        return None
    if level == reading.level:
        return row.absolute
    left = intersect(_at_level(reading, level))
    return (
        None if left is None or left[0] >= left[1] else Interval(row.absolute.estimate, row.absolute.std_error, *left)
    )


def _at_level(reading: Reading, level: float) -> list[tuple[float | None, float | None]]:
    """Intervals of all looks so far at another one-sided level; none where a standard error is missing."""
    found: list[tuple[float | None, float | None]] = []
    track = reading.track
    spent = 0
    for fraction, result in (*reading.past, (track.fractions[-1] if track.spends else None, reading.result)):
        spends = fraction is not None
        spent += spends
        units = result.units if result.time is None else result.time
        part = Track(track.information[:spent], track.fractions[:spent], spends, units, result.ready)
        if result.std_error is None:
            return []
        if result.lower is None and result is not reading.result:
            continue
        critical = critical_value(reading.main, part, level)
        if math.isfinite(critical):
            tail = two_sided_tail(critical)
            half = (z_quantile(tail) if result.df is None else t_quantile(tail, result.df)) * result.std_error
            found.append((result.estimate - half, result.estimate + half))
    return found


# --- futility ---------------------------------------------------------------------------------------------------------


def _with_futility(test: TestRow, row: EstimateRow, reading: Reading, looking: Looking) -> TestRow:
    """The futility bound of a superiority test, towards the good side."""
    design, track, level = looking.design, reading.track, _level(test)
    if test.hypothesis != "superiority" or not track.spends or looking.point.final or not level > 0:
        return test
    assert design.rule is not None and design.futility is not None and test.look is not None  # noqa: S101 - asked by `settle`
    try:
        planned = futility_design(design.rule, design.futility, design.fractions, level, FUTILITY_BETA, binding=False)
    except ValueError:  # Haybittle and Peto's interim looks take all of a small level: the last look can show nothing
        return test
    # Information at the planned end by the first look's information of a unit, so that later data cannot move the plan.
    first = next((r for f, r in reading.past if f is not None), reading.result)
    whole = first.information / first.units * looking.planned_units(row.baseline, row.arm)
    theta = planned.theta / math.sqrt(whole)
    looks = tidy(track.information, track.fractions)
    found = futility_bounds(design.rule, design.futility, looks, level, FUTILITY_BETA, theta, binding=False)
    bound = found.lower[-1]
    if not math.isfinite(bound):
        return test
    z = test.look.z["less" if row.direction == "decrease" else "greater"]
    return replace(test, look=replace(test.look, futility=bound, futile=z <= bound))


def is_futile(row: EstimateRow) -> bool:
    """Whether a primary comparison has met its futility bound."""
    test = row.test("superiority")
    return test is not None and test.look is not None and test.look.futile and not test.rejected


# --- headline ---------------------------------------------------------------------------------------------------------


def _headline(row: EstimateRow, main: TestRow, reading: Reading, looking: Looking) -> Headline | None:
    """The median-unbiased estimate of a stopped group-sequential test of no effect; None while it goes on."""
    rule = looking.design.rule if looking.design.method == "group_sequential" else None
    if rule is None or main.hypothesis != "superiority" or main.look is None or not reading.track.spends:
        return None
    if looking.clustered:
        return None  # it takes the joint law of the looks itself
    seen = [(fraction, r, r.sides["superiority:greater"].z) for fraction, r in reading.past if fraction is not None]
    seen.append((reading.track.fractions[-1], reading.result, main.look.z["greater"]))
    for level in dict.fromkeys((_level(main), main.alpha / 2)):
        if not level > 0:
            continue
        bounds = boundaries(rule, reading.track.information, level, 1, [f for f, _, _ in seen])
        crossed = next((j for j, (_, _, z) in enumerate(seen) if abs(z) >= bounds.upper[j]), None)
        if crossed is None and looking.point.final and not main.rejected:
            crossed = len(seen) - 1
        if crossed is not None:
            precisions = [math.sqrt(r.information) for _, r, _ in seen] if reading.result.epochs else None
            return _median_unbiased(row, bounds, crossed, seen[crossed][1].estimate, seen[crossed][2], precisions)
    return None


def _median_unbiased(
    row: EstimateRow, bounds: Boundaries, look: int, estimate: float, z: float, precisions: Sequence[float] | None
) -> Headline | None:
    """By the stage-wise ordering of a test that stops on either side. Tsiatis, Rosner & Mehta (1984)."""
    if not abs(z) > 1e-6:
        return None
    both = replace(bounds, lower=tuple(-c for c in bounds.upper), sided=2, alpha=2 * bounds.alpha)
    try:
        found = stagewise(both, look, z, estimate / z, precisions)
    except NotComputable:
        return None
    base = row.baseline_value
    return Headline("median_unbiased", found.estimate, found.estimate / base if base else None)
