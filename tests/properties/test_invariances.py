"""What must change nothing, and what must change all numbers alike: through YAML, SQL, DuckDB and the analysis.

hypothesis draws a seed and a shape; numpy fills the tables. Figures of two runs are compared to 1e-9: the order of
sums differs between runs, nothing else does.

  test_moments_of_any_partition_*     merging the parts of an arm equals the arm
  test_swapping_arms_*                differences change their sign, p-values stay
  test_a_cap_that_cuts_nothing_*      an absolute one far away, and p99.99 of few units where nothing lies between
  test_a_constant_covariate_*         is as good as none
  test_another_metric_*, test_a_breakdown_*, test_another_arm_*
                                      no estimate, interval or raw p of the others changes
  test_two_tables_*                   a source of a union equals one of the whole table
  test_scaling_*, test_shifting_*     values, margins and caps in another unit; a constant added to everybody
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from databases import filling
from hypothesis import given, settings
from hypothesis import strategies as st
from projects import PROJECT, experiment, write_definitions
from thorough import examples

from metricdef.api import Project
from metricdef.stats.moments import Moments, from_shifted_sums, merge_all

FEW = settings(max_examples=examples(6))
SEEDS = st.integers(0, 10_000)
RTOL = 1e-9

SOURCES: dict[str, dict[str, Any]] = {
    "assignments": {
        "kind": "exposures",
        "table": "assignments",
        "timestamp": "happened_at",
        "entities": {"user": "user_id"},
        "experiment": "experiment",
        "arm": "arm",
        "dimensions": ["platform"],
    },
    "orders": {
        "table": "orders",
        "timestamp": "happened_at",
        "entities": {"user": "user_id"},
        "measures": {"amount": "amount"},
        "dimensions": ["status"],
    },
    "users": {
        "kind": "attributes",
        "table": "users",
        "entities": {"user": "user_id"},
        "valid_from": "valid_from",
        "dimensions": ["age", "constant"],
    },
}

REVENUE = {
    "type": "mean",
    "source": "orders",
    "agg": "sum",
    "measure": "amount",
    "direction": "increase",
    "window": "7d",
}
ORDERS = {"type": "mean", "source": "orders", "agg": "count", "direction": "increase", "window": "7d"}
VALUE = {"type": "ratio", "numerator": "revenue", "denominator": "orders", "direction": "increase"}
BUYERS = {
    "type": "proportion",
    "source": "orders",
    "filter": "status = 'paid'",
    "direction": "decrease",
    "window": "3d",
}
METRICS: dict[str, dict[str, Any]] = {"revenue": REVENUE, "orders": ORDERS, "value": VALUE, "buyers": BUYERS}
ROLES: dict[str, Any] = {
    "primary": {"revenue": {"mde": "2%"}},
    "secondary": {"value": None, "buyers": None},
    "guardrail": {"orders": {"margin": "5%"}},
}


def tables(seed: int, arms: tuple[str, ...] = ("control", "treatment"), per_arm: int = 70) -> dict[str, pa.Table]:
    """Units, orders before and after exposure, ages. Amounts are multiples of 1/4: their sums are exact."""
    rng = np.random.default_rng(seed)
    n = per_arm * len(arms)
    start = np.datetime64("2026-01-01T00:00:00", "us")
    exposed = start + rng.integers(1, 20 * 86_400, n).astype("timedelta64[s]")
    unit = np.array([f"u{i}" for i in range(n)])
    arm = np.array(arms)[np.arange(n) % len(arms)]
    taste = rng.gamma(2.0, 1.0, n)
    rows = rng.poisson(1.5 * taste)
    of = np.repeat(np.arange(n), rows)
    when = exposed[of] + rng.integers(-10 * 86_400, 9 * 86_400, of.size).astype("timedelta64[s]")
    amount = np.round(4 * rng.lognormal(1 + 0.2 * taste[of], 0.6)) / 4
    status = np.where(rng.random(of.size) < 0.7, "paid", "open")
    order = rng.permutation(of.size)
    return {
        "assignments": pa.table({
            "user_id": unit, "experiment": ["test"] * n, "arm": arm, "happened_at": exposed,
            "platform": np.array(["web", "app", "tv"])[rng.integers(0, 3, n)],
        }),
        "orders": pa.table({
            "user_id": unit[of][order], "happened_at": when[order], "amount": amount[order], "status": status[order]
        }),
        "users": pa.table({
            "user_id": unit, "age": rng.integers(18, 80, n).astype(float), "constant": np.full(n, 3.0),
            "valid_from": np.full(n, np.datetime64("2020-01-01", "us")),
        }),
    }  # fmt: skip


def run(data: dict[str, pa.Table], metrics=METRICS, roles=ROLES, sources=SOURCES, statements=(), **protocol: Any):
    """The readout of these rows and definitions, and the folder is gone."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_definitions(
            folder, {"sources": sources}, {"metrics": metrics}, experiment(metrics=roles, **protocol), project=PROJECT
        )
        with filling(folder / "warehouse.duckdb") as connection:
            for table, rows in data.items():
                connection.register("incoming", rows)
                connection.execute(f"CREATE TABLE {table} AS SELECT * FROM incoming")
                connection.unregister("incoming")
            for statement in statements:
                connection.execute(statement)
        return Project(folder).run("test", as_of="2026-06-01")


