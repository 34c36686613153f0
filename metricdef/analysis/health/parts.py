"""Sample ratios in parts of the experiment: on every day, in every segment, and whether the split stays the same."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import NamedTuple, TypeVar

from metricdef.analysis.cells import Cells, Level
from metricdef.analysis.health.ratios import Table, shares_of, test_ratio
from metricdef.analysis.readout import HealthRow
from metricdef.analysis.settings import Settings
from metricdef.errors import NotComputable
from metricdef.stats import contingency
from metricdef.stats.multiplicity import adjust

DRIFT_ALPHA = 0.001
SMALL = 5  # expected units of an arm, below which a day joins the next
NAMED = 3  # days that a message names
Part = TypeVar("Part", bound=Hashable)


class Tested(NamedTuple):
    """One test of a family of sample ratios."""

    statistic: float
    p_adjusted: float
    rejected: bool


def check_parts(cells: Cells, settings: Settings) -> Iterator[HealthRow]:
    """Each kind with Holm's correction within it; they warn, and never make the experiment invalid."""
    yield from _by_day(cells, settings)
    yield from _by_segment(cells, settings)
    yield from _drift(cells)


def _by_day(cells: Cells, settings: Settings) -> Iterator[HealthRow]:
    """Those assigned against the shares, on every local day of first exposure."""
    tables: dict[int, list[Table]] = {}
    for (epoch, day), counts in _days(cells).items():
        tables.setdefault(day, []).append((counts, shares_of(cells.plan, epoch)))
    found = _tested(tables, settings.srm_alpha)
    if not found:
        return
    worst = sorted((day for day in found if found[day].rejected), key=lambda day: found[day].p_adjusted)
    message = f"none of {len(tables):,} days differs from the shares"
    if worst:
        named = ", ".join(f"{_date(day)} ({_counts(cells, tables[day])})" for day in worst[:NAMED])
        more = f" and {len(worst) - NAMED:,} more" if len(worst) > NAMED else ""
        message = f"{len(worst):,} of {len(tables):,} days differ from the shares: {named}{more}"
        message += "; find out what was released or lost on them"
    smallest = min(found.values(), key=lambda part: part.p_adjusted)
    status = "warn" if worst else "pass"
    figures = smallest.statistic, smallest.p_adjusted, settings.srm_alpha
    yield HealthRow("srm_by_day", status, message, *figures)  # type: ignore[arg-type]  # one of the two


def _by_segment(cells: Cells, settings: Settings) -> Iterator[HealthRow]:
    """Those in the population against the shares, at every level of the strata and breakdowns.

    Levels with fewer than the project's `min_units` in an arm are not looked at.
    """
    tables = {
        level: found
        for level, found in _levels(cells, with_mixed=settings.mixed == "first_arm").items()
        if min(n for n, arm in zip(_total(found), cells.plan.arms, strict=True) if arm.share) >= settings.min_units
    }
    found = _tested(tables, settings.srm_alpha)
    worst = [level for level in found if found[level].rejected]
    for level in worst:
        message = f"{_counts(cells, tables[level])}; find out why units are lost or added here"
        figures = found[level].statistic, found[level].p_adjusted, settings.srm_alpha
        yield HealthRow("srm_by_segment", "warn", message, *figures, {level.dimension: level.value})
    if found and not worst:
        smallest = min(found.values(), key=lambda part: part.p_adjusted)
        message = f"none of {len(tables):,} levels differs from the shares"
        figures = smallest.statistic, smallest.p_adjusted, settings.srm_alpha
        yield HealthRow("srm_by_segment", "pass", message, *figures)


