"""The readout: what a run says, as frozen records that become the versioned JSON document."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA = "metricdef/readout/1"
Verdict = Literal["superior", "inferior", "non_inferior", "equivalent", "inconclusive", "not_computed"]
Status = Literal["pass", "warn", "fail", "skipped"]


@dataclass(frozen=True, slots=True)
class ArmRow:
    """Units of one arm: those analysed, and the share they make."""

    arm: str
    units: int
    share_expected: float
    share_observed: float | None
    units_assigned: int
    units_mixed: int
    units_in_population: int
    clusters: int | None = None


@dataclass(frozen=True, slots=True)
class HealthRow:
    """One check: what it found, against which threshold, and what to do."""

    check: str
    status: Status
    message: str
    statistic: float | None = None
    p_value: float | None = None
    threshold: float | None = None
    segment: dict[str, str | None] | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    """An absolute effect with its interval."""

    estimate: float
    std_error: float | None
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class RelativeInterval:
    """A relative effect with its confidence set; `excluded` is the gap of a complement."""

    estimate: float | None
    lower: float | None
    upper: float | None
    method: str
    shape: str
    excluded: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class LookTest:
    """A test at a look of a sequential design.

    `z` are the normal scores of its one-sided tests at this look, `p_values` their p over all looks so far. `bound`: the
    score from which on this look rejects at the test's own level (`local_alpha`), null where it spends nothing; `spent`:
    how much of that level the planned looks have spent. `futility`: the score at or below which the planned effect is
    unlikely, and whether it was met.
    """

    z: dict[str, float]
    p_values: dict[str, float]
    information: float
    bound: float | None = None
    spent: float | None = None
    futility: float | None = None
    futile: bool = False


@dataclass(frozen=True, slots=True)
class Headline:
    """The estimate to quote after a sequential test has stopped: the naive one of an early stop is too large."""

    kind: Literal["median_unbiased"]
    estimate: float
    relative: float | None


@dataclass(frozen=True, slots=True)
class TestRow:
    """One hypothesis test. `rejected` is the only thing that makes a verdict.

    `kind`: whether the p is of this sample alone (fixed), over the looks so far (sequential), or valid at any time
    (anytime). `direction`: the side that a sequential p speaks for. `local_alpha`: a p of at most this is rejected whatever the other tests of the family say. `joint`: the metrics whose
    statistics were taken jointly with this one; empty where it joins its family by Bonferroni; None for procedures
    that need no joint law.
    """

    __test__ = False  # not a test class for pytest

    hypothesis: Literal["superiority", "non_inferiority", "equivalence", "deterioration"]
    null: float
    null_kind: Literal["absolute", "relative"]
    sidedness: str
    alpha: float
    statistic: float
    df: float | None
    p_value: float
    p_adjusted: float | None
    family: str | None
    procedure: str
    rejected: bool
    local_alpha: float | None = None
    joint: tuple[str, ...] | None = None
    kind: Literal["fixed", "sequential", "anytime"] = "fixed"
    direction: Literal["greater", "less"] | None = None
    look: LookTest | None = None


@dataclass(frozen=True, slots=True)
class Estimator:
    """How a row was made."""

    name: str
    covariates: tuple[str, ...]
    dropped: tuple[str, ...]
    variance_reduction: float | None
    confidence: float
    margin: str | None
    left_out: tuple[str, ...] = ()  # epochs of a ramp that are too small to take part


@dataclass(frozen=True, slots=True)
class Response:
    """Share of units that have a value, of a metric that leaves out the others, and whether it differs."""

    baseline: float
    arm: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Heterogeneity:
    """Cochran's Q over the levels of a breakdown, adjusted over dimensions."""

    statistic: float
    df: int
    p_value: float
    p_adjusted: float


@dataclass(frozen=True, slots=True)
class CapPart:
    """Limits of one value per unit, how many units they cut in baseline and arm, and whether that is uneven."""

    part: str  # value, numerator or denominator
    lower: float | None
    upper: float | None
    capped: tuple[int, int]
    imbalance_p_value: float | None


