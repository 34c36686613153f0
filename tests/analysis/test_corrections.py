"""Every declared correction from YAML to verdicts, held against the raw rows and the statistics layer."""

from datetime import UTC, datetime
from fractions import Fraction
from functools import partial

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from thorough import cases
from three_arms import (
    ARM,
    BEFORE,
    COUNT,
    NAMES,
    PLATFORM,
    REVENUE,
    UNITS,
    VALUES,
    N,
    arms_of,
    by_row,
    make_warehouse,
    run_protocol,
)

from metricdef.analysis.analyse import analyse
from metricdef.analysis.procedures import family_graph
from metricdef.api import Project
from metricdef.compiler.build_plan import build_plan
from metricdef.compiler.render import render
from metricdef.definitions.models import Correction
from metricdef.stats.adjustment import MeanOutcome, RatioOutcome, choose
from metricdef.stats.dunnett import dunnett
from metricdef.stats.graph import as_graph, fixed_sequence, test_graph
from metricdef.stats.joint import Blocks, normal_score, test_joint
from metricdef.stats.max_t import Contrast, contrast_correlation, max_t
from metricdef.stats.moments import from_rows
from metricdef.stats.multiplicity import adjust
from metricdef.stats.normal_law import law_of

ALL = ("revenue", "orders_per_user", "order_value", "buyers")


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    return make_warehouse(tmp_path_factory.mktemp("corrections"))


@pytest.fixture
def run(warehouse):
    return partial(run_protocol, warehouse)


def assert_verdicts_follow(readout, role="primary"):
    for row in readout.estimates:
        if row.role != role:
            continue
        test = row.test("superiority")
        assert test.p_adjusted >= test.p_value
        assert test.rejected == (test.p_adjusted <= test.alpha)
        assert test.rejected or row.verdict in ("inconclusive", "equivalent")
        assert (row.verdict == "superior") == (test.rejected and row.absolute.estimate > 0)
        if test.p_value <= test.local_alpha:
            assert test.rejected
        if row.simultaneous is None:
            assert row.interval_kind == "marginal"
            continue
        wide = row.simultaneous
        assert (wide.lower > 0 or wide.upper < 0) == test.rejected
        assert wide.lower <= row.absolute.lower
        assert wide.upper >= row.absolute.upper


@pytest.mark.parametrize("method", ["none", "bonferroni", "holm", "hochberg", "hommel", "bh", "by"])
def test_methods_that_need_p_alone(run, method):
    readout = run({"primary": ALL}, method)
    found = by_row(readout)
    assert len(found) == 8
    want = adjust([t.p_value for t in found.values()], method, 0.05)
    assert [t.p_adjusted for t in found.values()] == pytest.approx(list(want.p_adjusted), rel=1e-12)
    assert [t.rejected for t in found.values()] == list(want.rejected)
    assert {t.procedure for t in found.values()} == {method}
    assert any(want.rejected)
    assert not all(want.rejected)
    assert_verdicts_follow(readout)
    kinds = {r.interval_kind for r in readout.estimates}
    assert kinds <= {"none": {"marginal"}, "bh": {"fcr", "marginal"}, "by": {"fcr", "marginal"}}.get(
        method, {"simultaneous", "marginal"}
    )
    if method == "bonferroni":
        assert kinds == {"simultaneous"}
        row = readout.estimates[0]
        narrow = run({"primary": ALL}, method, analysis={"confidence": "99.375%"}).estimates[0]  # 1 - 5% / 8
        assert (row.simultaneous.lower, row.simultaneous.upper) == pytest.approx(
            (narrow.absolute.lower, narrow.absolute.upper), rel=1e-9
        )


def test_raw_p_are_those_of_plain_rows(run):
    """The bridge from SQL to everything below: the effects are those of the arrays."""
    found = by_row(run({"primary": ("revenue",)}))
    est = choose(arms_of(("y", REVENUE)), MeanOutcome("y"), ())
    for k, arm in enumerate(NAMES[1:], 1):
        difference = REVENUE[k == ARM].mean() - REVENUE[ARM == 0].mean()
        error = np.sqrt(est.cov[k, k] + est.cov[0, 0])
        assert found["revenue", arm].statistic == pytest.approx(difference / error, rel=1e-10)


