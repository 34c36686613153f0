"""Equivalence from YAML to verdict and decision, and the error budget of a decision rule."""

import math
from functools import partial

import numpy as np
import pytest
from scipy import stats
from three_arms import ARM, COUNT, REVENUE, N, arms_of, by_row, make_warehouse, run_protocol

from metricdef.reports.text import render_text
from metricdef.stats.adjustment import MeanOutcome, choose
from metricdef.stats.equivalence import equivalence
from metricdef.stats.multiplicity import adjust

TWO = {"control": {"share": "50%"}, "blue": {"share": "50%"}}
BLUE = {"arms": TWO, "exposure": {"source": "assignments", "key": "test", "filter": "arm <> 'green'"}}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    return make_warehouse(tmp_path_factory.mktemp("equivalence"))


@pytest.fixture
def run(warehouse):
    return partial(run_protocol, warehouse)


def revenue(margin):
    return {"primary": {"revenue": {"mde": "2%", "equivalence": margin}}}


@pytest.mark.parametrize(("margin", "relative"), [("20%", True), (12, False), ("60%", True), (0.5, False)])
def test_two_one_sided_tests_of_plain_rows(run, margin, relative):
    (row,) = run(revenue(margin), **BLUE).estimates
    test = row.test("equivalence")
    size = float(margin.rstrip("%")) / 100 if relative else margin
    want = equivalence(choose(arms_of(("y", REVENUE)), MeanOutcome("y"), ()), 1, -size, size, 0.025, relative)
    assert test.p_value == test.p_adjusted == pytest.approx(want.p_value, rel=1e-9)
    assert (test.alpha, test.sidedness, test.null, test.null_kind) == (
        0.025,
        "two one-sided",
        size,
        "relative" if relative else "absolute",
    )
    assert test.rejected == want.equivalent
    # What it shows is the row's own interval inside the margins.
    interval = row.relative if relative else row.absolute
    assert test.rejected == (-size < interval.lower and interval.upper < size)
    assert row.equivalence == str(margin)


def test_verdicts(run):
    (wide,) = run(revenue("300%"), **BLUE).estimates
    # Blue sells more: superior before equivalent, which it is as well within so wide margins.
    assert (wide.verdict, wide.also) == ("superior", ("equivalent",))
    strict = {"analysis": {"confidence": "99.99%"}, **BLUE}
    (row,) = run(revenue("300%"), **strict).estimates
    assert row.p_value > 0.0001
    assert (row.verdict, row.also, row.reason) == ("equivalent", (), None)
    (narrow,) = run(revenue("1%"), **strict).estimates
    assert (narrow.verdict, narrow.also) == ("inconclusive", ())


def test_a_metric_that_should_fall(run):
    """Margins lie on both sides whatever the direction."""
    target = {"guardrail": {"refunds": {"margin": "90pp", "equivalence": "90pp"}}, **revenue("60%")}
    row = next(r for r in run(target, **BLUE).estimates if r.metric == "refunds")
    assert row.reason == "no_variation"
    rare = {"primary": {"rare": {"mde": "2%", "equivalence": "5pp"}}}
    (row,) = run(rare, **BLUE).estimates
    test = row.test("equivalence")
    assert row.estimator.name == "score"
    assert test.rejected == (row.absolute.lower > -0.05 and row.absolute.upper < 0.05)
    assert row.verdict == "equivalent"


