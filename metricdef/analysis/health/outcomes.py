"""What the values of a metric look like in each arm: are there any, are denominators 0, does one unit make up the total?

These show results, so they are not shown while results are held back.
"""

from __future__ import annotations

from collections.abc import Iterator

from metricdef.analysis.cells import Cells
from metricdef.analysis.readout import HealthRow
from metricdef.analysis.settings import Settings
from metricdef.compiler.plan import MetricPlan
from metricdef.errors import NotComputable
from metricdef.stats import contingency
from metricdef.stats.moments import Moments

EXPECTED = 10  # values that an arm without any would have at the others' rate, from which on none is no chance
ZERO_ALPHA = 0.001
DOMINANT = 0.1  # share of an arm's total in one unit
MANY = 50  # units with a value, from which on a dominant one is odd

OUTCOME_CHECKS = ("metric_fill", "top_unit", "zero_denominators")  # what would show results


def check_outcomes(cells: Cells, settings: Settings) -> Iterator[HealthRow]:
    """Per metric how many units have a value; of ratios denominators at 0; the largest unit of totals."""
    for metric in cells.plan.metrics:
        if not metric.columns:
            continue  # of the values of events
        try:
            arms = _moments(cells, metric, with_mixed=settings.mixed == "first_arm")
        except NotComputable:
            continue  # the metric's own rows say why
        if sum(m.n for m in arms.values()):
            yield _filled(metric, arms)
            yield from _largest(metric, arms)
            if metric.metric.kind == "ratio" and metric.responded is None:
                yield from _zero_denominators(cells, metric, arms, with_mixed=settings.mixed == "first_arm")


def _moments(cells: Cells, metric: MetricPlan, *, with_mixed: bool) -> dict[str, Moments]:
    columns = tuple(dict.fromkeys((*metric.columns, *metric.uncapped)))
    return {a.name: cells.moments(metric.block, columns, a.name, with_mixed=with_mixed) for a in cells.plan.arms}


def _filled(metric: MetricPlan, arms: dict[str, Moments]) -> HealthRow:
    """Units with a value other than 0; an arm without any where the others have some has lost its rows."""
    column = (metric.uncapped or metric.columns)[0]  # a cap may make 0 of a value, and a value of 0
    counts = {arm: (int(m.nonzero[m.index(column)]), m.n) for arm, m in arms.items()}
    filled, units = (sum(column) for column in zip(*counts.values(), strict=True))
    empty = [
        arm for arm, (own, n) in counts.items() if own == 0 and filled and n * filled / max(1, units - n) >= EXPECTED
    ]
    rates = ", ".join(f"{arm} {own / n:.2%}" for arm, (own, n) in counts.items() if n)
    message = f"`{metric.name}`: {filled / units:.2%} of {units:,} units have a value other than 0 ({rates})"
    if empty:
        message += f"; none in {', '.join(empty)}: check that its rows are logged, and that the filter fits them"
    elif not filled:
        message += "; check the source, the filter and the window"
    return HealthRow("metric_fill", "warn" if empty or not filled else "pass", message, filled / units, None, 0.0)


def _largest(metric: MetricPlan, arms: dict[str, Moments]) -> Iterator[HealthRow]:
    """The share of one unit in its arm's total."""
    shares = {}
    for arm, m in arms.items():
        at = m.index(metric.columns[0])
        total = abs(float(m.total[at]))
        # Beyond 1 values cancel each other, and a share of the total says nothing.
        if m.nonzero[at] >= MANY and m.max_abs[at] <= total:
            shares[arm] = float(m.max_abs[at]) / total
    if not shares or metric.metric.kind == "binary":
        return
    arm = max(shares, key=lambda name: shares[name])
    dominant = shares[arm] > DOMINANT
    message = f"`{metric.name}`: one unit of {arm} has {shares[arm]:.1%} of its total"
    if dominant:
        message += "; look at that unit, and consider a `cap`"
    yield HealthRow("top_unit", "warn" if dominant else "pass", message, shares[arm], None, DOMINANT)


def _zero_denominators(
    cells: Cells, metric: MetricPlan, arms: dict[str, Moments], *, with_mixed: bool
) -> Iterator[HealthRow]:
    """Units whose denominator is 0, and whether there are as many in all arms, within the epochs of a ramp."""
    column = (metric.uncapped or metric.columns)[1]
    tests = []
    for epoch in range(max(1, len(cells.plan.epochs))):
        try:
            found = [cells.moments(metric.block, (column,), arm, with_mixed=with_mixed, epoch=epoch) for arm in arms]
            tests.append(contingency.homogeneity([m.n - int(m.nonzero[0]) for m in found], [m.n for m in found]))
        except NotComputable:
            continue
    counts = {arm: (m.n - int(m.nonzero[m.index(column)]), m.n) for arm, m in arms.items()}
    zeros, units = (sum(values) for values in zip(*counts.values(), strict=True))
    whole = contingency.add_up(tests) if tests else None
    differs = whole is not None and whole.p_value <= ZERO_ALPHA
    rates = ", ".join(f"{arm} {own / n:.2%}" for arm, (own, n) in counts.items() if n)
    message = f"`{metric.name}`: the denominator of {zeros:,} of {units:,} units is 0 ({rates})"
    if differs:
        message += (
            "; the treatment changes who has one, so a difference of the ratio may be a change of mix: read both parts"
        )
    p_value = whole.p_value if whole else None
    yield HealthRow("zero_denominators", "warn" if differs else "pass", message, zeros / units, p_value, ZERO_ALPHA)
