"""What an engine returned, against the brute-force oracle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
from oracle.oracle import Case, MetricMoments, Result, analyse, moments_of, series
from oracle.reading import local_day
from oracle.results import UnitRecord, quantile_of

from metricdef.analysis.cells import Cells, Level
from metricdef.analysis.series import cumulative_cells
from metricdef.compiler.plan import MetricPlan
from metricdef.compiler.series_stages import no_series
from metricdef.errors import NotComputable
from metricdef.stats.moments import Moments

RTOL = 1e-9


def assert_cells(case: Case, cells: Cells, timezone: str) -> None:
    """Every count, moment, limit and quantile of an executed case, and every day of its series if it has one."""
    want = analyse(case)
    assert_counts(cells, want)
    assert_entries(cells, want, timezone)
    for metric in cells.plan.metrics:
        assert_metric(cells, want, metric)
        assert_quantiles(cells, want, metric)
    if cells.plan.daily:
        assert_series(case, cells, want, timezone)


def assert_counts(cells: Cells, want: Result) -> None:
    for arm, units in want.assigned.items():
        assert cells.count("units_assigned", arm) == units, f"assigned {arm}"
        assert cells.count("units_assigned", arm, mixed=True) == want.mixed[arm], f"mixed {arm}"
        assert cells.count("units_in_population", arm, mixed=False) == want.in_population[arm], f"in population {arm}"
        assert cells.count("units_analysed", arm, mixed=False) == want.analysed[arm], f"analysed {arm}"
        if cells.plan.cluster:
            clusters = sum(1 for cluster in want.clusters.values() if cluster.arm == arm)
            assert cells.count("clusters_assigned", arm) == clusters, f"clusters of {arm}"
    reasons = ["null_unit", "null_time", "before_start", "on_or_after_end", "after_as_of", "unknown_arm", "not_loaded"]
    for name in [*reasons, *(["null_cluster"] if cells.plan.cluster else [])]:
        assert cells.audit(name) == want.excluded[name], name


def assert_entries(cells: Cells, want: Result, timezone: str) -> None:
    """Units of every arm and epoch by the local day on which they came, and those of them that were exposed again."""
    expected: dict[tuple, list] = {}
    earliest: dict[object, datetime] = {}
    for record in want.units.values():
        first = earliest.setdefault(record.cluster, record.first_exposure)
        earliest[record.cluster] = min(first, record.first_exposure)
    for record in want.units.values():
        day = local_day(record.first_exposure, timezone)
        key = record.arm, record.mixed, record.epoch, day
        counts = expected.setdefault(key, [0, 0, set()])
        counts[0] += 1
        counts[1] += record.exposures > 1
        if record.first_exposure == earliest[record.cluster]:
            counts[2].add(record.cluster)
    clustered = cells.plan.cluster is not None
    found = {
        (e.arm, e.mixed, e.epoch, (datetime(1970, 1, 1) + timedelta(microseconds=e.day)).date()): [
            e.units,
            e.again,
            e.clusters,
        ]
        for e in cells.entered
    }
    assert found == {
        key: [units, again, len(clusters) if clustered else None] for key, (units, again, clusters) in expected.items()
    }, "entries by day"


def groups(cells: Cells, want: Result) -> Iterator[tuple[str, dict, list]]:
    """Every group of units that the result tells apart: in words, how to ask the cells for it, and its units."""

    def units(**wanted: object) -> list:
        return [u for u, record in want.units.items() if all(matches(record, k, v) for k, v in wanted.items())]

    plan = cells.plan
    for arm in (a.name for a in plan.arms):
        for mixed in (False, True):
            yield f"{arm}, mixed {mixed}", {"arm": arm, "mixed": mixed}, units(arm=arm, mixed=mixed)
            for epoch in range(len(plan.epochs)):
                asked = {"arm": arm, "mixed": mixed, "epoch": epoch}
                yield f"{asked}", asked, units(**asked)
            for stratum in cells.strata() if plan.strata else ():
                asked = {"arm": arm, "mixed": mixed, "strata": tuple(level.value for level in stratum)}
                yield f"{asked}", asked, units(**asked)
            for dimension in plan.breakdowns:
                levels = {
                    record.breakdowns[dimension.name]
                    for record in want.units.values()
                    if record.in_population and record.triggered
                }
                found = {level.value for level in cells.levels(dimension.name)}
                assert levels <= found, f"levels of {dimension.name}"
                for level in found:
                    asked = {"arm": arm, "mixed": mixed, "level": Level(dimension.name, level)}
                    yield f"{asked}", asked, units(arm=arm, mixed=mixed, breakdown=(dimension.name, level))


def matches(record: UnitRecord, key: str, value: object) -> bool:
    if key == "breakdown":
        return record.breakdowns[value[0]] == value[1]
    return getattr(record, key) == value


def assert_metric(cells: Cells, want: Result, metric: MetricPlan) -> None:
    if metric.quantile is not None:
        return
    if caps_cross(want, metric):
        return
    names, at = columns(metric, want)
    for where, asked, units in groups(cells, want):
        moments = moments_of(want, metric.name, units)
        assert_moments(cells, metric, asked, names, at, moments, f"{metric.name} of {where}")
    limits = want.caps[metric.name]
    for cap in metric.caps:
        for side in ("lower", "upper"):
            limit = getattr(cap, side)
            if isinstance(limit, str):
                resolved = next(c for name, c in limits.items() if name == oracle_name(metric, cap.column))
                expected = getattr(resolved, side)
                got, _ = cells.percentile(limit)
                assert (got is None) == (expected is None), f"{metric.name}: {side} cap"
                if got is not None:
                    np.testing.assert_allclose(got, float(expected), rtol=RTOL, err_msg=f"{metric.name}: {side} cap")


def caps_cross(want: Result, metric: MetricPlan) -> bool:
    """Then the readout says cap_degenerate, whatever the values."""
    limits = want.caps[metric.name].values()
    return any(c.lower is not None and c.upper is not None and c.lower > c.upper for c in limits)


def oracle_name(metric: MetricPlan, column: str) -> str:
    position = metric.columns.index(column)
    return {1: ["y"], 2: ["y", "d"] if metric.metric.type == "ratio" else ["y", "r"]}[len(metric.columns)][position]


def columns(metric: MetricPlan, want: Result) -> tuple[list[str], list[int]]:
    """Our columns, and the oracle's at the same places: where the metric holds one value twice, ours appears once."""
    layout = want.tables[metric.name].layout
    outcome = [column for _, column in metric.steps] or list(metric.columns)
    size = [metric.size] if metric.size else []
    # The days observed before exposure are no covariate of ours: they say only at what time of day a unit came.
    kept = [
        i for i, name in enumerate(layout.covariates) if not (name == "d@pre" and getattr(metric.metric, "per", None))
    ]
    first = len(layout.outcome) + len(size)
    at = [*range(first), *(first + i for i in kept)]
    names = [*outcome, *size, *metric.covariates]
    if len(names) != len(at):
        # An extra that names a value the metric already has: the plan holds it once, the oracle twice.
        assert len(names) < len(at), metric.name
        names, at = names[:first], at[:first]
    return names, at