@dataclass(frozen=True, slots=True)
class CapRow:
    """What is capped, and the effect without any cap."""

    parts: tuple[CapPart, ...]
    uncapped: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """One metric, one arm against the baseline."""

    metric: str
    label: str
    format: str
    direction: str | None
    role: str
    arm: str
    baseline: str
    units: tuple[int, int] | None  # None: too few to be shown
    is_share: bool = False
    equivalence: str | None = None  # the declared margin, as written
    baseline_value: float | None = None
    arm_value: float | None = None
    absolute: Interval | None = None
    relative: RelativeInterval | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    family: str | None = None
    tests: tuple[TestRow, ...] = ()
    simultaneous: Interval | None = None
    interval_kind: str = "marginal"
    headline: Headline | None = None
    estimator: Estimator | None = None
    unadjusted: dict[str, Any] | None = None
    cap: CapRow | None = None
    steps: tuple[dict[str, Any], ...] | None = None
    response: Response | None = None
    diluted: dict[str, Any] | None = None
    segment: dict[str, str | None] | None = None
    heterogeneity: Heterogeneity | None = None
    verdict: Verdict = "not_computed"
    also: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    reason: str | None = None
    message: str | None = None

    def test(self, hypothesis: str) -> TestRow | None:
        """The test of that hypothesis, where there is one."""
        return next((test for test in self.tests if test.hypothesis == hypothesis), None)


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """What the pre-registered rule says, and why."""

    recommendation: Literal["ship", "stop", "hold", "invalid"]
    arm: str | None
    because: tuple[str, ...]
    by_arm: dict[str, str] = field(default_factory=dict)
    authority: tuple[str, ...] = ()  # who may act on it, where it comes before the planned end


_SHOWN: dict[str, Callable[[Readout], str]] = {}  # pages are made in a room further to the right


def show_by(kind: str, report: Callable[[Readout], str]) -> None:
    """Let `report` make a readout's `kind`: html, or notebook. The API does this when it is imported."""
    _SHOWN[kind] = report


@dataclass(frozen=True, slots=True)
class Readout:
    """Everything one run says. `to_json` is the stable contract."""

    experiment: str
    label: str
    hypothesis: str
    status: str
    as_of: str
    window: dict[str, str]
    look: dict[str, Any] | None
    provenance: dict[str, Any]
    arms: tuple[ArmRow, ...]
    health: tuple[HealthRow, ...]
    estimates: tuple[EstimateRow, ...]
    decision: DecisionRow
    ledger: dict[str, Any]
    excluded_units: dict[str, int]
    sensitivity: tuple[dict[str, Any], ...]
    series: tuple[dict[str, Any], ...]
    moments: tuple[dict[str, Any], ...]
    alert: dict[str, Any] | None = None
    design: dict[str, Any] | None = None  # what was declared; None in documents of versions that left it out
    sql: str | None = None  # what `compile` writes; None in documents of versions that left it out
    novelty: tuple[dict[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data in the contract's order. Numbers are full doubles; NaN and infinity never occur."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}

    def to_json(self) -> str:
        """The JSON document. Raises ValueError rather than write NaN or infinity."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"

    def to_arrow(self) -> pa.Table:
        """One row per estimate, flat."""
        import pyarrow as pa

        rows = []
        for row in self.estimates:
            flat: dict[str, Any] = {
                "experiment": self.experiment,
                "as_of": self.as_of,
                "metric": row.metric,
                "role": row.role,
                "arm": row.arm,
                "baseline": row.baseline,
                "units_baseline": row.units[0] if row.units else None,
                "units_arm": row.units[1] if row.units else None,
                "baseline_value": row.baseline_value,
                "arm_value": row.arm_value,
            }
            for name, value in (("absolute", row.absolute), ("relative", row.relative)):
                for part in ("estimate", "std_error", "lower", "upper"):
                    if (name, part) != ("relative", "std_error"):
                        flat[f"{name}_{part}"] = getattr(value, part) if value is not None else None
            flat |= {"p_value": row.p_value, "p_adjusted": row.p_adjusted, "verdict": row.verdict, "reason": row.reason}
            rows.append(flat)
        return pa.Table.from_pylist(rows)

    def to_html(self) -> str:
        """One page that works from disk, as `metricdef report` writes it."""
        return _SHOWN["html"](self)

    def _repr_html_(self) -> str | None:
        """What a notebook shows."""
        return _SHOWN["notebook"](self) if "notebook" in _SHOWN else None

    def to_pandas(self) -> Any:
        """One row per estimate as a DataFrame; needs pandas."""
        return self.to_arrow().to_pandas()