def figures(readout, *, arm: str = "treatment") -> dict[str, dict[str, Any]]:
    """Of every metric the overall comparison of one arm: values, intervals, raw tests."""
    found = {}
    for row in readout.estimates:
        if row.arm != arm or row.segment is not None:
            continue
        assert row.absolute is not None and row.relative is not None, (row.metric, row.reason)
        found[row.metric] = {
            "units": row.units,
            "values": (row.baseline_value, row.arm_value),
            "absolute": [v for v in asdict(row.absolute).values() if v is not None],
            "relative": [row.relative.estimate, row.relative.lower, row.relative.upper],
            "tests": {t.hypothesis: (t.statistic, t.df or 0.0, t.p_value) for t in row.tests},
        }
    return found


def assert_close(got, want, message: str = "") -> None:
    """Equal to 1e-9 of the largest of the figures, which share a unit: a difference may be 0 but for rounding."""
    assert [x is None for x in got] == [x is None for x in want], message
    got, want = (np.array([x for x in figures if x is not None]) for figures in (got, want))
    np.testing.assert_allclose(got, want, rtol=RTOL, atol=RTOL * np.abs(want).max(initial=0.0), err_msg=message)


def assert_same_test(got, want, message: str = "") -> None:
    """Statistic, degrees of freedom and p."""
    np.testing.assert_allclose(got[:2], want[:2], rtol=1e-7, atol=1e-9, err_msg=message)
    assert got[2] == pytest.approx(want[2], rel=1e-7), message


def assert_same(got: dict[str, dict[str, Any]], want: dict[str, dict[str, Any]], metrics=tuple(METRICS)) -> None:
    for metric in metrics:
        assert got[metric]["units"] == want[metric]["units"]
        assert set(got[metric]["tests"]) == set(want[metric]["tests"])
        for part in ("values", "absolute", "relative"):
            assert_close(got[metric][part], want[metric][part], f"{metric} {part}")
        for hypothesis, test in want[metric]["tests"].items():
            assert_same_test(got[metric]["tests"][hypothesis], test, f"{metric} {hypothesis}")


def with_covariates(metrics=METRICS, extra: tuple[str, ...] = (), lookback: str = "7d") -> dict[str, dict[str, Any]]:
    return {n: {**m, "covariates": {"lookback": lookback, "extra": list(extra)}} for n, m in metrics.items()}


def moments_of(values: np.ndarray, centre: np.ndarray) -> Moments:
    d = values - centre
    names = [f"y{i}" for i in range(values.shape[1])]
    largest = np.abs(values).max(axis=0) if len(values) else np.zeros(values.shape[1])
    return from_shifted_sums(
        names, len(values), centre, d.sum(axis=0), d.T @ d, (d**3).sum(axis=0), largest,
        (values != 0).sum(axis=0), np.zeros(values.shape[1], dtype=int),
    )  # fmt: skip


