"""Amendments of the protocol, each beside the results that it touches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metricdef.analysis.readout import EstimateRow, Readout
from metricdef.reports.lines import visible


def of_everything(readout: Readout) -> Iterator[str]:
    """What touches all results, or one that isn't shown."""
    rows = _rows(readout)
    roles, metrics = {row.role for row in rows}, {row.metric for row in rows}
    for found in _all(readout):
        scope = found.get("scope") if isinstance(found, dict) else None
        if scope == "role" and found["role"] in roles:
            continue
        if scope == "metric" and set(found["metrics"]) <= metrics:
            continue
        yield _sentence(found)


def of_role(readout: Readout, role: str) -> Iterator[str]:
    """What touches all metrics of a role."""
    for found in _all(readout):
        if isinstance(found, dict) and found.get("scope") == "role" and found["role"] == role:
            yield _sentence(found)


def of_metric(readout: Readout, metric: str) -> Iterator[str]:
    """What touches a metric and not all of its role."""
    for found in _all(readout):
        if isinstance(found, dict) and found.get("scope") == "metric" and metric in found["metrics"]:
            yield _sentence(found)


def all_of(readout: Readout) -> Iterator[str]:
    """Every amendment, whatever it touches."""
    return map(_sentence, _all(readout))


def _all(readout: Readout) -> list[Any]:
    return list(readout.provenance.get("deviations") or ())


def _rows(readout: Readout) -> list[EstimateRow]:
    return [row for row in readout.estimates if row.segment is None]


def _sentence(found: Any) -> str:
    if not isinstance(found, dict):
        return f"Deviation from the protocol: {visible(found)}"
    who = ", ".join(visible(found[key]) for key in ("on", "by") if found.get(key))
    why = f" Reason: {visible(found['why'])}" if found.get("why") else ""
    return f"Deviation from the protocol ({who}): {visible(found.get('what', '')).rstrip('.')}.{why}"