def select(cells: Cells, metric: MetricPlan, asked: dict, names: list[str]) -> Moments:
    """Moments of exactly the units asked for: mixed ones alone where mixed ones are asked for."""
    only = replace(cells, groups=tuple(replace(g, mixed=False) for g in cells.groups if g.mixed == asked["mixed"]))
    about = {"with_mixed": False, "level": asked.get("level"), "epoch": asked.get("epoch")}
    if "strata" in asked:
        at = [i for i, d in enumerate(cells.plan.dimensions) if d.stratum]
        own = [g for g in only.groups if tuple(g.levels[i].value for i in at) == asked["strata"]]
        only = replace(only, groups=tuple(own))
    return only.moments(metric.block, names, asked["arm"], **about)


def assert_moments(
    cells: Cells, metric: MetricPlan, asked: dict, names: list[str], at: list[int], moments: MetricMoments, where: str
) -> None:
    assert select(cells, metric, asked, []).n == moments.n, where
    if moments.n == 0:
        return
    if metric.steps:  # steps before the last have no products with each other
        for name, i in zip(names, at, strict=True):
            assert_equal(cells, metric, asked, [name], [i], moments, where)
        return
    assert_equal(cells, metric, asked, names, at, moments, where)


def assert_equal(
    cells: Cells,
    metric: MetricPlan,
    asked: dict,
    names: list[str],
    at: list[int],
    moments: MetricMoments,
    where: str,
    *,
    day: float | None = None,
) -> None:
    unique = list(dict.fromkeys(names))
    back = [unique.index(name) for name in names]
    try:
        got = select(cells, metric, asked, unique)
    except NotComputable as error:
        # Refused rather than wrong: an arm's mean so far from the pooled centre that its variance has no digits.
        assert error.reason == "ill_conditioned", where  # noqa: PT017 - most cases raise nothing
        # Of a day also where units that had 0 before, far from it as well, left nothing but rounding of their products.
        lost = day is not None and any(moments.comoment[i, i] <= 1e-12 * moments.n * day**2 for i in at)
        assert lost or far_from_centre(cells, metric.block, names, at, moments), where
        return
    comoment, third = moments.comoment[np.ix_(at, at)], moments.third[at]
    scale = np.maximum(moments.max_abs[at], 1e-300)
    spread = np.sqrt(np.maximum(np.diag(comoment), 0))
    np.testing.assert_allclose(got.mean[back], moments.mean[at], rtol=RTOL, atol=1e-12, err_msg=where)
    # A day's sums were put together from changes of sums over all units: that is the size of their rounding.
    size = np.maximum(scale, day or 0.0)
    # The error of a variance is about eps times what the distance of the mean from the centre makes of it.
    away = np.abs(moments.mean[at] - [cells.centre(metric.block, name) for name in names])
    bound = RTOL * np.outer(spread, spread) + (1e-18 if day is None else 1e-12) * moments.n * np.outer(size, size)
    bound += 1e-15 * moments.n * np.outer(away, away)
    rounded = np.outer(size, spread)  # of values that are quotients themselves, as means of clusters are
    bound += 1e-15 * np.sqrt(moments.n) * (rounded + rounded.T)
    if day is not None:  # a variance within that rounding may be 0, and what goes with it then is too
        lost = np.diag(comoment) <= np.diag(bound)
        bound += np.outer(spread, spread) * (lost[:, None] | lost[None, :])
    assert (np.abs(got.comoment[np.ix_(back, back)] - comoment) <= RTOL * np.abs(comoment) + bound).all(), where
    if day is not None:
        return
    cubes = RTOL * (np.abs(third) + spread**3) + 1e-18 * scale**3 + 1e-14 * moments.n * away**3
    assert (np.abs(got.third[back] - third) <= cubes).all(), where
    for field in ("max_abs", "nonzero", "capped"):
        want_field = getattr(moments, field)[at]
        np.testing.assert_allclose(getattr(got, field)[back], want_field, rtol=RTOL, err_msg=f"{where}: {field}")


