"""What the decided experiments say together: how many of their findings are chance, and how much they are overstated.

Effects of different metrics are put on one scale: as a share of the baseline's value, which is taken as known, and with
the sign by which more is better. The ratio of estimate and standard error, and with it every test, stays the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from metricdef.analysis.readout import EstimateRow, Readout, TestRow
from metricdef.errors import NotComputable
from metricdef.stats.moments import Floats
from metricdef.stats.multiplicity import adjust
from metricdef.stats.selection import condition_on_significance
from metricdef.stats.shrinkage import Shrunk, shrink_dependent

FEWEST = 2  # experiments that shrinkage needs


@dataclass(frozen=True, slots=True)
class Corrected:
    """An effect that allows for having been selected.

    `conditional`: given that its own test was significant (`stats.selection`). `median_unbiased`: after a sequential stop,
    from the readout, without an interval.
    """

    kind: Literal["conditional", "median_unbiased"]
    estimate: float
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One primary comparison of a decided experiment. Effects are shares of the baseline, positive for the better.

    Attributes:
        experiment: Its name.
        row: The readout's row.
        p_value: Of superiority, two-sided; None where it was not computed.
        p_adjusted: By Benjamini-Hochberg over all findings.
        discovery: Whether that is at most alpha.
        found: Whether the experiment's own procedure rejected it.
        effect: The estimate; None where there is none on this scale, for the reason in `left_out`.
        std_error: Its standard error.
        left_out: Why there is no effect, or no standard error.
        corrected: For the winner's curse; of what was found only.
        shrunk: Towards the mean of all experiments, with its standard error; of the first primary metrics only.
    """

    experiment: str
    row: EstimateRow
    p_value: float | None
    p_adjusted: float | None
    discovery: bool
    found: bool
    effect: float | None = None
    std_error: float | None = None
    left_out: str | None = None
    corrected: Corrected | None = None
    shrunk: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Portfolio:
    """All findings, and the shrinkage behind them; None with the reason where it could not be computed."""

    alpha: float
    experiments: int
    findings: tuple[Finding, ...]
    shrinkage: Shrunk | None
    without_shrinkage: str | None


def summarise(readouts: Sequence[Readout], alpha: float) -> Portfolio:
    """The findings of decided experiments, one readout each.

    False discoveries: Benjamini-Hochberg over every primary comparison; one that was not computed counts as a p of 1.
    Shrinkage: Paule-Mandel over the first primary metric of each experiment. Arms of an experiment share their baseline;
    their errors are correlated as Dunnett (1955) has it for equal variances, by n_a / (n_a + n_0).

    Args:
        readouts: At most one per experiment, as of its end.
        alpha: The false discovery rate, and 1 - confidence of intervals.
    """
    pairs = [(readout, row) for readout in readouts for row in _primary(readout)]
    tests = [row.test("superiority") for _, row in pairs]
    p_values = [test.p_value if test else None for test in tests]
    adjusted = adjust(p_values, "bh", alpha)
    shrinkage, pulled, why = _shrink(readouts)
    findings = []
    for i, (readout, row) in enumerate(pairs):
        effect, error, left_out = _scaled(row)
        test = tests[i]
        findings.append(
            Finding(
                readout.experiment,
                row,
                p_values[i],
                adjusted.p_adjusted[i],
                adjusted.rejected[i],
                test is not None and test.rejected,
                effect,
                error,
                left_out,
                _corrected(row, test, effect, error, alpha),
                pulled.get((readout.experiment, row.metric, row.arm)),
            )
        )
    return Portfolio(alpha, len({f.experiment for f in findings}), tuple(findings), shrinkage, why)


def _primary(readout: Readout) -> Iterator[EstimateRow]:
    return (row for row in readout.estimates if row.role == "primary" and row.segment is None)


