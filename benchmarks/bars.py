"""What the measured figures should reach."""

from __future__ import annotations

from dataclasses import dataclass

FULL_SCALE = 1.0


@dataclass(frozen=True, slots=True)
class Bar:
    """What a measured figure should reach: at most `bar`, or at least where `more` says so."""

    key: str
    what: str
    bar: float | None  # None: no bar, the figure is shown alone
    goal: float | None
    more: bool = False
    full_scale: bool = False  # the figure says nothing at smaller scales
    small: float | None = None  # the bar at smaller scales

    def at(self, scale: float) -> float | None:
        """The bar at a scale."""
        return self.small if self.small is not None and scale < FULL_SCALE else self.bar

    def met(self, value: float, scale: float) -> bool:
        """Whether a value reaches the bar; always where there is none."""
        bar = self.at(scale)
        return bar is None or (value >= bar if self.more else value <= bar)


RATIOS = (
    Bar("w_over_limit", "W / (scan + join + one sum a unit)", 1.9, 1.5, small=2.3),
    Bar("grouped_over_w", "one grouped query, until 2025 / W", 2.3, 3.0, more=True),
    Bar("per_metric_over_w", "one query a metric, until 2025 / W", 7.0, 10.0, more=True),
    Bar("dims_over_w", "two breakdowns / the same metrics without", 1.3, 1.05),
    Bar("daily_over_w", "28 days of 15 metrics / a snapshot of them", 2.0, 1.5),
    Bar("days28_over_days14", "28 days / 14 days", 2.6, 2.2),
    Bar("incremental_over_full", "adding day 28 to the state of 15 metrics / a snapshot of them", 0.35, 0.2),
    Bar("extra_metric_over_w", "W and one more measure / W", 1.05, 1.03),
    Bar("fact_scans", "scans of the facts in the plan of W", 1, 1),
    Bar("peak_gb", "peak memory of W, GB", 1.8, 1.3, full_scale=True),
)
MORE = (
    Bar("peak_over_grouped", "peak memory of W / one grouped query, until 2025", 0.45, 0.35, full_scale=True),
    Bar("metrics19_over_metrics2", "19 metrics / 2 metrics", None, None),
    Bar("further_metric_over_limit", "each of 17 further metrics / (scan + join + one sum)", 0.03, 0.02),
    Bar("extra_measure_over_limit", "one more measure / (scan + join + one sum)", 0.03, 0.02),
)