def test_a_row_lost_to_the_correction_says_so(run):
    rows = run({"primary": ALL}, "bonferroni").estimates
    lost = [r for r in rows if r.test("superiority").p_value <= 0.05 < r.p_adjusted]
    assert lost
    for row in lost:
        assert row.reason == "not_rejected_after_correction"
        assert row.message == "its own interval excludes 0, but not after the Bonferroni correction over 8 tests"


# --- fixed sequence and graph ---------------------------------------------------------------------------------------


def test_a_fixed_sequence_of_one_arm_is_the_largest_p_so_far(run):
    arms = {"control": {"share": "50%"}, "blue": {"share": "50%"}}
    order = ["order_value", "revenue", "buyers", "orders_per_user"]
    changes = {"arms": arms, "exposure": {"source": "assignments", "key": "test", "filter": "arm <> 'green'"}}
    readout = run({"primary": ALL}, {"method": "fixed_sequence", "order": order}, **changes)
    found = by_row(readout)
    largest = 0.0
    for metric in order:
        largest = max(largest, found[metric, "blue"].p_value)
        assert found[metric, "blue"].p_adjusted == largest
    assert_verdicts_follow(readout)


def parallel_sequences(p, arms):
    """Two arms, each with half of alpha and the same order; an arm that is through passes its half to the other one."""
    m, k = len(p) // arms, arms
    weights, edges = np.zeros(m * k), np.zeros((m * k, m * k))
    for a in range(k):
        weights[a * m] = 1 / k
        for i in range(m - 1):
            edges[a * m + i, a * m + i + 1] = 1.0
        for b in range(k):
            if b != a:
                edges[a * m + m - 1, b * m] = 1 / (k - 1)
    return test_graph(as_graph(weights, edges), p, 0.05).p_adjusted


def test_a_fixed_sequence_runs_in_every_arm(run):
    order = ["orders_per_user", "buyers", "revenue"]
    readout = run({"primary": order}, {"method": "fixed_sequence", "order": order})
    found = by_row(readout)
    keys = [(metric, arm) for arm in NAMES[1:] for metric in order]
    want = parallel_sequences([found[key].p_value for key in keys], 2)
    assert [found[key].p_adjusted for key in keys] == pytest.approx(list(want), rel=1e-12)
    # By hand: blue moves orders, green doesn't, so green never passes on and blue is tested at half of alpha throughout.
    assert found["orders_per_user", "green"].p_value > 0.05
    largest = 0.0
    for metric in order:
        largest = max(largest, 2 * found[metric, "blue"].p_value)
        assert found[metric, "blue"].p_adjusted == pytest.approx(min(1.0, largest), rel=1e-12)
    # Nothing else in green is tested, however small its p.
    assert found["revenue", "green"].p_value < 0.01
    assert found["revenue", "green"].p_adjusted > 0.05
    assert found["revenue", "green"].local_alpha == 0
    assert_verdicts_follow(readout)


def test_a_sequence_of_one_metric_is_holm_over_arms(run):
    one = by_row(run({"primary": ("revenue",)}, {"method": "fixed_sequence", "order": ["revenue"]}))
    holm = by_row(run({"primary": ("revenue",)}, "holm"))
    assert [t.p_adjusted for t in one.values()] == pytest.approx([t.p_adjusted for t in holm.values()], rel=1e-12)