def test_the_family_is_what_declares_equivalence(run):
    metrics = {"primary": {
        "revenue": {"mde": "2%", "equivalence": "30%"}, "orders_per_user": {"mde": "2%", "equivalence": "20%"}, "buyers": {"mde": "2%"},
    }}  # fmt: skip
    for method, want in (("holm", "holm"), ("hochberg", "hochberg"), ({"method": "max_t"}, "holm")):
        found = {k: t for k, t in by_row(run(metrics, method), "primary", "equivalence").items() if t}
        assert len(found) == 4
        assert {t.family for t in found.values()} == {"primary equivalence"}
        assert {t.procedure for t in found.values()} == {want}
        adjusted = adjust([t.p_value for t in found.values()], want, 0.025).p_adjusted
        assert [t.p_adjusted for t in found.values()] == pytest.approx(list(adjusted), rel=1e-12)
    order = ["buyers", "orders_per_user", "revenue"]
    found = by_row(run(metrics, {"method": "fixed_sequence", "order": order}, **BLUE), "primary", "equivalence")
    first, second = found["orders_per_user", "blue"], found["revenue", "blue"]
    assert first.p_adjusted == first.p_value  # buyers declare none
    assert second.p_adjusted == max(first.p_value, second.p_value)


@pytest.mark.parametrize(
    ("condition", "margins", "ships"),
    [
        ("any_equivalent", ("90%", "1%"), True),
        ("all_equivalent", ("90%", "1%"), False),
        ("all_equivalent", ("90%", "90%"), True),
        ("any_equivalent", ("1%", "1%"), False),
    ],
)
def test_rules_that_ask_for_equivalence(run, condition, margins, ships):
    primary = {m: {"mde": "2%", "equivalence": x} for m, x in zip(("revenue", "orders_per_user"), margins, strict=True)}
    readout = run({"primary": primary}, **BLUE, decision={"ship": {"primary": condition}})
    assert readout.decision.recommendation == ("ship" if ships else "hold")
    procedures = {t.procedure for t in by_row(readout, "primary", "equivalence").values()}
    assert procedures == {"none" if condition == "all_equivalent" else "holm"}
    assert readout.ledger["false_ship"] == 0.025
    # Intersection-union of equivalences leaves superiority as it was.
    assert {t.procedure for t in by_row(readout, "primary").values()} == {"holm"}


def test_a_relative_margin_of_a_baseline_of_zero(run, warehouse):
    """No equivalence, and everything else of the row."""
    metrics = {"primary": {"balance": {"mde": 1, "equivalence": "1%"}, "revenue": {"mde": "2%", "equivalence": "90%"}}}
    zero = {
        "balance": {"type": "mean", "source": "orders", "agg": "sum", "measure": "balance", "direction": "increase"}
    }
    readout = run(metrics, **BLUE, more=zero)
    row, other = readout.estimates
    assert row.baseline_value == 0
    assert row.test("equivalence") is None
    assert row.test("superiority") is not None
    assert (row.verdict, row.reason) == ("superior", "baseline_zero")
    assert row.message.startswith("no test of equivalence: ")
    # It keeps its place in the family.
    test = other.test("equivalence")
    assert test.p_adjusted == pytest.approx(min(1.0, 2 * test.p_value))


def test_the_text_names_margins(run):
    text = render_text(run(revenue("300%"), analysis={"confidence": "99.99%"}, **BLUE), width=200)
    assert "equivalent within ±300% (relative)" in text
    assert "two one-sided tests, adjusted by Holm, at 5e-05" in text
    text = render_text(run(revenue("1%"), **BLUE), width=200)
    assert "not shown to be equivalent within ±1% (relative): p" in text
    points = {"primary": {"rare": {"mde": "2%", "equivalence": "5pp"}}}
    assert "equivalence against ±5pp: z = " in render_text(run(points, **BLUE), verbose=True, width=200)


# --- the ledger -----------------------------------------------------------------------------------------------------


def power(effect, error, df, alpha, sides):
    critical = stats.t.isf(alpha / sides, df)
    return stats.nct.sf(critical, df, effect / error)


def moments(values, arm):
    own = values[arm == ARM]
    return own.mean(), own.var(ddof=1) / own.size, own.size


