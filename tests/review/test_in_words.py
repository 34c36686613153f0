"""A readout's design in words."""

from metricdef.api import Project
from metricdef.review.experiment_sentences import experiment_topics
from metricdef.review.metric_sentences import metric_sentence
from tests.projects import METRICS, SOURCES, TABLES, experiment, write_definitions, write_warehouse


def test_a_readout_has_the_sentences_of_its_metrics_and_protocol(tmp_path):
    write_definitions(tmp_path, SOURCES, METRICS, experiment(decision={"practical": {"buyers": "1pp"}}))
    write_warehouse(tmp_path, *TABLES)
    project = Project(tmp_path)
    design = project.run("test", as_of="2026-03-01").design
    assert design["metrics"]["buyers"]["sentence"] == metric_sentence(project.definitions, "buyers", "test")
    assert design["topics"] == {t.name: t.text for t in experiment_topics(project.definitions, "test")}
    assert design["metrics"]["buyers"]["sizes"] == {
        "mde": {"text": "2%", "kind": "relative", "value": 0.02},
        "practical": {"text": "1pp", "kind": "points", "value": 0.01},
    }
    assert design["metrics"]["order_value"]["windows"] == ["experiment"]
    assert list(design["metrics"]) == ["buyers", "revenue", "order_value"]