def test_a_graph(run):
    """Half of alpha on each of two metrics, which pass on to a third; every arm has half of that."""
    graph = {
        "method": "graph",
        "alpha": {"revenue": "60%", "buyers": "40%"},
        "edges": {"revenue": {"buyers": "1/3", "order_value": "2/3"}, "buyers": {"order_value": "100%"}},
    }
    readout = run({"primary": ("revenue", "buyers", "order_value")}, graph)
    found = by_row(readout)
    keys = list(found)
    weights, edges = np.zeros(6), np.zeros((6, 6))
    alpha = {"revenue": 0.6, "buyers": 0.4, "order_value": 0.0}
    for i, (metric, arm) in enumerate(keys):
        weights[i] = alpha[metric] / 2
        for j, (other, where) in enumerate(keys):
            inside = {("revenue", "buyers"): 1 / 3, ("revenue", "order_value"): 2 / 3, ("buyers", "order_value"): 1.0}
            if arm == where:
                edges[i, j] = inside.get((metric, other), 0.0)
            elif metric == "order_value":  # it has no edges: what it holds goes to the other arm, as alpha first does
                edges[i, j] = alpha[other]
    want = test_graph(as_graph(weights, edges), [t.p_value for t in found.values()], 0.05)
    assert [t.p_adjusted for t in found.values()] == pytest.approx(list(want.p_adjusted), rel=1e-12)
    assert [t.rejected for t in found.values()] == list(want.rejected)
    assert found["revenue", "green"].local_alpha == pytest.approx(0.05 * 0.3)
    assert_verdicts_follow(readout)


def test_a_graph_of_a_sequence_is_the_sequence(run):
    order = ["orders_per_user", "buyers", "revenue"]
    graph = {
        "method": "graph",
        "alpha": {order[0]: "100%"},
        "edges": {order[0]: {order[1]: "100%"}, order[1]: {order[2]: "100%"}},
    }
    one = by_row(run({"primary": order}, graph))
    other = by_row(run({"primary": order}, {"method": "fixed_sequence", "order": order}))
    assert {k: t.p_adjusted for k, t in one.items()} == {k: t.p_adjusted for k, t in other.items()}


# --- joint laws -----------------------------------------------------------------------------------------------------

ADJUSTED = {"covariates": {"lookback": "7d"}}


@pytest.mark.parametrize("analysis", [{}, ADJUSTED], ids=["unadjusted", "lin"])
def test_dunnett_of_one_metric(run, analysis):
    readout = run({"primary": ("revenue",)}, {"method": "dunnett"}, analysis=analysis)
    arms = arms_of(("y", REVENUE), ("x", BEFORE))
    want = dunnett(choose(arms, MeanOutcome("y"), ("x",) if analysis else ()), 0.05)
    for row, arm in zip(readout.estimates, want.arms, strict=True):
        assert row.p_adjusted == pytest.approx(arm.p_adjusted, rel=1e-8)
        assert (row.simultaneous.lower, row.simultaneous.upper) == pytest.approx((arm.lower, arm.upper), rel=1e-7)
        assert row.interval_kind == "simultaneous"
        assert row.test("superiority").joint == ("revenue",)
        assert row.test("superiority").local_alpha == pytest.approx(want.local_alpha, rel=1e-6)
        # Better than Bonferroni over two arms, never better than the raw p.
        assert row.p_value <= row.p_adjusted < 2 * row.p_value
    assert_verdicts_follow(readout)


def test_dunnett_by_simulation(run):
    """P(the largest of two correlated |z| is beyond the row's), by brute force."""
    (row, _) = run({"primary": ("orders_per_user",)}, {"method": "dunnett"}).estimates
    variance = [np.var(COUNT[k == ARM], ddof=1) / np.sum(k == ARM) for k in range(3)]
    rng = np.random.default_rng(5)
    draws = rng.normal(size=(3, 400_000)) * np.sqrt(variance)[:, None]
    z = np.abs(np.stack([(draws[k] - draws[0]) / np.sqrt(variance[k] + variance[0]) for k in (1, 2)]))
    share = (z.max(axis=0) >= normal_score(row.p_value, "two-sided")).mean()
    assert row.p_adjusted == pytest.approx(share, abs=4 * np.sqrt(share / 400_000))


def dunnett_law(values):
    """The law of the two arms' statistics, from their variances alone."""
    v = [np.var(values[k == ARM], ddof=1) / np.sum(k == ARM) for k in range(3)]
    rho = v[0] / np.sqrt((v[1] + v[0]) * (v[2] + v[0]))
    return law_of(np.array([[1, rho], [rho, 1]]), two_sided=True)


