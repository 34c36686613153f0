"""Declared sensitivity analyses are what a main analysis with that choice gives."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from looks import DAYS, World, row
from projects import SOURCES, TABLES, experiment, write_definitions, write_warehouse

from metricdef.api import Project
from metricdef.errors import DefinitionErrors
from metricdef.reports.text import render_text

FILL = (
    """INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN hash(i) % 3 = 0 THEN 'control' ELSE 'treatment' END,
    TIMESTAMP '2026-01-01' + INTERVAL (i % 20 * 25) HOUR, CASE WHEN hash(i * 7) % 2 = 0 THEN 'web' ELSE 'app' END FROM range(600) AS t(i)""",
    """INSERT INTO orders SELECT 'u' || (hash(i) % 600), TIMESTAMP '2025-12-20' + INTERVAL (i) HOUR,
    CASE WHEN hash(i * 3) % 50 = 0 THEN 300 ELSE hash(i * 5) % 9 + 1 END, 'p', 'paid' FROM range(1500) AS t(i)""",
)
METRICS = {
    "metrics": {
        "revenue": {"type": "mean", "source": "orders", "agg": "sum", "measure": "amount", "window": "14d", "cap": {"upper": 100}, "direction": "increase"},
        "orders_per_user": {"type": "mean", "source": "orders", "agg": "count", "window": "14d", "direction": "increase"},
        "order_value": {"type": "ratio", "numerator": "revenue", "denominator": "orders_per_user", "direction": "increase"},
        "middle": {"type": "quantile", "source": "orders", "agg": "sum", "measure": "amount", "quantile": "p75", "missing": "zero", "window": "14d", "direction": "increase"},
    }
}  # fmt: skip
ROLES = {
    "primary": {"revenue": {"mde": "2%"}, "orders_per_user": {"mde": "2%"}},
    "secondary": dict.fromkeys(["order_value", "middle"]),
}
FULL = {"covariates": {"lookback": "14d"}, "strata": ["platform"], "multiplicity": {"primary": "max_t"}}
END = "2026-03-15"


def run(root, analysis, metrics=METRICS, **more):
    root.mkdir(exist_ok=True)
    content = experiment(metrics=ROLES, **more)
    content["experiments"]["test"]["analysis"] = analysis
    write_definitions(root, SOURCES, metrics, content)
    return Project(root).run("test", as_of=END)


@pytest.fixture
def root(tmp_path):
    write_warehouse(tmp_path, *TABLES, *FILL)
    return tmp_path


def figures(readout):
    return {
        (r.metric, r.arm): (r.units, r.absolute, r.p_value, r.verdict) for r in readout.estimates if r.segment is None
    }


def assert_same(readout, name, other, concerned):
    entries = [e for e in readout.sensitivity if e["analysis"] == name]
    assert {e["metric"] for e in entries} == concerned
    main, want = figures(readout), figures(other)
    for entry in entries:
        units, absolute, p_value, verdict = want[entry["metric"], entry["arm"]]
        assert tuple(entry["units"]) == tuple(units)
        for key in ("estimate", "std_error", "lower", "upper"):
            assert entry["absolute"][key] == pytest.approx(getattr(absolute, key), rel=1e-9)
        assert entry["p_value"] == pytest.approx(p_value, rel=1e-9)
        assert entry["verdict"] == verdict
        assert entry["agrees"] == (verdict == main[entry["metric"], entry["arm"]][3])


@pytest.mark.parametrize("correction", ["max_t", "holm"])
def test_without_adjustment(root, correction):
    full = {**FULL, "multiplicity": {"primary": correction}}
    found = run(root, {**full, "sensitivity": ["unadjusted"]})
    other = run(root, {"multiplicity": {"primary": correction}})
    assert_same(found, "unadjusted", other, {"revenue", "orders_per_user", "order_value"})
    assert figures(found) == figures(run(root, full))  # the main analysis does not change


@pytest.mark.parametrize("correction", ["max_t", "holm"])
def test_without_caps(root, correction):
    full = {**FULL, "multiplicity": {"primary": correction}}
    found = run(root, {**full, "sensitivity": ["uncapped"]})
    plain = {k: v for k, v in METRICS["metrics"]["revenue"].items() if k != "cap"}
    # Covariates are the same per-unit value before exposure, so the other definition caps them alone.
    other = run(root, full, {"metrics": {**METRICS["metrics"], "revenue": plain}})
    entries = {e["metric"]: e for e in found.sensitivity}
    assert set(entries) == {"revenue", "order_value"}
    unadjusted = run(root, {"sensitivity": ["uncapped"], "multiplicity": {"primary": correction}})
    bare = run(root, {"multiplicity": {"primary": correction}}, {"metrics": {**METRICS["metrics"], "revenue": plain}})
    assert_same(unadjusted, "uncapped", bare, {"revenue", "order_value"})
    assert entries["revenue"]["absolute"]["estimate"] == pytest.approx(
        figures(other)["revenue", "treatment"][1].estimate, rel=0.2
    )
    assert figures(found) == figures(run(root, full))


@pytest.mark.parametrize("extra", [{}, {"breakdowns": ["platform"]}])
def test_without_the_first_week(root, extra):
    full = {**{k: v for k, v in FULL.items() if k != "multiplicity"}, **extra}
    found = run(root, {**full, "sensitivity": ["exclude_first_week"]})
    before = figures(run(root, full))
    for key, (units, absolute, p_value, verdict) in figures(found).items():
        assert (units, p_value, verdict) == (before[key][0], pytest.approx(before[key][2], rel=1e-9), before[key][3])
        assert absolute.estimate == pytest.approx(before[key][1].estimate, rel=1e-9)
    assert len([r for r in found.estimates if r.segment]) == (2 * 4 if extra else 0)
    write_warehouse(
        root,
        "DELETE FROM assignments WHERE user_id IN (SELECT user_id FROM assignments GROUP BY 1 HAVING MIN(happened_at) < '2026-01-08')",
    )
    assert_same(found, "exclude_first_week", run(root, full), {"revenue", "orders_per_user", "order_value"})


def test_the_text_says_whether_they_agree(root):
    found = run(root, {**FULL, "sensitivity": ["unadjusted", "uncapped", "exclude_first_week"]})
    text = " ".join(render_text(found, 100, color=False).split())
    for words in ("without covariates and strata", "without caps", "without the units of the first week"):
        assert f"Sensitivity, {words}:" in text
    again = run(root, {**FULL, "sensitivity": "uncapped"})
    assert {e["analysis"] for e in again.sensitivity} == {"uncapped"}


def test_unknown_names_are_refused(root):
    with pytest.raises(DefinitionErrors) as caught:
        run(root, {"sensitivity": ["uncaped"]})
    assert "uncapped" in str(caught.value.diagnostics[0])


def test_at_looks_each_analysis_has_looks_of_its_own(tmp_path):
    """At every look it is what the main analysis with that choice gives, over its own looks."""
    declared = {"sensitivity": ["unadjusted", "uncapped"], "multiplicity": {"secondary": "none"}}
    world = World(n=1600)
    looks = world.write(tmp_path, primary="adjusted", analysis=declared)
    whole = [looks.run(day) for day in DAYS]
    assert {r.analysis for r in looks.history[-1].results} == {"", "unadjusted", "uncapped"}
    plain = world.write(tmp_path, primary="orders_per_user", secondary=())
    for found, other in zip(whole, [plain.run(day) for day in DAYS], strict=True):
        (entry,) = [e for e in found.sensitivity if e["analysis"] == "unadjusted"]
        want = row(other, "orders_per_user")
        assert (entry["metric"], entry["verdict"]) == ("adjusted", want.verdict)
        assert entry["p_value"] == want.p_value
        assert entry["absolute"] == asdict(want.absolute)
    (capped,) = [e for e in whole[-1].sensitivity if e["analysis"] == "uncapped"]
    assert capped["metric"] == "revenue"
    assert capped["p_value"] != row(whole[-1], "revenue").p_value
    # A look that was recorded without the analysis is one that it did not have.
    main_only = [replace(r, results=tuple(x for x in r.results if not x.analysis)) for r in looks.history[:3]]
    looks = world.write(tmp_path, primary="adjusted", analysis=declared)
    looks.history = main_only
    last = looks.run(DAYS[3])
    (late,) = [e for e in last.sensitivity if e["analysis"] == "unadjusted"]
    test = row(last, "adjusted").test("superiority")
    assert test.p_value == row(whole[-1], "adjusted").p_value
    assert (
        late["absolute"]["lower"]
        > whole[-1].sensitivity[0]["absolute"]["estimate"] - 1.97 * late["absolute"]["std_error"]
    )
