"""The daily series: every day's cumulative moments, estimated as if that day had been the last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from metricdef.analysis.cells import Cells, Group, Row
from metricdef.analysis.estimates import estimate_metric
from metricdef.analysis.look_rows import Looking
from metricdef.analysis.observed import View
from metricdef.analysis.readout import EstimateRow
from metricdef.analysis.settings import Settings
from metricdef.compiler.days import DAY
from metricdef.compiler.plan import MetricPlan, Plan
from metricdef.compiler.series_stages import SeriesBlock, no_series, series_blocks, series_residual
from metricdef.compiler.zones import local_day_us, local_midnights

ROUNDING = 1e-12  # of a sum that was put together from changes
# What makes a metric's values useless, also those of a day: a series tests neither its caps nor the values without them.
USELESS = ("cap_degenerate", "not_finite")


def daily_series(
    view: View, settings: Settings, timezone: str, rows: Sequence[EstimateRow], looking: Looking | None = None
) -> Iterator[dict[str, Any]]:
    """One entry a day, metric and arm; a metric without a series has one entry that says why. `rows`: the overall figures.

    Definitions, exclusions, caps and, of a sequential design, estimators are today's; a day's interval is one that holds at any time until the planned end.
    Once that is reached and no further day changes a sum, every day would say the same: the series ends, with the overall figures.
    """
    plan = view.cells.plan
    if not plan.daily:
        return
    useless = {row.metric: row.message for row in rows if row.absolute is None and row.reason in USELESS}
    metrics = []
    for metric in plan.metrics:
        reason = no_series(plan, metric) or useless.get(metric.name)
        if reason is None:
            metrics.append(_bare(plan, metric))
        else:
            yield {"metric": metric.name, "day": None, "reason": reason}
    kept = replace(looking, tests=False) if looking else None
    for end, cells in cumulative_cells(view.cells, timezone):
        # A design with looks tests at those alone.
        interim = settings.sequential is not None or _moment(end) < settings.planned_end
        for metric in metrics:
            for row in estimate_metric(replace(view, cells=cells), metric, settings, interim=interim, looking=kept):
                yield {
                    "metric": row.metric,
                    "day": f"{_moment(local_day_us(plan.offsets, end - 1)):%Y-%m-%d}",
                    "as_of": _moment(end).isoformat().replace("+00:00", "Z"),
                    "arm": row.arm,
                    "units": row.units,
                    "baseline_value": row.baseline_value,
                    "arm_value": row.arm_value,
                    "absolute": asdict(row.absolute) if row.absolute else None,
                    "relative": asdict(row.relative) if row.relative else None,
                    "estimator": row.estimator.name if row.estimator else None,
                    "interval_kind": row.interval_kind,
                    "reason": None if row.absolute else row.reason,
                }
        if _moment(end) >= settings.planned_end and not _changes_after(view.cells, end):
            return


def cumulative_cells(cells: Cells, timezone: str) -> Iterator[tuple[int, Cells]]:
    """The end of every day from the start on, and the cells as they were then."""
    plan = cells.plan
    ends = [*local_midnights(timezone, plan.start, plan.as_of_us), plan.as_of_us]
    blocks = {part.block.name: part for part in series_blocks(plan)}
    totals: dict[tuple[Any, ...], tuple[Group, dict[str, float]]] = {}
    changes = sorted(cells.days, key=lambda change: change.day)
    at = 0
    for end in ends:
        today = local_day_us(plan.offsets, end - 1)
        while at < len(changes) and changes[at].day <= today:
            change = changes[at]
            key = (change.group.arm, change.group.mixed, change.group.epoch, change.group.levels)
            _, sums = totals.setdefault(key, (change.group, {}))
            for name in _sums(blocks[change.block]):
                sums[name] = sums.get(name, 0.0) + float(change.group.row[name] or 0.0)
            at += 1
        if end > plan.start:
            groups = tuple(replace(g, row=_row(cells, blocks, sums, end)) for g, sums in totals.values())
            yield end, replace(cells, groups=groups, days=())


def _changes_after(cells: Cells, end: int) -> bool:
    """Whether a sum changes on a later day, such as by rows that arrived late."""
    today = local_day_us(cells.plan.offsets, end - 1)
    return any(change.day > today for change in cells.days)


def _bare(plan: Plan, metric: MetricPlan) -> MetricPlan:
    """A metric's estimate alone: what is shown beside it has no series."""
    return replace(
        metric,
        residual=series_residual(plan, metric),
        uncapped_residual=None,
        caps=(),
        uncapped=(),
        responded=None,
        steps=(),
        diluted=None,
    )


def _sums(part: SeriesBlock) -> list[str]:
    names = [f"n__{part.block.name}", *(f"s__b{part.position}_{i}" for i in part.values)]
    return names + [f"q__b{part.position}_{i}_{j}" for i, j in part.products]


def _row(cells: Cells, blocks: dict[str, SeriesBlock], sums: dict[str, float], end: int) -> Row:
    """A row as the warehouse returns it for the last day. What only guards read (cubes, counts) is left at 0."""
    first = next(iter(cells.rows.values()))
    row: Row = {f"n__{block.name}": 0 for block in cells.plan.blocks}
    row |= {name: first[name] for name in first if name.startswith("c__")}
    for part in blocks.values():
        row |= {name: sums.get(name, 0.0) for name in _sums(part)}
        row[f"n__{part.block.name}"] = round(sums.get(f"n__{part.block.name}", 0.0))
        for i in part.values:
            name = f"b{part.position}_{i}"
            row |= {f"{letter}__{name}": 0 for letter in "kzw"}
            shift = _observed_days(cells.plan, part, i, end)
            if shift is not None:
                row[f"c__{name}"] = shift
            row[f"a__{name}"] = _largest(cells, row, part, i)
    return row


def _largest(cells: Cells, row: Row, part: SeriesBlock, position: int) -> float:
    """A bound of |y|: that of the last day; or |mean| where all that sets the values apart is the rounding of the sums.

    Such a mean is 0 where it is nothing but the rounding of what was taken off: most often no unit has a value yet.
    """
    name = f"b{part.position}_{position}"
    square = f"q__b{part.position}_{position}_{position}"
    n, sums, squares = (float(row[x]) for x in (f"n__{part.block.name}", f"s__{name}", square))
    if n and squares - sums * sums / n <= ROUNDING * squares:
        centre = float(row.get(f"c__{name}", 0.0))  # a residual has none
        mean = abs(centre + sums / n)
        return mean if mean > ROUNDING * abs(centre) else 0.0
    return max((float(g.row[f"a__{name}"] or 0.0) for g in cells.groups), default=0.0)


def _observed_days(plan: Plan, part: SeriesBlock, position: int, end: int) -> float | None:
    """Days observed by the end of a day are a constant minus the unit's entry day, which is what was summed."""
    column = next((c for c in plan.unit_columns if c.name == part.block.values[position].column), None)
    if part.block.values[position].presence == "residual":
        return None
    if column is None or column.agg != "observed_days" or part.block.horizon is not None:
        return None
    last, first = (local_day_us(plan.offsets, x) for x in (min(plan.end, end) - 1, plan.start))
    return (last - first) / DAY + 1


def _moment(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