def test_dunnett_adds_up_over_metrics(run):
    """Nothing joint is assumed between metrics: the family's p is the sum over metrics of Dunnett's probabilities."""
    found = by_row(run({"primary": ("revenue", "orders_per_user")}, {"method": "dunnett"}))
    laws = [dunnett_law(VALUES[metric]) for metric in ("revenue", "orders_per_user")]
    for (metric, _), test in found.items():
        want = min(1.0, sum(law.smallest(test.p_value, (0, 1)) for law in laws))
        assert test.p_adjusted == pytest.approx(want, rel=1e-8)
        assert test.joint == (metric,)


def joint_correlation(metrics, covariates=()):
    columns = [
        ("revenue", REVENUE),
        ("orders_per_user", COUNT),
        ("buyers", COUNT > 0),
        ("x", BEFORE),
        ("c", np.ones(N)),
    ]
    outcomes = {
        "revenue": MeanOutcome("revenue"), "orders_per_user": MeanOutcome("orders_per_user"), "buyers": MeanOutcome("buyers"),
        "order_value": RatioOutcome("revenue", "orders_per_user"),
    }  # fmt: skip
    contrasts = [
        Contrast(outcomes[m], a, "lin" if covariates else "unadjusted", covariates)
        for m in sorted(metrics)
        for a in (1, 2)
    ]
    return contrast_correlation(arms_of(*columns), contrasts)


def test_max_t_over_metrics_and_arms(run):
    readout = run({"primary": ALL}, {"method": "max_t"})
    found = by_row(readout)
    order = [(m, a) for m in sorted(ALL) for a in NAMES[1:]]
    p = [found[key].p_value for key in order]
    want = max_t(p, range(8), joint_correlation(ALL), 0.05)
    assert [found[key].p_adjusted for key in order] == pytest.approx(list(want.p_adjusted), abs=1e-6)
    assert {t.joint for t in found.values()} == {tuple(sorted(ALL))}
    assert {r.interval_kind for r in readout.estimates} == {"simultaneous"}
    assert_verdicts_follow(readout)
    # Correlated metrics cost less than Bonferroni.
    bonferroni = adjust(p, "bonferroni", 0.05).p_adjusted
    assert all(a < b for a, b in zip(want.p_adjusted, bonferroni, strict=True) if b < 1)


def test_max_t_with_one_covariate_for_all(run):
    """One covariate for all metrics, from the exposure side, so that the joint law is that of Lin's contrasts."""
    metrics = ("revenue", "orders_per_user")
    readout = run({"primary": metrics}, {"method": "max_t"}, analysis={"strata": ["platform"]})
    found = by_row(readout)
    web = np.where(PLATFORM == "app", 1.0, 0.0)
    arms = arms_of(("revenue", REVENUE), ("orders_per_user", COUNT), ("app", web))
    contrasts = [Contrast(MeanOutcome(m), a, "lin", ("app",)) for m in sorted(metrics) for a in (1, 2)]
    order = [(m, a) for m in sorted(metrics) for a in NAMES[1:]]
    want = max_t([found[k].p_value for k in order], range(4), contrast_correlation(arms, contrasts), 0.05)
    assert [found[k].p_adjusted for k in order] == pytest.approx(list(want.p_adjusted), abs=1e-6)
    assert {t.joint for t in found.values()} == {tuple(sorted(metrics))}


def test_max_t_with_a_covariate_of_each_metric(run):
    """Revenue by its own past; everybody had one order before, so orders per user stay as they are."""
    found = by_row(run({"primary": ("revenue", "orders_per_user")}, {"method": "max_t"}, analysis=ADJUSTED))
    arms = arms_of(("revenue", REVENUE), ("orders_per_user", COUNT), ("x", BEFORE))
    plain = [Contrast(MeanOutcome("orders_per_user"), a) for a in (1, 2)]
    adjusted = [Contrast(MeanOutcome("revenue"), a, "lin", ("x",)) for a in (1, 2)]
    order = [(m, a) for m in ("orders_per_user", "revenue") for a in NAMES[1:]]
    correlation = contrast_correlation(arms, [*plain, *adjusted])
    want = max_t([found[k].p_value for k in order], range(4), correlation, 0.05)
    assert [found[k].p_adjusted for k in order] == pytest.approx(list(want.p_adjusted), abs=1e-6)


