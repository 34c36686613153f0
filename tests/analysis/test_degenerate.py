"""Data on which statistics have no answer: never a crash, never p = 1 for "could not compute", never an infinite lift."""

import json

import pytest
from projects import METRICS, SOURCES, TABLES, experiment, write_definitions, write_warehouse

from metricdef.analysis.readout import Readout
from metricdef.api import Project
from metricdef.reports.text import render_text


def units(arm: str, numbers: range, at: str = "2026-01-02", start: int = 0) -> str:
    return (
        f"INSERT INTO assignments SELECT 'u' || (i + {start}), 'test', '{arm}', TIMESTAMP '{at}', 'web'"
        f" FROM range({numbers.start}, {numbers.stop}) AS r(i)"
    )


def orders(condition: str, amount: str = "10 + i % 7", at: str = "2026-01-03") -> str:
    return (
        f"INSERT INTO orders SELECT 'u' || i, TIMESTAMP '{at}', {amount}, 'p' || i % 3, 'paid'"
        f" FROM range(0, 1000) AS r(i) WHERE {condition}"
    )


SOME = (units("control", range(500)), units("treatment", range(500, 1000)))

CASES = {
    "no_exposures": (),
    "no_rows_at_all": SOME,
    "one_arm_empty": (units("control", range(500)), orders("i % 3 = 0")),
    "baseline_empty": (units("treatment", range(500)), orders("i % 3 = 0")),
    "one_unit_per_arm": (units("control", range(1)), units("treatment", range(1, 2)), orders("i < 2")),
    "zero_variance": (*SOME, orders("true", "5")),
    "zero_variance_different_means": (*SOME, orders("true", "CASE WHEN i < 500 THEN 5 ELSE 6 END")),
    "control_mean_zero": (*SOME, orders("i >= 500 AND i % 2 = 0")),
    "control_sums_to_zero": (*SOME, orders("true", "CASE WHEN i % 2 = 0 THEN 1 ELSE -1 END + CASE WHEN i >= 500 THEN i % 5 ELSE 0 END")),
    "negative_baseline": (*SOME, orders("true", "-10 - i % 7")),
    "all_mixed": (*SOME, units("treatment", range(500), "2026-01-05"), units("control", range(500, 1000), "2026-01-05"), orders("i % 3 = 0")),
    "infinite_amount": (*SOME, orders("true", "CASE WHEN i = 3 THEN 'inf'::DOUBLE ELSE 1 + i % 3 END")),
    "not_a_number": (*SOME, orders("true", "CASE WHEN i = 3 THEN 'nan'::DOUBLE ELSE 1 + i % 3 END")),
    "huge_amounts": (*SOME, orders("true", "1e200 * (1 + i % 3)")),
    "null_amounts": (*SOME, orders("true", "NULL")),
    "one_buyer": (*SOME, orders("i = 7")),
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    def _run(*statements: str, as_of: str = "2026-03-01", **changes: object) -> Readout:
        write_definitions(tmp_path, SOURCES, METRICS, experiment(**changes))
        write_warehouse(tmp_path, *TABLES, *statements)
        return Project(tmp_path).run("test", as_of=as_of)

    return _run


FULL = {
    "primary": {"buyers": {"mde": "2%"}},
    "secondary": {"revenue": None, "order_value": None, "orders_per_user": None},
    "guardrail": {"refunds": {"margin": "1pp"}},
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("as_of", ["2026-03-01", "2026-01-20"])
def test_degenerate_data(run, name, as_of):
    readout = run(*CASES[name], as_of=as_of, metrics=FULL)
    document = json.loads(readout.to_json())  # to_json refuses NaN and infinity
    assert len(document["estimates"]) == 5
    for row in document["estimates"]:
        if row["verdict"] == "not_computed":
            assert row["reason"], row
            assert row["p_value"] is None
            assert row["p_adjusted"] is None
        else:
            assert row["p_value"] is not None
        for test in row["tests"]:
            assert 0 <= test["p_value"] <= 1
        if row["baseline_value"] in (0, None):
            assert row["relative"] is None or row["relative"]["estimate"] is None
    text = render_text(readout)
    for word in ("nan", "inf ", "infinity", "None", "Traceback"):
        assert word not in text.replace("information", ""), text


def reasons(readout: Readout) -> dict[str, str | None]:
    return {row.metric: row.reason for row in readout.estimates}


def test_no_units_is_said_of_every_metric(run):
    readout = run(metrics=FULL)
    assert set(reasons(readout).values()) == {"no_units"}
    assert readout.decision.recommendation == "hold"
    assert all(row.units == 0 and row.share_observed is None for row in readout.arms)


def test_an_empty_arm_fails_the_srm(run):
    readout = run(*CASES["one_arm_empty"], metrics=FULL)
    assert readout.decision.recommendation == "invalid"
    assert set(reasons(readout).values()) == {"no_units"}


def test_zero_variance_is_not_computed_even_when_means_differ(run):
    readout = run(*CASES["zero_variance_different_means"], metrics=FULL)
    assert reasons(readout)["revenue"] == "zero_variance"
    row = next(r for r in readout.estimates if r.metric == "revenue")
    assert (row.baseline_value, row.arm_value) == (5, 6)
    assert row.p_value is None
    assert readout.decision.recommendation == "hold"


def test_a_control_mean_of_zero_leaves_the_absolute_effect(run):
    readout = run(*CASES["control_mean_zero"], metrics=FULL)
    revenue = next(r for r in readout.estimates if r.metric == "revenue")
    assert revenue.absolute is not None
    assert revenue.absolute.estimate > 0
    assert revenue.relative is None
    assert revenue.verdict == "superior"
    ratio = next(r for r in readout.estimates if r.metric == "order_value")
    assert ratio.reason == "zero_denominator"


def test_all_units_mixed_leaves_nobody(run):
    readout = run(*CASES["all_mixed"], metrics=FULL)
    assert readout.excluded_units["mixed"] == 1000
    assert all(row.units == 0 for row in readout.arms)
    assert next(h for h in readout.health if h.check == "mixed_units").status == "fail"
    assert set(reasons(readout).values()) == {"no_units"}
    # The other policy comes from the same query.
    assert {item["analysis"] for item in readout.sensitivity} == {"mixed_first_arm"}
    assert next(i for i in readout.sensitivity if i["metric"] == "buyers")["units"] == (500, 500)


@pytest.mark.parametrize("name", ["infinite_amount", "not_a_number"])
def test_one_bad_value_spoils_only_the_metrics_that_use_it(run, name):
    readout = run(*CASES[name], metrics=FULL)
    found = reasons(readout)
    assert found["revenue"] == "not_finite"
    assert found["order_value"] == "not_finite"
    assert found["orders_per_user"] != "not_finite"
    assert found["buyers"] != "not_finite"
    assert any("revenue" in block["unusable"] for block in readout.moments)