def _scaled(row: EstimateRow) -> tuple[float | None, float | None, str | None]:
    """Effect and standard error as shares of the baseline, the better one positive; why one of them is missing."""
    if row.absolute is None or row.baseline_value is None:
        return None, None, "nothing was computed"
    if row.test("superiority") is None:
        return None, None, "nothing was tested"
    if row.direction is None:
        return None, None, "no direction is the better one"
    if not row.baseline_value:
        return None, None, "the baseline is 0"
    sign, size = (-1 if row.direction == "decrease" else 1), abs(row.baseline_value)
    effect = sign * row.absolute.estimate / size
    if not row.absolute.std_error:
        return effect, None, "its interval has no standard error"
    return effect, row.absolute.std_error / size, None


def _corrected(
    row: EstimateRow, test: TestRow | None, effect: float | None, error: float | None, alpha: float
) -> Corrected | None:
    if test is None or not test.rejected or effect is None or row.absolute is None:
        return None
    if row.headline is not None:
        scale = effect / row.absolute.estimate if row.absolute.estimate else 0.0
        return Corrected("median_unbiased", row.headline.estimate * scale)
    if error is None or test.kind != "fixed":
        return None
    try:
        found = condition_on_significance(effect, error, _level(test), alpha)
    except ValueError:  # t has wider tails than the normal law of the correction: significant by neither margin
        return None
    return Corrected("conditional", found.estimate, found.lower, found.upper)


def _level(test: TestRow) -> float:
    """The two-sided level at which this p was rejected: its own where it has one, else what its place in the family gave."""
    if test.local_alpha is not None and test.p_value <= test.local_alpha:
        return test.local_alpha
    if test.p_adjusted and test.p_value:
        return test.alpha * test.p_value / test.p_adjusted
    return test.alpha


# --- shrinkage --------------------------------------------------------------------------------------------------------


def _shrink(
    readouts: Sequence[Readout],
) -> tuple[Shrunk | None, dict[tuple[str, str, str], tuple[float, float]], str | None]:
    """The shrinkage, what it makes of each comparison, or why there is none."""
    groups = [(readout.experiment, _first_metric(readout)) for readout in readouts]
    groups = [(experiment, own) for experiment, own in groups if own]
    if len(groups) < FEWEST:
        return None, {}, f"it takes at least {FEWEST} experiments with an effect and a standard error"
    rows = [(experiment, row) for experiment, own in groups for row in own]
    scaled = [_scaled(row) for _, row in rows]
    effects = [effect for effect, _, _ in scaled if effect is not None]
    try:
        found = shrink_dependent(effects, _covariance(groups))
    except NotComputable as error:
        return None, {}, error.message
    keys = [(experiment, row.metric, row.arm) for experiment, row in rows]
    return found, dict(zip(keys, zip(found.estimates, found.std_errors, strict=True), strict=True)), None


def _first_metric(readout: Readout) -> list[EstimateRow]:
    """Comparisons of the first primary metric that have an effect with a standard error."""
    rows = list(_primary(readout))
    return [row for row in rows if row.metric == rows[0].metric and _scaled(row)[1] is not None]


def _covariance(groups: Sequence[tuple[str, Sequence[EstimateRow]]]) -> Floats:
    """Covariance of all effects' errors: those of different experiments are independent."""
    blocks = [_block(rows) for _, rows in groups]
    size = sum(len(block) for block in blocks)
    whole = np.zeros((size, size))
    at = 0
    for block in blocks:
        whole[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    return whole


def _block(rows: Sequence[EstimateRow]) -> Floats:
    errors = np.array([_scaled(row)[1] for row in rows], dtype=np.float64)
    shared = np.array([math.sqrt(_share(row)) for row in rows])
    correlation = np.outer(shared, shared)
    np.fill_diagonal(correlation, 1.0)
    block: Floats = np.outer(errors, errors) * correlation
    return block


def _share(row: EstimateRow) -> float:
    """The part of a difference's variance that is the baseline's, with equal variances of units."""
    baseline, arm = row.units or (1, 1)
    return arm / (arm + baseline) if arm + baseline else 0.5


def reasons(portfolio: Portfolio) -> dict[str, int]:
    """How many comparisons have no effect on the common scale, by reason."""
    return dict(Counter(f.left_out for f in portfolio.findings if f.left_out is not None))