def test_max_t_over_clusters(run):
    """Shops are randomised: moments are over shops, and a mean over users is a ratio of their sums."""
    shop = "arm || '_' || CAST(CAST(SUBSTR(user_id, 2) AS INTEGER) % 15 AS VARCHAR)"
    source = {
        "table": None, "sql": f"SELECT *, {shop} AS shop_id FROM assignments", "dialect": "duckdb",
        "entities": {"user": "user_id", "shop": "shop_id"},
    }  # fmt: skip
    found = by_row(
        run({"primary": ("revenue", "orders_per_user")}, {"method": "max_t"}, assignments=source, cluster="shop")
    )
    arms = []
    for arm in range(3):
        shops = [(arm == ARM) & (s == UNITS % 15) for s in range(15)]
        arms.append(from_rows(["y", "z", "n"], [[REVENUE[s].sum(), COUNT[s].sum(), s.sum()] for s in shops if s.any()]))
    contrasts = [Contrast(RatioOutcome(c, "n"), a) for c in "zy" for a in (1, 2)]
    order = [(m, a) for m in ("orders_per_user", "revenue") for a in NAMES[1:]]
    want = max_t([found[k].p_value for k in order], range(4), contrast_correlation(arms, contrasts), 0.05)
    assert [found[k].p_adjusted for k in order] == pytest.approx(list(want.p_adjusted), abs=1e-5)
    assert {t.joint for t in found.values()} == {("orders_per_user", "revenue")}


def test_max_t_joins_what_has_no_cross_moments_by_bonferroni(run):
    """Another maturity: a block of its own. Quantiles and rare proportions: alone. With all metrics' rows in place."""
    metrics = ("revenue", "orders_per_user", "late_revenue", "median", "rare")
    readout = run({"primary": metrics}, {"method": "max_t"})
    found = by_row(readout)
    assert found["revenue", "blue"].joint == ("orders_per_user", "revenue")
    assert found["late_revenue", "blue"].joint == ("late_revenue",)
    assert found["median", "blue"].joint == ()
    assert found["rare", "blue"].joint == ()
    pair, block = dunnett_law(REVENUE), law_of(joint_correlation(("revenue", "orders_per_user")), two_sided=True)
    for test in found.values():
        p = test.p_value
        # Two quantile and two rare rows add p each, whether they could be computed or not.
        want = min(1.0, pair.smallest(p, (0, 1)) + block.smallest(p, range(4)) + 4 * p)
        assert test.p_adjusted == pytest.approx(want, abs=2e-5)
    assert_verdicts_follow(readout)


@pytest.mark.parametrize("method", ["dunnett", "max_t"])
def test_a_family_of_quantiles_falls_back_on_bonferroni(run, method):
    readout = run({"primary": ("median",)}, {"method": method})
    for test in by_row(readout).values():
        assert test.p_adjusted == pytest.approx(min(1.0, 2 * test.p_value))
        assert (test.procedure, test.joint) == (method, ())
    assert_verdicts_follow(readout)