@settings(max_examples=examples(50))
@given(SEEDS, st.integers(2, 60), st.integers(1, 6))
def test_moments_of_any_partition_merge_into_those_of_the_whole(seed, n, parts):
    rng = np.random.default_rng(seed)
    values = np.round(4 * rng.normal(5, 3, (n, 3))) / 4
    centre = values.mean(axis=0)
    part = rng.integers(0, parts, n)
    whole = moments_of(values, centre)
    merged = merge_all([moments_of(values[part == p], centre) for p in rng.permutation(parts) if (part == p).any()])
    assert merged.n == n
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(merged.comoment, whole.comoment, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(merged.third, whole.third, rtol=1e-9, atol=1e-8)
    for count in ("max_abs", "nonzero", "capped"):
        np.testing.assert_array_equal(getattr(merged, count), getattr(whole, count))


@FEW
@given(SEEDS)
def test_moments_of_any_partition_by_a_dimension_add_up_in_the_warehouse(seed):
    """The levels of a breakdown are a partition: their merged moments are the arm's."""
    readout = run(tables(seed), with_covariates(), analysis={"breakdowns": ["platform"]})
    for whole in (row for row in readout.moments if row["segment"] is None):
        parts = [
            row
            for row in readout.moments
            if row["segment"] and (row["block"], row["arm"]) == (whole["block"], whole["arm"])
        ]
        assert len(parts) == 3
        assert sum(part["n"] for part in parts) == whole["n"]
        for i, name in enumerate(whole["columns"]):
            n = np.array([part["n"] for part in parts])
            at = [part["columns"].index(name) for part in parts]
            mean = np.array([part["mean"][j] for part, j in zip(parts, at, strict=True)])
            inside = sum((part["n"] - 1) * part["cov"][j][j] for part, j in zip(parts, at, strict=True))
            between = (n * (mean - whole["mean"][i]) ** 2).sum()
            assert (n * mean).sum() / n.sum() == pytest.approx(whole["mean"][i], rel=RTOL)
            assert (inside + between) / (whole["n"] - 1) == pytest.approx(whole["cov"][i][i], rel=RTOL)


@FEW
@given(SEEDS, st.booleans())
def test_swapping_arms_flips_the_sign_and_keeps_p(seed, adjusted):
    metrics = with_covariates(extra=("users.age",)) if adjusted else METRICS
    roles = {"secondary": dict.fromkeys(metrics)}
    data = tables(seed)
    ahead = figures(run(data, metrics, roles))
    back = figures(run(data, metrics, roles, baseline="treatment"), arm="control")
    for metric in metrics:
        a, b = ahead[metric], back[metric]
        assert b["units"] == a["units"][::-1]
        np.testing.assert_allclose(b["values"], a["values"][::-1], rtol=RTOL)
        estimate, *error, lower, upper = a["absolute"]
        assert_close(b["absolute"], [-estimate, *error, -upper, -lower])
        statistic, df, p = a["tests"]["superiority"]
        assert_same_test(b["tests"]["superiority"], (-statistic, df, p))


@FEW
@given(SEEDS, st.booleans())
def test_relabelling_arms_of_equal_share_relabels_the_numbers(seed, adjusted):
    """The rows of one arm called by the name of the other: the same as swapping the baseline."""
    metrics = with_covariates() if adjusted else METRICS
    data = tables(seed)
    names = data["assignments"]["arm"].to_pylist()
    swapped = pa.array([{"control": "treatment", "treatment": "control"}[name] for name in names])
    other = {**data, "assignments": data["assignments"].set_column(2, "arm", swapped)}
    a, b = figures(run(data, metrics)), figures(run(other, metrics))
    for metric in metrics:
        assert a[metric]["absolute"][0] == pytest.approx(-b[metric]["absolute"][0], rel=RTOL, abs=RTOL)
        assert a[metric]["tests"]["superiority"][2] == pytest.approx(b[metric]["tests"]["superiority"][2], rel=1e-7)


@FEW
@given(SEEDS, st.sampled_from([{"upper": 1e12}, {"lower": -1e12, "upper": 1e12}, {"lower": 0}]))
def test_a_cap_that_cuts_nothing_changes_nothing(seed, cap):
    data = tables(seed)
    metrics = {**with_covariates(), "revenue": {**with_covariates()["revenue"], "cap": cap}}
    capped = run(data, metrics)
    assert_same(figures(capped), figures(run(data, with_covariates())))
    row = next(r for r in capped.estimates if r.metric == "revenue")
    assert row.cap.parts[0].capped == (0, 0)
    assert row.cap.uncapped["estimate"] == pytest.approx(row.absolute.estimate, rel=RTOL)


@FEW
@given(SEEDS)
def test_a_cap_at_the_highest_percentile_of_few_units_changes_nothing_where_the_largest_are_equal(seed):
    """p99.99 of 140 values lies between the two largest; both units get the same order, so it equals them."""
    data = tables(seed)
    units = ", ".join(f"'u{i}'" for i in range(4))
    largest = (
        f"DELETE FROM orders WHERE user_id IN ({units})",
        f"INSERT INTO orders SELECT user_id, happened_at, 1000, 'paid' FROM assignments WHERE user_id IN ({units})",
    )
    metrics = {**METRICS, "revenue": {**REVENUE, "cap": {"upper": "p99.99"}}}
    capped = run(data, metrics, statements=largest)
    assert_same(figures(capped), figures(run(data, statements=largest)))
    (part,) = next(r for r in capped.estimates if r.metric == "revenue").cap.parts
    assert (part.upper, part.capped) == (pytest.approx(1000), (0, 0))


@FEW
@given(SEEDS)
def test_a_constant_covariate_changes_nothing(seed):
    data = tables(seed)
    plain, other = run(data, with_covariates()), run(data, with_covariates(extra=("users.constant",)))
    assert_same(figures(other), figures(plain))
    row = next(r for r in other.estimates if r.metric == "revenue")
    assert row.estimator.dropped == ("users.constant",)


@FEW
@given(SEEDS, st.booleans())
def test_another_metric_changes_no_other_row(seed, adjusted):
    """Also one with its own window, cap and covariates, in the same family and in the same block."""
    metrics = with_covariates() if adjusted else METRICS
    more = {
        **metrics,
        "big": {**REVENUE, "type": "threshold", "at_least": 10},
        "capped": {**REVENUE, "cap": {"upper": "p90"}, "covariates": {"lookback": "14d"}},
        "later": {**REVENUE, "window": "1d..9d"},
        "middle": {"type": "quantile", "source": "orders", "measure": "amount", "quantile": "p50", "of": "events", "direction": "increase"},
    }  # fmt: skip
    roles = {
        **ROLES,
        "primary": {**ROLES["primary"], "capped": {"mde": "2%"}},
        "secondary": {**ROLES["secondary"], "big": None, "later": None, "middle": None},
    }
    data = tables(seed)
    assert_same(figures(run(data, more, roles)), figures(run(data, metrics)))


@FEW
@given(SEEDS, st.booleans())
def test_a_breakdown_changes_no_overall_row(seed, adjusted):
    metrics = with_covariates(extra=("users.age",)) if adjusted else METRICS
    data = tables(seed)
    split = run(data, metrics, analysis={"breakdowns": ["platform", "age"]})
    plain = run(data, metrics)
    assert_same(figures(split), figures(plain))
    overall = [row for row in split.estimates if row.segment is None]
    assert [(r.metric, r.verdict, r.p_adjusted) for r in overall] == [
        (r.metric, r.verdict, pytest.approx(r.p_adjusted, rel=1e-7)) for r in plain.estimates
    ]


@FEW
@given(SEEDS)
def test_another_arm_changes_no_other_comparison(seed):
    """Of unadjusted, uncapped metrics: the third arm's units are dropped as an unknown arm in the smaller experiment."""
    data = tables(seed, ("control", "treatment", "other"))
    arms = {name: {"share": "1/3"} for name in ("control", "treatment", "other")}
    both = run(data, arms=arms)
    assert_same(figures(both), figures(run(data)))
    assert {row.arm for row in both.estimates} == {"treatment", "other"}


@FEW
@given(SEEDS, st.integers(0, 3))
def test_two_tables_in_a_union_equal_one_table(seed, how):
    """However the rows are dealt out: by half, by status, by unit, or all into one."""
    data = tables(seed)
    rule = ("amount > 5", "status = 'paid'", "user_id < 'u5'", "TRUE")[how]
    split = (
        f"CREATE TABLE old_orders AS SELECT * FROM orders WHERE {rule}",
        f"CREATE TABLE new_orders AS SELECT * FROM orders WHERE NOT ({rule})",
        "DROP TABLE orders",
    )
    union = {k: v for k, v in SOURCES["orders"].items() if k != "table"}
    union["sql"] = "SELECT * FROM old_orders UNION ALL SELECT * FROM new_orders"
    metrics = with_covariates()
    assert_same(
        figures(run(data, metrics, sources={**SOURCES, "orders": union}, statements=split)), figures(run(data, metrics))
    )


@FEW
@given(SEEDS, st.sampled_from([0.01, 2.0, 1000.0]))
def test_scaling_values_margins_and_caps_scales_absolute_figures_and_nothing_else(seed, factor):
    def scaled(by):
        metrics = with_covariates()
        metrics["capped"] = {**metrics["revenue"], "cap": {"upper": 40 * by}}
        metrics["percentile"] = {**metrics["revenue"], "cap": {"upper": "p90"}}
        roles = {"guardrail": {name: {"margin": 2 * by} for name in ("revenue", "capped", "percentile", "value")}}
        roles["secondary"] = {"buyers": None, "orders": None}
        orders = {**SOURCES["orders"], "measures": {"amount": f"amount * {by!r}"}}
        return figures(run(tables(seed), metrics, roles, {**SOURCES, "orders": orders}))

    one, other = scaled(1.0), scaled(factor)
    for metric in ("revenue", "capped", "percentile", "value"):
        for part in ("values", "absolute"):
            other[metric][part] = [x / factor for x in other[metric][part]]
    assert_same(other, one, tuple(one))


@FEW
@given(SEEDS, st.sampled_from([-5.0, 100.0, 1e6]))
def test_shifting_everybody_shifts_no_absolute_difference(seed, shift):
    """An order of `shift` for every unit, before the window's other rows: the uncapped mean's difference stays."""
    data = tables(seed)
    more = (f"INSERT INTO orders SELECT user_id, happened_at, {shift!r}, 'open' FROM assignments",)
    a, b = figures(run(data)), figures(run(data, statements=more))
    for metric, by in (("revenue", shift), ("orders", 1.0)):
        np.testing.assert_allclose(b[metric]["values"], np.array(a[metric]["values"]) + by, rtol=RTOL)
        assert_close(b[metric]["absolute"], a[metric]["absolute"])
        assert_same_test(b[metric]["tests"]["superiority"], a[metric]["tests"]["superiority"])