def _drift(cells: Cells) -> Iterator[HealthRow]:
    """Whether the arms are split alike at all times, whatever their shares; within the epochs of a ramp."""
    days = _days(cells)
    parts = []
    for epoch in range(max(1, len(cells.plan.epochs))):
        table = _joined([counts for (at, _), counts in days.items() if at == epoch])
        try:
            parts.append((contingency.independence(table), table, epoch))
        except NotComputable:
            continue
    if not parts:
        return
    whole = contingency.add_up([part for part, _, _ in parts])
    changed = whole.p_value <= DRIFT_ALPHA
    message = "the arms are split alike on all days"
    if changed:
        _, table, epoch = min(parts, key=lambda part: part[0].p_value)
        before, after = (_share(part) for part in (table[: len(table) // 2], table[len(table) // 2 :]))
        within = f" within epoch {epoch + 1} of the ramp" if len(cells.plan.epochs) > 1 else ""
        message = (
            f"the split of the arms changes over time{within}: {cells.plan.arms[0].name} got {before:.2%} in the first half of "
            f"the days and {after:.2%} in the second; a changed allocation needs a step in `ramp`"
        )
    figures = whole.statistic, whole.p_value, DRIFT_ALPHA
    yield HealthRow("allocation_drift", "warn" if changed else "pass", message, *figures)


def _tested(tables: Mapping[Part, Sequence[Table]], alpha: float) -> dict[Part, Tested]:
    """The test of every part, with Holm over all of them; a part that can't be tested keeps its place."""
    tests: dict[Part, tuple[float, float, str] | None] = {}
    for part, found in tables.items():
        try:
            tests[part] = test_ratio(found, final=True)
        except NotComputable:
            tests[part] = None
    holm = adjust([test[1] if test else None for test in tests.values()], "holm", alpha)
    return {
        part: Tested(test[0], p_adjusted, rejected)
        for (part, test), p_adjusted, rejected in zip(tests.items(), holm.p_adjusted, holm.rejected, strict=True)
        if test is not None and p_adjusted is not None
    }


def _days(cells: Cells) -> dict[tuple[int, int], list[int]]:
    """Units (or clusters) of every arm by epoch and local day of first exposure, in order."""
    position = {arm.name: i for i, arm in enumerate(cells.plan.arms)}
    found: dict[tuple[int, int], list[int]] = {}
    for entry in cells.entered:
        counts = found.setdefault((entry.epoch, entry.day), [0] * len(position))
        counts[position[entry.arm]] += entry.units if entry.clusters is None else entry.clusters
    return dict(sorted(found.items()))


def _levels(cells: Cells, *, with_mixed: bool) -> dict[Level, list[Table]]:
    """Units (or clusters) of every arm in every epoch, by level of each dimension."""
    plan = cells.plan
    position = {arm.name: i for i, arm in enumerate(plan.arms)}
    counts: dict[Level, dict[int, list[int]]] = {}
    for at in {d.name: i for i, d in reversed(list(enumerate(plan.dimensions)))}.values():
        splits = set() if plan.dimensions[at].stratum else {at}
        for group in cells.groups:
            level = group.levels[at]
            split = {i for i, x in enumerate(group.levels) if x is not None and not plan.dimensions[i].stratum}
            if level is None or split != splits or (group.mixed and not with_mixed):
                continue
            own = counts.setdefault(level, {}).setdefault(group.epoch, [0] * len(position))
            own[position[group.arm]] += int(group.row["group_rows"])
    return {
        level: [(own, shares_of(plan, epoch)) for epoch, own in sorted(found.items())]
        for level, found in sorted(counts.items(), key=lambda item: (item[0].dimension, item[0].value or ""))
    }


def _joined(days: Sequence[Sequence[int]]) -> list[list[int]]:
    """Consecutive days put together until every arm expects enough units in each part."""
    total = [sum(arm) for arm in zip(*days, strict=True)]
    smallest = Fraction(min((n for n in total if n), default=0), sum(total) or 1)
    found: list[list[int]] = []
    current = [0] * len(total)
    for day in days:
        current = [a + b for a, b in zip(current, day, strict=True)]
        if sum(current) * smallest >= SMALL:
            found.append(current)
            current = [0] * len(total)
    if found:
        found[-1] = [a + b for a, b in zip(found[-1], current, strict=True)]
    return found


def _share(days: Sequence[Sequence[int]]) -> float:
    """The baseline's share of some days."""
    return sum(day[0] for day in days) / sum(map(sum, days))


def _total(tables: Sequence[Table]) -> list[int]:
    return [sum(arm) for arm in zip(*(counts for counts, _ in tables), strict=True)]


def _counts(cells: Cells, tables: Sequence[Table]) -> str:
    return ", ".join(f"{arm.name} {n:,}" for arm, n in zip(cells.plan.arms, _total(tables), strict=True))


def _date(day: int) -> str:
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=day):%Y-%m-%d}"