@pytest.mark.parametrize("method", ["holm", "dunnett", "max_t"])
def test_guardrails_are_corrected_where_that_is_declared(run, method):
    """One-sided against relative margins: the joint law is that of arm - (1 + r) baseline."""
    margins = {"revenue": {"margin": "20%"}, "orders_per_user": {"margin": "5%"}}
    readout = run({"primary": ("buyers",), "guardrail": margins}, {"method": method}, "guardrail")
    found = by_row(readout, "guardrail", "non_inferiority")
    order = [(m, a) for m in sorted(margins) for a in NAMES[1:]]
    p = [found[k].p_value for k in order]
    if method == "holm":
        want = adjust(p, "holm", 0.025).p_adjusted
    else:
        factors = {"revenue": 0.8, "orders_per_user": 0.95}
        arms = arms_of(("revenue", REVENUE), ("orders_per_user", COUNT))
        contrasts = [Contrast(MeanOutcome(m), a, factor=factors[m]) for m in sorted(margins) for a in (1, 2)]
        correlation = contrast_correlation(arms, contrasts)
        if method == "dunnett":
            blocks = tuple(law_of(correlation[i : i + 2, i : i + 2], two_sided=False) for i in (0, 2))
            want = test_joint(Blocks(blocks), range(4), p, 0.025).p_adjusted
        else:
            want = max_t(p, range(4), correlation, 0.025, "greater").p_adjusted
    assert [found[k].p_adjusted for k in order] == pytest.approx(list(want), abs=1e-6)
    for row in readout.estimates:
        if row.role == "guardrail":
            test = row.test("non_inferiority")
            assert (row.verdict == "non_inferior") == test.rejected == (test.p_adjusted <= 0.025)


def test_max_t_turns_the_sign_of_what_should_fall(run):
    """Harm to one guardrail goes up, to the other down: what counts is how the harms go together."""
    fall = {"fewer_orders": {"type": "mean", "source": "orders", "agg": "count", "direction": "decrease"}}
    margins = {"revenue": {"margin": 5}, "fewer_orders": {"margin": 0.2}}
    readout = run({"primary": ("buyers",), "guardrail": margins}, {"method": "max_t"}, "guardrail", more=fall)
    found = by_row(readout, "guardrail", "non_inferiority")
    order = [(m, a) for m in sorted(margins) for a in NAMES[1:]]
    columns = {"fewer_orders": "orders_per_user", "revenue": "revenue"}
    contrasts = [Contrast(MeanOutcome(columns[m]), a) for m in sorted(margins) for a in (1, 2)]
    turned = contrast_correlation(arms_of(("revenue", REVENUE), ("orders_per_user", COUNT)), contrasts)
    turned[:2, 2:] *= -1
    turned[2:, :2] *= -1
    assert turned[0, 2] < -0.3
    want = max_t([found[k].p_value for k in order], range(4), turned, 0.025, "greater")
    assert [found[k].p_adjusted for k in order] == pytest.approx(list(want.p_adjusted), abs=1e-6)
    for row in readout.estimates:
        if row.role == "guardrail":  # absolute margins: an interval that agrees with the test
            margin, wide = margins[row.metric]["margin"], row.simultaneous
            inside = wide.lower > -margin if row.direction == "increase" else wide.upper < margin
            assert inside == row.test("non_inferiority").rejected


# --- what must not change -------------------------------------------------------------------------------------------

DECLARED = [
    "holm",
    "hommel",
    "by",
    {"method": "dunnett"},
    {"method": "max_t"},
    {"method": "fixed_sequence", "order": ["revenue", "buyers", "orders_per_user"]},
    {
        "method": "graph",
        "alpha": {"revenue": "50%", "buyers": "50%"},
        "edges": {"revenue": {"orders_per_user": "100%"}},
    },
]


@pytest.mark.parametrize("correction", DECLARED, ids=str)
def test_neither_order_nor_other_roles_change_an_adjusted_p(run, correction):
    first = ("revenue", "buyers", "orders_per_user")
    want = by_row(run({"primary": first}, correction))
    turned = by_row(run({"primary": first[::-1]}, correction))
    more = by_row(run({"primary": first, "secondary": ("order_value", "late_revenue")}, correction))
    assert want.keys() == turned.keys() == more.keys()
    for key, test in want.items():
        # An adjusted p may differ in its last digit where tests are summed in another order; the rest is exact.
        assert turned[key].p_value == more[key].p_value == test.p_value
        assert turned[key].p_adjusted == pytest.approx(test.p_adjusted, rel=1e-9)
        assert more[key].p_adjusted == pytest.approx(test.p_adjusted, rel=1e-9)
        assert test.p_adjusted >= test.p_value


names = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5, unique=True)
share = st.integers(0, 10)


