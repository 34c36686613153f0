"""What a comparison was seen with at the looks so far: its information, and the times that stand for their joint law."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from metricdef.analysis.look_record import ResultLook
from metricdef.analysis.sequential_tests import MIN_UNITS, Track
from metricdef.compiler.plan import MetricPlan
from metricdef.errors import NotComputable
from metricdef.metrics.effect import Effect, ScoreEffect
from metricdef.stats.look_times import EpochPart, correlation, following_time, units_time
from metricdef.stats.looks import MIN_GROWTH

if TYPE_CHECKING:
    from metricdef.analysis.look_rows import Looking

FIRST_EPOCH = "epoch 1"
_OF_ITS_OWN = "ancova_welch"  # adjusts few units by one slope, as no estimate within an epoch does

Earlier = Sequence[tuple[float | None, ResultLook]]


def track_of(
    looking: Looking,
    plan: MetricPlan,
    effect: Effect,
    earlier: Earlier,
    information: float,
    units: tuple[int, int],
    *,
    growing: bool,
) -> tuple[float | None, Track]:
    """The looks so far with this one the last, and this one's time; None where the time is the information.

    Args:
        looking: The run.
        plan: The metric.
        effect: Now.
        earlier: What earlier looks saw, with the fraction of the plan.
        information: Now.
        units: Of both arms now.
        growing: Whether units go on accruing outcome between looks.
    """
    fraction, past = looking.point.fraction, [result for _, result in earlier]
    spends = fraction is not None and not looking.harm_only and (looking.point.final or not growing)
    before, time = [result.information for result in past], None
    if looking.clustered:
        before = [result.time or 1.0 for result in past]
        time = _of_clusters(before, past, information, final=looking.point.final)
    elif effect.epochs or any(result.time is not None for result in past):
        before = _in_units(past)
        time = _of_epochs(before, past, effect, information, sum(units), _factors(plan))
    found = [(share, at) for (share, _), at in zip(earlier, before, strict=True) if share is not None]
    now = [(fraction, information if time is None else time)] if spends and fraction is not None else []
    track = Track(
        tuple(at for _, at in (*found, *now)),
        tuple(share for share, _ in (*found, *now)),
        spends,
        sum(units) if time is None else time,
        min(units) >= MIN_UNITS,
    )
    return time, track


def _of_clusters(before: Sequence[float], past: Sequence[ResultLook], information: float, *, final: bool) -> float:
    """A time so late that the looks count as unrelated; at an interim look without new information that of the last."""
    if not past:
        return 1.0
    if not final and information < max(result.information for result in past) * (1 + MIN_GROWTH):
        return max(before)
    return following_time([(at, 0.0) for at in before])


def _in_units(past: Sequence[ResultLook]) -> list[float]:
    """Times of earlier looks; those before the ramp was added go by their information, in units of the first."""
    if not past:
        return []
    first = past[0]
    scale = (first.units if first.time is None else first.time) / first.information
    return [result.information * scale if result.time is None else result.time for result in past]


def _of_epochs(
    before: Sequence[float],
    past: Sequence[ResultLook],
    effect: Effect,
    information: float,
    units: int,
    factors: Sequence[float],
) -> float:
    now = effect.epochs or _whole(information)
    if not past:
        return units_time(now, units)
    found = []
    for at, result in zip(before, past, strict=True):
        found.append((at, _related(result, effect, now, factors)))
    return following_time(found)


def _related(result: ResultLook, effect: Effect, now: Sequence[EpochPart], factors: Sequence[float]) -> float:
    """The smallest correlation of a look with this one in any contrast that is tested; 0 where it isn't known."""
    was = result.epochs or _whole(result.information)
    if effect.epochs and result.epochs:
        return min(correlation(was, now, factor) for factor in factors)
    # One of the two was read without a ramp: it has one variance for both arms, and of a ratio no scale.
    changed = result.estimator != effect.estimator and _OF_ITS_OWN in (result.estimator, effect.estimator)
    if changed or any(part.is_scaled for part in (*was, *now)):
        return 0.0
    return correlation([_as_one(part) for part in was], [_as_one(part) for part in now])


def _as_one(part: EpochPart) -> EpochPart:
    return EpochPart(part.name, part.weight, part.variance(), 0.0)


def _whole(information: float) -> tuple[EpochPart, ...]:
    """A look without a ramp: all its units came in the first epoch."""
    return (EpochPart(FIRST_EPOCH, 1.0, 1 / information, 0.0),)


def _factors(plan: MetricPlan) -> list[float]:
    """Of the baseline in every contrast that is tested: a relative margin r is one of arm - (1 + r) x baseline."""
    sizes = [size for size in (plan.target.margin, plan.target.equivalence) if size and size.kind == "relative"]
    return [1.0, *(1 + sign * size.value for size in sizes for sign in (-1, 1))]


def information_of(effect: Effect, std_error: float | None, units: tuple[int, int]) -> float:
    """1 / se^2 of the difference; of the score family with the pooled rate: N0 N1 / (N p (1 - p))."""
    if std_error is not None:
        if not std_error > 0:
            raise NotComputable("zero_variance", "the outcome does not vary")
        return 1 / std_error**2
    assert isinstance(effect, ScoreEffect)  # noqa: S101 - the one effect without a standard error
    rate = (effect.arm_successes + effect.baseline_successes) / sum(units)
    if not 0 < rate < 1:
        raise NotComputable("no_variation", "no unit, or every unit, has the outcome: there is nothing to test")
    return units[0] * units[1] / sum(units) / (rate * (1 - rate))