def test_the_chance_to_block_a_good_change(run):
    """1 - power at the mde with Holm's first level, 1 - power of the guardrail at no effect, 1 % and 0.1 %."""
    metrics = {
        "primary": {"revenue": {"mde": "30%"}, "orders_per_user": {"mde": 0.25}},
        "guardrail": {"buyers": {"margin": "9pp"}},
    }
    ledger = run(metrics, **BLUE).ledger
    betas = []
    for values, size, sides, alpha in ((REVENUE, None, 2, 0.025), (COUNT, 0.25, 2, 0.025), (COUNT > 0, 0.09, 1, 0.025)):
        (m0, v0, n0), (_, v1, n1) = moments(values.astype(float), 0), moments(values.astype(float), 1)
        df = (v0 + v1) ** 2 / (v0**2 / (n0 - 1) + v1**2 / (n1 - 1))
        betas.append(1 - power(0.3 * m0 if size is None else size, math.sqrt(v0 + v1), df, alpha, sides))
    assert 0.05 < max(betas[:2]) < 0.95
    want = max(betas[:2]) + betas[2] + 0.01 + 0.001
    assert ledger["block_good_change"] == pytest.approx(min(1.0, want), rel=1e-6)
    assert "standard errors seen at the planned end" in ledger["block_good_change_basis"]
    both = run(metrics, **BLUE, decision={"ship": {"primary": "all_superior", "guardrail": "all_non_inferior"}}).ledger
    betas[:2] = [
        1 - power(0.3 * moments(REVENUE, 0)[0], *_error(REVENUE), 0.05, 2),
        1 - power(0.25, *_error(COUNT), 0.05, 2),
    ]
    assert both["block_good_change"] == pytest.approx(min(1.0, sum(betas) + 0.011), rel=1e-6)


def _error(values):
    (_, v0, n0), (_, v1, n1) = moments(values, 0), moments(values, 1)
    return math.sqrt(v0 + v1), (v0 + v1) ** 2 / (v0**2 / (n0 - 1) + v1**2 / (n1 - 1))


def test_the_worst_arm_counts(run):
    whole = run({"primary": {"revenue": {"mde": "40%"}}}).ledger["block_good_change"]
    found = []
    for arm in (1, 2):
        (m0, v0, n0), (_, v1, n1) = moments(REVENUE, 0), moments(REVENUE, arm)
        df = (v0 + v1) ** 2 / (v0**2 / (n0 - 1) + v1**2 / (n1 - 1))
        found.append(1 - power(0.4 * m0, math.sqrt(v0 + v1), df, 0.025, 2))
    assert whole == pytest.approx(max(found) + 0.011, rel=1e-6)


@pytest.mark.parametrize(
    ("metrics", "changes", "why"),
    [
        ({"primary": {"revenue": None}}, {}, "revenue has no mde"),
        ({"primary": {"rare": {"mde": "50%"}}}, {}, "rare has no standard error (score)"),
        ({"primary": {"refunds": {"mde": "2%"}}}, {}, "refunds could not be computed"),
        ({"primary": {"revenue": {"mde": "2%"}}}, {"decision": {"practical": {"revenue": "1%"}}}, "practical size"),
        ({"primary": {"revenue": {"mde": "2%"}}}, {"decision": {"stop": {"primary": "any_inferior"}}}, "stop rule"),
        ({"secondary": {"revenue": None}}, {}, "no primary metric"),
        (
            {"primary": {"revenue": {"mde": "2%"}, "buyers": {"mde": "2%"}}},
            {"analysis": {"multiplicity": {"primary": {"method": "fixed_sequence", "order": ["buyers", "revenue"]}}}},
            "revenue has no level of its own",
        ),
    ],
)
def test_what_the_ledger_does_not_know_it_says(run, metrics, changes, why):
    ledger = run(metrics, **BLUE, **changes).ledger
    assert ledger["block_good_change"] is None
    assert why in ledger["block_good_change_basis"]


def test_nothing_is_claimed_before_the_end(warehouse, run):
    from metricdef.api import Project

    run({"primary": {"revenue": {"mde": "2%"}}}, **BLUE)
    ledger = Project(warehouse).run("test", as_of="2026-01-20").ledger
    assert (ledger["block_good_change"], ledger["block_good_change_basis"]) == (None, "nothing is tested yet")
    assert np.sum(ARM == 0) < N