@given(names, st.integers(1, 3), st.data())
def test_every_graph_over_arms_is_one_and_keeps_the_family_level(metrics, arms, data):
    """Weights and rows sum to at most 1 (Graph checks it), so p_adjusted >= p; what no arm's edges pass on reaches others."""
    whole = 10 * len(metrics)
    alpha = {m: f"{data.draw(share)}/{whole}" for m in metrics}
    edges = {m: {t: f"{data.draw(share)}/{whole}" for t in metrics if t != m} for m in metrics}
    order = data.draw(st.permutations(metrics))
    hypotheses = data.draw(st.permutations([(m, str(a)) for m in metrics for a in range(arms)]))
    p = dict(
        zip(
            hypotheses,
            data.draw(st.lists(st.floats(0, 1), min_size=len(hypotheses), max_size=len(hypotheses))),
            strict=True,
        )
    )
    for correction in (
        Correction(method="graph", alpha=alpha, edges=edges),
        Correction(method="fixed_sequence", order=tuple(order)),
    ):
        found = family_graph(correction, hypotheses)
        adjusted = test_graph(found, [p[h] for h in hypotheses], 0.05).p_adjusted
        assert all(a >= q for a, q in zip(adjusted, p.values(), strict=True))
        # The order in which hypotheses are listed means nothing.
        turned = hypotheses[::-1]
        again = test_graph(family_graph(correction, turned), [p[h] for h in turned], 0.05).p_adjusted
        assert list(again[::-1]) == pytest.approx(list(adjusted), rel=1e-9)
    if arms == 1:
        graph = family_graph(Correction(method="graph", alpha=alpha, edges=edges), hypotheses)
        order = [m for m, _ in hypotheses]
        assert graph.weights.tolist() == [float(Fraction(alpha[m])) for m in order]
        assert graph.transitions.tolist() == [[float(Fraction(edges[m].get(t, 0))) for t in order] for m in order]
        sequence = family_graph(Correction(method="fixed_sequence", order=tuple(metrics)), [(m, "0") for m in metrics])
        assert sequence.transitions.tolist() == fixed_sequence(range(len(metrics))).transitions.tolist()


@pytest.mark.thorough
def test_a_parallel_sequence_keeps_its_level():
    """Both arms without any effect, and one arm with effects throughout: never more than alpha of families err."""
    rng = np.random.default_rng(3)
    hypotheses = [(m, a) for m in "abc" for a in "xy"]
    graph = family_graph(Correction(method="fixed_sequence", order=("a", "b", "c")), hypotheses)
    for true_effects in (set(), {("a", "x"), ("b", "x"), ("c", "x")}, {("a", "y")}):
        errors, runs = 0, cases(1000, 4000)
        for _ in range(runs):
            p = [0.0 if h in true_effects else rng.random() for h in hypotheses]
            rejected = test_graph(graph, p, 0.2).rejected
            errors += any(r for h, r in zip(hypotheses, rejected, strict=True) if h not in true_effects)
        assert errors / runs <= 0.2 + 3 * np.sqrt(0.16 / runs)


# --- designs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["dunnett", "max_t"])
def test_a_ramp_is_joint(run, method):
    """Over arms, and by max-T over metrics too; one epoch has all units, so the law is that of plain arms."""
    ramp = [
        {"from": "2026-01-01", "shares": dict.fromkeys(NAMES, "1/3")},
        {"from": "2026-01-10", "shares": dict.fromkeys(NAMES, "1/3")},
    ]
    exposure = {"source": "assignments", "key": "test", "mixed": "first_arm"}
    readout = run({"primary": ("revenue", "orders_per_user")}, {"method": method}, ramp=ramp, exposure=exposure)
    found = by_row(readout)
    metrics = ("orders_per_user", "revenue")
    together = method == "max_t"
    assert {key[0]: test.joint for key, test in found.items()} == {m: metrics if together else (m,) for m in metrics}
    assert {r.estimator.name for r in readout.estimates} == {"stratified"}
    if together:
        order = [(m, a) for m in metrics for a in NAMES[1:]]
        want = max_t([found[k].p_value for k in order], range(4), joint_correlation(metrics), 0.05)
        assert [found[k].p_adjusted for k in order] == pytest.approx(list(want.p_adjusted), rel=1e-3)
    else:
        laws = [dunnett_law(VALUES[metric]) for metric in metrics]
        for test in found.values():
            assert test.p_adjusted == pytest.approx(
                min(1.0, sum(law.smallest(test.p_value, (0, 1)) for law in laws)), rel=1e-3
            )
    assert_verdicts_follow(readout)


