"""A review as a document for other programs."""

from __future__ import annotations

from typing import Any

from metricdef.errors import Diagnostic, Place
from metricdef.review.records import Deviation, ExperimentEffect, Item, Key, MetricEffect, Review, singular

SCHEMA = "metricdef/plan/1"


def review_dict(review: Review) -> dict[str, Any]:
    """The document as plain data."""
    return {
        "schema": SCHEMA,
        "base": review.base,
        "class": review.change,
        "blocked": bool(review.blockers),
        "blockers": list(review.blockers),
        "notes": list(review.notes),
        "changes": [_item(item) for item in review.items],
        "metrics": [_metric(effect) for effect in review.metrics],
        "experiments": [_experiment(effect) for effect in review.experiments],
        "errors": [_error(found) for found in review.errors],
        "sql": [{"experiment": change.experiment, "diff": list(change.diff)} for change in review.sql],
        "lineage": [{"from": _key(up), "to": _key(down)} for up, down in review.edges],
    }


def _key(key: Key) -> dict[str, str]:
    return {"kind": singular(key[0]), "name": key[1]}


def _item(item: Item) -> dict[str, Any]:
    return {
        **_key(item.key),
        "class": item.change,
        "state": item.state,
        "was": item.was,
        "details": list(item.details),
        "why": item.why,
        "place": _place(item.place),
    }


def _place(place: Place | None) -> dict[str, Any] | None:
    return {"file": place.file, "line": place.line, "column": place.column} if place else None


def _error(found: Diagnostic) -> dict[str, Any]:
    return {"rule": found.rule, "message": found.message, "place": _place(found.place), "help": list(found.help)}


def _metric(effect: MetricEffect) -> dict[str, Any]:
    causes = [_key(cause) for cause in effect.causes]
    words = {"before": effect.before, "after": effect.after}
    return {"metric": effect.metric, "class": effect.change, "causes": causes, "sentence": words}


def _experiment(effect: ExperimentEffect) -> dict[str, Any]:
    return {
        "experiment": effect.experiment,
        "status": effect.status,
        "class": effect.change,
        "metrics": [{"metric": metric, "role": role} for metric, role in effect.metrics.items()],
        "whole": effect.whole,
        "causes": [_key(cause) for cause in effect.causes],
        "details": list(effect.details),
        "deviations": [_deviation(deviation) for deviation in effect.deviations],
    }


def _deviation(deviation: Deviation) -> dict[str, Any]:
    entry = None if deviation.is_covered else deviation.entry
    return {"what": deviation.what, "covered": deviation.is_covered, "amendment": deviation.amendment, "entry": entry}