def far_from_centre(cells: Cells, block: str, names: list[str], at: list[int], moments: MetricMoments) -> bool:
    for name, i in zip(names, at, strict=True):
        distance = cells.centre(block, name) - moments.mean[i]
        if distance**2 > 0.99e6 * moments.comoment[i, i] / max(moments.n - 1, 1):
            return True
    return False


def assert_quantiles(cells: Cells, want: Result, metric: MetricPlan) -> None:
    if metric.quantile is None:
        return
    with_mixed = cells.plan.mixed == "first_arm"
    levels: list[Level | None] = [None, *(x for d in cells.plan.breakdowns for x in cells.levels(d.name))]
    for arm in (a.name for a in cells.plan.arms):
        for level in levels:
            units = [
                unit
                for unit, record in want.units.items()
                if record.arm == arm
                and (with_mixed or not record.mixed)
                and (level is None or record.breakdowns[level.dimension] == level.value)
            ]
            assert_quantile(cells, quantile_of(want, metric.name, units), metric, arm, level)


def assert_quantile(cells: Cells, expected, metric: MetricPlan, arm: str, level: Level | None) -> None:
    where = f"{metric.name} of {arm}, {level}"
    got = cells.quantiles.get((metric.quantile.name, arm, level))
    assert (got is None) == (expected.estimate is None), where
    if got is None:
        return
    assert got.total == (expected.n if expected.n_rows is None else expected.n_rows), where
    for field in ("estimate", "lower", "upper"):
        np.testing.assert_allclose(
            getattr(got, field), float(getattr(expected, field)), rtol=RTOL, atol=1e-12, err_msg=f"{where}: {field}"
        )
    if expected.n_rows is not None:
        # A value that equals the estimate up to rounding may fall to either side: then the sums are not comparable.
        assert got.events is not None
        assert got.events["rows_here"] == expected.n_rows, where
        if abs(got.estimate - float(expected.estimate)) == 0:
            assert got.events["low"] == sum(expected.below.values()), where
            assert got.events["low_low"] == sum(x * x for x in expected.below.values()), where


def assert_series(case: Case, cells: Cells, want: Result, timezone: str) -> None:
    expected = series(case)
    found = {datetime(1970, 1, 1) + timedelta(microseconds=end): day for end, day in cumulative_cells(cells, timezone)}
    assert list(found) == list(expected), "days"
    late = {name for name, source in cells.plan.sources.items() if source.loaded_at}
    for metric in cells.plan.metrics:
        if no_series(cells.plan, metric) is not None or caps_cross(want, metric):
            continue
        horizon = cells.plan.block(metric.block).horizon
        if horizon is not None and late:
            continue  # a row that arrived after its unit was mature counts from maturity on (semantics.md, section 10)
        names, at = columns(metric, want)
        largest = max((float(m.max_abs.max(initial=0.0)) for m in want.metrics[metric.name].values()), default=0.0)
        if late and metric.steps:
            continue
        if late:  # what arrived late about the time before exposure is part of today's covariates
            names, at = names[: len(metric.columns)], at[: len(metric.columns)]
        elif metric.steps:
            last = len(metric.steps) - 1
            names, at = names[last:], at[last:]
        for end, day in found.items():
            for arm in (a.name for a in cells.plan.arms):
                for mixed in (False, True):
                    asked, moments = {"arm": arm, "mixed": mixed}, expected[end][metric.name][arm, mixed]
                    where = f"{metric.name} of {arm}, mixed {mixed}, by {end}"
                    assert select(day, metric, asked, []).n == moments.n, where
                    if moments.n:
                        assert_equal(day, metric, asked, names, at, moments, where, day=largest)