def test_max_t_over_the_epochs_of_a_ramp(run):
    """Two epochs of other shares, from raw rows: w_k, effects and covariances within each."""
    late = UNITS % 3 == 0
    when = "CASE WHEN CAST(SUBSTR(user_id, 2) AS INTEGER) % 3 = 0 THEN happened_at ELSE TIMESTAMP '2026-01-01 12:00:00' END"
    source = {
        "table": None, "sql": f"SELECT * REPLACE ({when} AS happened_at) FROM assignments", "dialect": "duckdb",
    }  # fmt: skip
    ramp = [{"from": day, "shares": dict.fromkeys(NAMES, "1/3")} for day in ("2026-01-01", "2026-01-02")]
    exposure = {"source": "assignments", "key": "test", "mixed": "first_arm"}
    metrics = ("orders_per_user", "revenue")
    found = by_row(run({"primary": metrics}, {"method": "max_t"}, ramp=ramp, exposure=exposure, assignments=source))
    cov, effects, weights = np.zeros((4, 4)), [], []
    order = [(m, a) for m in metrics for a in (1, 2)]
    for epoch in (~late, late):
        cells = [[VALUES[m][(a == ARM) & epoch] for a in range(3)] for m in metrics]
        n = [len(x) for x in cells[0]]
        weights.append(sum(n) / N)
        arm = [np.cov(cells[0][a], cells[1][a]) / n[a] for a in range(3)]
        own = [
            [arm[0][i, j] + (arm[a][i, j] if a == b else 0) for j in (0, 1) for b in (1, 2)]
            for i in (0, 1)
            for a in (1, 2)
        ]
        cov += weights[-1] ** 2 * np.array(own)
        effects.append([cells[i][a].mean() - cells[i][0].mean() for i in (0, 1) for a in (1, 2)])
    off = np.array(effects) - np.array(weights) @ np.array(effects)
    cov += off.T * weights @ off / N
    correlation = cov / np.sqrt(np.outer(cov.diagonal(), cov.diagonal()))
    rows = [(m, NAMES[a]) for m, a in order]
    want = max_t([found[k].p_value for k in rows], range(4), correlation, 0.05)
    assert [found[k].p_adjusted for k in rows] == pytest.approx(list(want.p_adjusted), rel=1e-3)
    assert {t.joint for t in found.values()} == {metrics}


def test_a_metric_that_the_engine_refused_keeps_its_place(run, warehouse):
    """Holm over two metrics and two arms stays Holm over four."""
    run({"primary": ("revenue", "orders_per_user")}, "holm")
    project = Project(warehouse)
    as_of = datetime(2026, 3, 1, tzinfo=UTC)
    plan = build_plan(project.definitions, "test", as_of, without={"orders_per_user": "no such function"})
    query = render(plan, "duckdb", {})
    with duckdb.connect(str(warehouse / "warehouse.duckdb")) as connection:
        for statement in query.statements[:-1]:
            connection.execute(statement)
        readout = analyse(project.definitions, query, connection.sql(query.statements[-1]).to_arrow_table())
    rows = {(r.metric, r.arm): r for r in readout.estimates}
    assert rows["orders_per_user", "blue"].reason == "sql_refused"
    p = {a: rows["revenue", a].p_value for a in NAMES[1:]}
    want = adjust([*p.values(), None, None], "holm", 0.05).p_adjusted[:2]
    assert [rows["revenue", a].p_adjusted for a in p] == pytest.approx(list(want), rel=1e-12)
    assert readout.decision.recommendation == "hold"
