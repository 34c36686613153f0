"""Readouts built by hand: nothing here needs a warehouse or a statistic."""

from dataclasses import replace

from metricdef.analysis.readout import (
    ArmRow,
    CapPart,
    CapRow,
    DecisionRow,
    EstimateRow,
    Estimator,
    HealthRow,
    Heterogeneity,
    Interval,
    Readout,
    RelativeInterval,
    Response,
    TestRow,
)

PLAIN = Estimator("unadjusted", (), (), None, 0.95, None)


def outcome_of(hypothesis="superiority", p=0.004, *, adjusted=None, rejected=True, procedure="holm", null=0.0, **more):
    two_sided = hypothesis == "superiority"
    values = {
        "hypothesis": hypothesis, "null": null, "null_kind": "absolute", "sidedness": "two-sided" if two_sided else "one-sided",
        "alpha": 0.05 if two_sided else 0.01 if hypothesis == "deterioration" else 0.025, "statistic": 2.9, "df": 19_990.4, "p_value": p,
        "p_adjusted": p if adjusted is None else adjusted, "family": "primary", "procedure": procedure, "rejected": rejected,
    }  # fmt: skip
    return TestRow(**(values | more))


def row(metric="conversion", **more):
    """A share that rose from 10 % to 11 %."""
    values = {
        "metric": metric, "label": metric, "format": "number", "direction": "increase", "role": "primary", "arm": "new", "baseline": "control",
        "units": (10_000, 10_012), "is_share": True, "baseline_value": 0.1, "arm_value": 0.11, "absolute": Interval(0.01, 0.0036, 0.003, 0.017),
        "relative": RelativeInterval(0.1, 0.029, 0.177, "fieller", "bounded", None), "p_value": 0.004, "p_adjusted": 0.008, "family": "primary",
        "tests": (outcome_of(adjusted=0.008),), "estimator": PLAIN, "verdict": "superior",
    }  # fmt: skip
    return EstimateRow(**(values | more))


REVENUE = row(
    "revenue", label="Revenue per user", format="currency:EUR", is_share=False, role="secondary", baseline_value=12.3456, arm_value=12.5123,
    absolute=Interval(0.1667, 0.081, 0.0079, 0.3255), relative=RelativeInterval(0.0135, 0.0006, 0.0266, "fieller", "bounded", None),
    p_value=0.04, p_adjusted=0.08, tests=(outcome_of(p=0.04, adjusted=0.08, rejected=False),), verdict="inconclusive",
    estimator=Estimator("lin", ("revenue before exposure",), ("users.age missing",), 0.39, 0.95, None),
    unadjusted={"estimator": "unadjusted", "estimate": 0.17, "std_error": 0.104, "lower": -0.034, "upper": 0.374, "p_value": 0.1},
    cap=CapRow((CapPart("value", None, 500.0, (12, 1_015), 0.0004),), {"estimator": "unadjusted", "estimate": 0.21, "std_error": 0.15, "lower": -0.08, "upper": 0.5, "p_value": 0.16}), reason="not_rejected_after_correction", guards=("small-sample",),
    message="its own interval excludes 0, but not after the holm correction over 2 tests",
)  # fmt: skip

REFUNDS = row(
    "refund_rate", label="Refund rate", direction="decrease", role="guardrail", baseline_value=0.021, arm_value=0.0212,
    absolute=Interval(0.0002, 0.0012, -0.0022, 0.00257), relative=RelativeInterval(0.0095, -0.1, 0.131, "fieller", "bounded", None),
    p_value=0.0105, p_adjusted=0.0105, family="guardrail", estimator=replace(PLAIN, margin="0.3pp"), verdict="non_inferior",
    tests=(outcome_of("non_inferiority", 0.0105, procedure="none", null=0.003), outcome_of("deterioration", 0.43, adjusted=0.86, rejected=False)),
)  # fmt: skip

LATENCY = row(
    "errors", label="errors", direction="decrease", role="guardrail", is_share=False, baseline_value=None, arm_value=None, absolute=None, relative=None,
    p_value=None, p_adjusted=None, family=None, tests=(), estimator=None, verdict="not_computed", reason="zero_variance",
    message="the outcome doesn't vary, so the difference has no standard error",
)  # fmt: skip

FUNNEL = row(
    "checkout", label="Checkout", role="secondary", baseline_value=0.104, arm_value=0.095, absolute=Interval(-0.009, 0.0094, -0.0276, 0.0091),
    relative=RelativeInterval(-0.09, -0.25, 0.1, "fieller", "bounded", None), p_value=0.33, p_adjusted=0.99, verdict="inconclusive",
    tests=(outcome_of(p=0.33, adjusted=0.99, rejected=False),), guards=("few-clusters",),
    steps=({"step": "cart", "baseline_value": 0.5199, "arm_value": 0.5131}, {"step": "paid", "baseline_value": 0.1041, "arm_value": 0.0949}),
)  # fmt: skip

