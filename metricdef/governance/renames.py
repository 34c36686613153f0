"""Metrics that have another name now: a protocol that names the old one says the same as one that names the new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metricdef.definitions.models import ROLES
from metricdef.governance.protocol import Tree


def renamed_tree(tree: Tree, names: Mapping[str, str]) -> Tree:
    """A protocol (see `read_protocol`) with the new names of metrics wherever it names one."""
    if not names:
        return tree
    found = dict(tree)
    if "experiment" in tree:
        found["experiment"] = _experiment(tree["experiment"], names)
    if "metrics" in tree:
        found["metrics"] = {names.get(m, m): _metric(metric, names) for m, metric in tree["metrics"].items()}
    return found


def _experiment(tree: Tree, names: Mapping[str, str]) -> Tree:
    found = dict(tree)
    if "metrics" in tree:
        found["metrics"] = {
            r: _keys(targets, names) if r in ROLES else targets for r, targets in tree["metrics"].items()
        }
    if "analysis" in tree:
        analysis = dict(tree["analysis"])
        if "covariates" in analysis:
            analysis["covariates"] = _covariates(analysis["covariates"], names)
        if "novelty" in analysis:
            analysis["novelty"] = sorted(_keys(analysis["novelty"], names))
        if "multiplicity" in analysis:
            analysis["multiplicity"] = {r: _correction(c, names) for r, c in analysis["multiplicity"].items()}
        found["analysis"] = analysis
    if "practical" in tree.get("decision", {}):
        found["decision"] = {**tree["decision"], "practical": _keys(tree["decision"]["practical"], names)}
    return found


def _metric(tree: Tree, names: Mapping[str, str]) -> Tree:
    found = dict(tree)
    for key in ("numerator", "denominator"):
        if isinstance(tree.get(key), str):
            found[key] = names.get(tree[key], tree[key])
    if "covariates" in tree:
        found["covariates"] = _covariates(tree["covariates"], names)
    return found


def _correction(tree: Any, names: Mapping[str, str]) -> Any:
    found = dict(tree)
    for key in ("order", "alpha", "edges"):
        if key in tree:
            found[key] = _keys(tree[key], names)
    if "edges" in found:
        found["edges"] = {one: _keys(to, names) for one, to in found["edges"].items()}
    return found


def _covariates(tree: Any, names: Mapping[str, str]) -> Any:
    return (
        {**tree, "extra": sorted(_keys(tree["extra"], names))} if isinstance(tree, dict) and "extra" in tree else tree
    )


def _keys(value: Any, names: Mapping[str, str]) -> Any:
    """Keys of a map or entries of a list by their new names."""
    if isinstance(value, dict):
        return {names.get(key, key): item for key, item in value.items()}
    return [names.get(item, item) for item in value] if isinstance(value, list) else value
