"""Rules of corrections and equivalence: each on a protocol that breaks it and nothing else, with the place it points at."""

import pytest
from projects import METRICS, PROJECT, SOURCES, experiment, write_definitions

from metricdef.definitions.load import load_project

THREE = {"primary": {name: {"mde": "2%"} for name in ("buyers", "revenue", "order_value")}}
ORDER = ["buyers", "revenue", "order_value"]
GRAPH = {
    "method": "graph",
    "alpha": {"buyers": "50%", "revenue": "50%"},
    "edges": {"buyers": {"order_value": "100%"}, "revenue": {"order_value": "1/2", "buyers": "1/2"}},
}


def found(root, correction=None, *, role="primary", settings=None, metrics=THREE, **changes):
    analysis = {"analysis": {"multiplicity": {role: correction}}} if correction else {}
    write_definitions(
        root,
        SOURCES,
        METRICS,
        experiment(metrics=metrics, **analysis, **changes),
        project={**PROJECT, **(settings or {})},
    )
    return load_project(root).diagnostics


def source_text(diagnostic):
    return diagnostic.place.text[diagnostic.place.column - 1 :]


@pytest.mark.parametrize(
    "correction",
    [
        "hommel",
        {"method": "fixed_sequence", "order": ORDER},
        GRAPH,
        {"method": "graph", "alpha": {"buyers": "1/3", "revenue": "1/3", "order_value": "1/3"}},
        {"method": "graph", "alpha": {"buyers": "100%"}, "edges": {"buyers": {"revenue": "100%"}, "revenue": {"order_value": "100%"}}},
        {"method": "dunnett"},
        "max_t",
    ],
    ids=str,
)  # fmt: skip
def test_what_is_right(tmp_path, correction):
    assert found(tmp_path, correction) == ()


def graph(**changes):
    return {**GRAPH, **changes}


@pytest.mark.parametrize(
    ("correction", "rule", "points_at"),
    [
        ({"method": "fixed_sequence"}, "fixed-sequence-needs-order", "method: fixed"),
        ({"method": "fixed_sequence", "order": [*ORDER, "refunds"]}, "unknown-metric", "refunds"),
        ({"method": "fixed_sequence", "order": ORDER[:2]}, "order-incomplete", "order:"),
        ({"method": "fixed_sequence", "order": [*ORDER, "revenue"]}, "order-repeats", "revenue"),
        ({"method": "hochberg", "order": ORDER}, "correction-keys", "method: hoch"),
        ({"method": "graph"}, "graph-needs-alpha", "method: graph"),
        (graph(alpha={"buyers": "0%"}), "graph-needs-alpha", "alpha:"),
        (graph(alpha={"buyers": "60%", "revenue": "50%"}), "graph-over-100", "alpha:"),
        (graph(alpha={"buyers": "50%", "revenue": "50%", "refunds": "0%"}), "unknown-metric", "refunds"),
        (graph(alpha={"buyers": "50%", "revenue": "40%"}), "graph-alpha-left", "alpha:"),
        (graph(edges={"buyers": {"order_value": "80%", "revenue": "30%"}}), "graph-over-100", "buyers:"),
        (graph(edges={"buyers": {"order_value": "50%", "buyers": "50%"}}), "graph-loop", "buyers: 50%"),
        (graph(edges={**GRAPH["edges"], "refunds": {"buyers": "100%"}}), "unknown-metric", "refunds"),
        (graph(edges={"buyers": {"order_value": "50%", "refunds": "50%"}}), "unknown-metric", "refunds"),
        (graph(edges={"buyers": {"revenue": "100%"}}), "graph-unreached", "alpha:"),
    ],
)
def test_a_correction_that_is_wrong(tmp_path, correction, rule, points_at):
    (diagnostic,) = found(tmp_path, correction)
    assert diagnostic.rule == rule
    assert source_text(diagnostic).startswith(points_at)
    assert (diagnostic.severity == "warning") == (rule == "graph-alpha-left")


def test_metrics_of_sets_count(tmp_path):
    sets = {"metric_sets": {"more": {"primary": {"order_value": {"mde": "2%"}}}}}
    metrics = {"primary": {n: {"mde": "2%"} for n in ORDER[:2]}, "sets": ["more"]}
    write_definitions(tmp_path, sets)
    path = tmp_path / "metrics" / "part_0.yml"
    text = path.read_text()
    assert found(tmp_path, {"method": "fixed_sequence", "order": ORDER}, metrics=metrics) != ()  # the set is not there
    (tmp_path / "metrics" / "sets.yml").write_text(text)
    assert found(tmp_path, {"method": "fixed_sequence", "order": ORDER}, metrics=metrics) == ()
    (diagnostic,) = found(tmp_path, {"method": "fixed_sequence", "order": ORDER[:2]}, metrics=metrics)
    assert (diagnostic.rule, "order_value" in diagnostic.message) == ("order-incomplete", True)


def test_an_unknown_set_is_reported_alone(tmp_path):
    metrics = {"primary": {"buyers": {"mde": "2%"}}, "sets": ["nowhere"]}
    assert [d.rule for d in found(tmp_path, {"method": "fixed_sequence", "order": ORDER}, metrics=metrics)] == [
        "unknown-set"
    ]


def test_a_correction_of_the_project(tmp_path):
    """It is held against the metrics of every experiment that it is for, and says where it stands."""
    settings = {
        "defaults": {
            "multiplicity": {
                "primary": {"method": "fixed_sequence", "order": ORDER[:2]},
                "guardrail": {"method": "graph"},
            }
        }
    }
    (diagnostic,) = found(tmp_path, settings=settings)
    assert (diagnostic.rule, diagnostic.place.file.rpartition("/")[2]) == ("order-incomplete", "project.yml")
    assert source_text(diagnostic).startswith("order:")
    assert found(tmp_path, "holm", settings=settings) == ()


@pytest.mark.parametrize(
    ("condition", "equivalences", "missing"),
    [
        ("any_equivalent", ("1%", None), False),
        ("any_equivalent", (None, None), True),
        ("all_equivalent", ("1%", None), True),
        ("all_equivalent", ("1%", "2%"), False),
    ],
)
def test_a_rule_that_asks_for_equivalence_needs_margins(tmp_path, condition, equivalences, missing):
    primary = {
        name: {"mde": "2%", **({"equivalence": size} if size else {})}
        for name, size in zip(("buyers", "revenue"), equivalences, strict=True)
    }
    diagnostics = found(tmp_path, metrics={"primary": primary}, decision={"ship": {"primary": condition}})
    assert [d.rule for d in diagnostics] == (["equivalence-missing"] if missing else [])
    for diagnostic in diagnostics:
        assert source_text(diagnostic).startswith(condition)
