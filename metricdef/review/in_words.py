"""A readout that says in words what was declared: sentences of its metrics and of its protocol."""

from __future__ import annotations

from dataclasses import replace

from metricdef.analysis.readout import Readout
from metricdef.definitions.project import Project
from metricdef.review.experiment_sentences import experiment_topics
from metricdef.review.metric_sentences import metric_sentence


def with_words(readout: Readout, project: Project) -> Readout:
    """The readout whose `design` has `topics` of the protocol, and of each metric its `sentence`."""
    design = readout.design
    if design is None:
        return readout
    metrics = {
        name: {**declared, "sentence": metric_sentence(project, name, readout.experiment)}
        for name, declared in design["metrics"].items()
    }
    topics = {topic.name: topic.text for topic in experiment_topics(project, readout.experiment)}
    return replace(readout, design={**design, "topics": topics, "metrics": metrics})
