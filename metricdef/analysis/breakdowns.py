"""Pre-specified breakdowns: the effect at every level of a dimension, gated by a test that levels differ at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from metricdef.analysis.cells import Level
from metricdef.analysis.estimates import estimate_metric, suppressed
from metricdef.analysis.families import selection
from metricdef.analysis.observed import View
from metricdef.analysis.readout import EstimateRow, Heterogeneity
from metricdef.analysis.settings import Settings
from metricdef.compiler.plan import MetricPlan
from metricdef.errors import NotComputable
from metricdef.stats.heterogeneity import cochran_q
from metricdef.stats.multiplicity import adjust

Hidden = frozenset[tuple[str, Level]]  # metrics at levels


def break_down(view: View, settings: Settings, hidden: Hidden, *, interim: bool) -> list[EstimateRow]:
    """Rows of every level, metric and arm, those that are `hidden` without figures. They never enter the decision.

    For each metric and arm, Cochran's Q asks whether the levels of a dimension differ, with Holm over dimensions. The
    tests of a dimension's levels are one family per dimension (metric x arm x level, Holm); p_adjusted is the larger of
    the two, so a level is rejected only where levels differ at all (semantics.md, section 6).
    """
    plan = view.cells.plan
    if not plan.breakdowns:
        return []

    def rows_at(level: Level, metric: MetricPlan) -> list[EstimateRow]:
        at = replace(view, level=level)
        if (metric.name, level) in hidden:
            return suppressed(at, metric, settings.min_units)
        return estimate_metric(at, metric, settings, interim=interim)

    found = {
        d.name: [
            row for metric in plan.metrics for level in view.cells.levels(d.name) for row in rows_at(level, metric)
        ]
        for d in plan.breakdowns
    }
    if interim:
        return [row for rows in found.values() for row in rows]
    gates = _gates(found, settings)
    return [row for name, rows in found.items() for row in _corrected(name, rows, gates, settings)]


def hidden_levels(view: View, min_units: int) -> Hidden:
    """Of every metric the levels at which an arm has fewer units, or fewer that its figures rest on.

    Those are the units whose window is complete, and of `missing: exclude` those that have a value. Where a single level of
    a dimension is hidden also the next smallest: it could be told from the others and the total.
    """
    plan = view.cells.plan
    found: set[tuple[str, Level]] = set()
    for metric in plan.metrics if min_units else ():
        for d in plan.breakdowns:
            sizes = {level: _smallest(replace(view, level=level), level, metric) for level in view.cells.levels(d.name)}
            ranked = sorted(sizes, key=lambda level: sizes[level])
            few = sum(size < min_units for size in sizes.values())
            found.update((metric.name, level) for level in ranked[: 2 if few == 1 else few])
    return frozenset(found)


def _smallest(view: View, level: Level, metric: MetricPlan) -> int:
    """Units of the smallest arm at a level; of those that figures rest on, an arm that has none shows nothing."""
    cells, counts = view.cells, []
    for arm in (arm.name for arm in view.cells.plan.arms):
        counts.append(cells.units_at(arm, level))
        rest = cells.eligible(metric.block, arm, with_mixed=view.with_mixed, level=level)
        if metric.responded is not None:
            rest = _responded(view, metric.block, metric.responded, arm, rest)
        counts += [rest] if rest else []
    return min(counts)


def _responded(view: View, block: str, column: str, arm: str, units: int) -> int:
    try:
        found = view.cells.moments(block, [column], arm, with_mixed=view.with_mixed, level=view.level)
    except NotComputable:
        return units
    return int(found.nonzero[0])


def _gates(found: dict[str, list[EstimateRow]], settings: Settings) -> dict[tuple[str, str, str], Heterogeneity]:
    """Cochran's Q of every (dimension, metric, arm), adjusted over dimensions."""
    gates = {}
    for metric, arm in dict.fromkeys((row.metric, row.arm) for rows in found.values() for row in rows):
        tests = []
        for rows in found.values():
            own = [r.absolute for r in rows if (r.metric, r.arm) == (metric, arm) and r.absolute]
            usable = [a for a in own if a.std_error]
            tests.append(cochran_q([a.estimate for a in usable], [a.std_error or 0.0 for a in usable]))
        alpha = settings.level("secondary")
        adjusted = adjust([t.p_value if t else None for t in tests], "holm", alpha)
        for name, test, p_adjusted in zip(found, tests, adjusted.p_adjusted, strict=True):
            if test is not None and p_adjusted is not None:
                gates[name, metric, arm] = Heterogeneity(test.statistic, test.df, test.p_value, p_adjusted)
    return gates


def _corrected(
    dimension: str, rows: Sequence[EstimateRow], gates: dict[tuple[str, str, str], Heterogeneity], settings: Settings
) -> list[EstimateRow]:
    tests = [row.test("superiority") for row in rows]
    alpha = settings.level("secondary")
    adjusted = adjust([test.p_value if test else None for test in tests], "holm", alpha)
    found = []
    for row, test, p in zip(rows, tests, adjusted.p_adjusted, strict=True):
        gate = gates.get((dimension, row.metric, row.arm))
        if test is None or p is None:
            found.append(replace(row, heterogeneity=gate))
            continue
        p_adjusted = max(p, gate.p_adjusted) if gate else 1.0
        rejected = p_adjusted <= alpha
        new = replace(
            test,
            alpha=alpha,
            p_adjusted=p_adjusted,
            family=f"breakdown {dimension}",
            procedure="holm",
            rejected=rejected,
        )
        better = (new.statistic > 0) == (row.direction != "decrease")
        verdict = ("superior" if better else "inferior") if rejected else "inconclusive"
        selected = selection(row)
        if selected is not None:
            verdict = "inconclusive"
        found.append(
            replace(
                row,
                tests=(new,),
                p_value=new.p_value,
                p_adjusted=p_adjusted,
                family=new.family,
                verdict=verdict,  # type: ignore[arg-type]  # one of the verdicts
                reason="selection" if selected else row.reason,
                message=selected or row.message,
                heterogeneity=gate,
            )
        )
    return found