FIRST_ORDER = row(
    "first_order", label="First order", format="currency:EUR", is_share=False, role="secondary", units=(10_000, 10_012), baseline_value=50.4, arm_value=49.3,
    absolute=Interval(-1.1, 1.02, -3.1, 0.9), relative=RelativeInterval(-0.022, -0.061, 0.019, "fieller", "bounded", None), p_value=0.28, p_adjusted=1.0,
    tests=(outcome_of(p=0.28, adjusted=1.0, rejected=False),), verdict="inconclusive", response=Response(0.761, 0.7404, 0.0007), reason="selection",
    message="the share of units with a value differs between arms (76.1% and 74.0%, p = 0.0007): those left in are not comparable",
    diluted={"trigger_rate": 0.745, "baseline_value": 50.2, "absolute": {"estimate": -0.82, "lower": -2.31, "upper": 0.67},
             "relative": {"estimate": -0.0163, "lower": -0.046, "upper": 0.0133}},
)  # fmt: skip

LATENCY_P90 = row(
    "latency_p90", label="latency_p90", direction="decrease", is_share=False, role="secondary", baseline_value=90.2, arm_value=89.8,
    absolute=Interval(-0.4, 0.79, -2.0, 1.1), relative=RelativeInterval(-0.005, -0.021, 0.012, "fieller", "bounded", None), p_value=0.61, p_adjusted=1.0,
    tests=(outcome_of(p=0.61, adjusted=1.0, rejected=False),), verdict="inconclusive", estimator=replace(PLAIN, name="quantile"),
)  # fmt: skip

REFUSED = replace(LATENCY, metric="visits_last", label="visits_last", role="secondary", reason="sql_refused",
                  message="the warehouse refused its SQL: no such function")  # fmt: skip


def levels(metric, gate, *found, dimension="platform", **more):
    """One row per (level, p, verdict) of a breakdown."""
    own = {"role": "primary", "heterogeneity": gate, "family": f"breakdown {dimension}", **more}
    return [
        row(metric, segment={dimension: value}, p_value=p / 10, p_adjusted=p, verdict=verdict, units=(3_000 - 100 * i, 3_010 - 100 * i),
            tests=(outcome_of(p=p / 10, adjusted=p, rejected=verdict != "inconclusive", family=f"breakdown {dimension}"),), **own)
        for i, (value, p, verdict) in enumerate(found)
    ]  # fmt: skip


DIFFERS = Heterogeneity(14.2, 3, 0.0026, 0.0052)
ALIKE = Heterogeneity(1.7, 2, 0.43, 0.86)

PASSED = (
    HealthRow("srm_assignment", "pass", "units assigned: control 10,001, new 10,012 (chi-square)", 0.006, 0.94, 0.0005),
    HealthRow("srm_analysed", "pass", "units analysed: control 10,000, new 10,012 (chi-square)", 0.007, 0.93, 0.0005),
    HealthRow("mixed_units", "pass", "3 of 20,013 units (0.01%) saw more than one arm; left out", 0.0001, 0.5, 0.01),
)

FAILED = (
    PASSED[0],
    HealthRow(
        "exposure_null_unit",
        "warn",
        "12 of 20,100 exposure rows have no unit: mend the logging of the unit's id",
        12.0,
        None,
        0.0,
    ),
    HealthRow(
        "srm_analysed",
        "fail",
        "units analysed: control 10,000, new 9,100 (chi-square); find out why units are lost",
        42.0,
        7.3e-11,
        0.0005,
    ),
    HealthRow("mixed_units", "skipped", "no units"),
)


def readout(*rows, **more):
    values = {
        "experiment": "checkout", "label": "New checkout", "hypothesis": "A shorter checkout sells more.", "status": "stopped",
        "as_of": "2026-10-12T06:30:00Z", "window": {"start": "2026-09-01T00:00:00Z", "end": "2026-09-29T00:00:00Z", "planned_end": "2026-10-06T00:00:00Z"},
        "look": None,
        "provenance": {"definitions": "47c200203e4900d9", "sql": "918ea1769b23355e", "metricdef": "0.1.0", "dialect": "duckdb",
                       "revision": "0123456789abcdef0123456789abcdef01234567", "locked": False, "deviations": []},
        "arms": (ArmRow("control", 10_000, 0.5, 0.49970, 10_001, 1, 10_000), ArmRow("new", 10_012, 0.5, 0.50030, 10_012, 2, 10_012)),
        "health": PASSED, "estimates": rows or (row(), REVENUE, REFUNDS, LATENCY),
        "decision": DecisionRow("hold", None, ("guardrail errors could not be computed: the outcome doesn't vary",), {"new": "hold"}),
        "ledger": {"confidence": 0.95, "false_ship": 0.025, "false_stop": 0.01, "block_good_change": None},
        "excluded_units": {"mixed": 3, "outside_population": 0, "immature_7d": 1, "rows_null_unit": 12}, "sensitivity": (), "series": (), "moments": (),
    }  # fmt: skip
    return Readout(**(values | more))
