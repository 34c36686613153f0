"""From a declared correction to the procedure over a role's hypotheses, metric x arm (docs/adr/0009)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from metricdef.analysis.readout import EstimateRow, TestRow
from metricdef.definitions.models import Correction
from metricdef.stats.family import FamilyResult, IntervalRule, Procedure, test_family
from metricdef.stats.graph import Graph

if TYPE_CHECKING:
    from metricdef.analysis.evidence import Evidence

NAMES = {
    "bonferroni": "Bonferroni", "holm": "Holm", "hochberg": "Hochberg", "hommel": "Hommel", "bh": "Benjamini-Hochberg",
    "by": "Benjamini-Yekutieli", "fixed_sequence": "fixed sequence", "graph": "graph", "dunnett": "Dunnett", "max_t": "max-T",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tested:
    """One hypothesis of a tested family."""

    p_adjusted: float | None
    rejected: bool
    interval: IntervalRule
    local_alpha: float
    joint: tuple[str, ...] | None


def run_family(
    rows: Sequence[EstimateRow],
    tests: Sequence[TestRow | None],
    correction: Correction,
    alpha: float,
    evidence: Evidence | None,
) -> list[Tested]:
    """Test one family: a row without a test keeps its place, is never rejected and passes nothing on.

    Args:
        rows: Every declared metric x arm of the family.
        tests: The test of each row; None where it could not be computed.
        correction: As declared.
        alpha: Level of the family: two-sided for two-sided tests, else one-sided.
        evidence: What Dunnett and max-T read the dependence from; None: they fall back on Bonferroni.
    """
    two_sided = any(test is not None and test.sidedness == "two-sided" for test in tests)
    procedure, joint = _procedure(rows, tests, correction, evidence)
    # One-sided tests have p in the direction of their own alternative, so that they may stand together.
    result = test_family(
        [test.p_value if test else None for test in tests], procedure, alpha, "two-sided" if two_sided else "greater"
    )
    local = _local_alphas(procedure, result, alpha)
    return [
        Tested(p, rejected, rule, level, metrics)
        for p, rejected, rule, level, metrics in zip(
            result.p_adjusted, result.rejected, result.intervals, local, joint, strict=True
        )
    ]


def _procedure(
    rows: Sequence[EstimateRow], tests: Sequence[TestRow | None], correction: Correction, evidence: Evidence | None
) -> tuple[Procedure, list[tuple[str, ...] | None]]:
    joint: list[tuple[str, ...] | None] = [None] * len(rows)
    if correction.method in ("fixed_sequence", "graph"):
        return Procedure("graph", graph=family_graph(correction, [(row.metric, row.arm) for row in rows])), joint
    if correction.method not in ("dunnett", "max_t"):
        return Procedure(correction.method), joint
    joint = [None if test is None else () for test in tests]
    found = evidence.law(rows, tests, across=correction.method == "max_t") if evidence else None
    if found is None:
        return Procedure("bonferroni"), joint
    for i, metrics in zip(found.members, found.joint, strict=True):
        joint[i] = metrics
    return Procedure(correction.method, law=found.law, members=found.members), joint


def family_graph(correction: Correction, hypotheses: Sequence[tuple[str, str]]) -> Graph:
    """The graph over metric x arm that a fixed sequence or graph over metrics stands for.

    Every arm has a copy of the graph with an equal share of alpha. What a metric's edges leave over (all of it, at the end of
    a sequence) goes, in equal parts, to the other arms, there as alpha is first shared out. With one arm it is the
    declared graph; for one metric it is Holm over arms. Any dependence. Bretz, Maurer, Brannath & Posch (2009).

    Args:
        correction: A fixed_sequence or graph; metrics of the family that it does not name have weight 0, and names
            that are not of the family are passed over.
        hypotheses: (metric, arm) in the order of the p-values.
    """
    metrics = list(dict.fromkeys(metric for metric, _ in hypotheses))
    arms = list(dict.fromkeys(arm for _, arm in hypotheses))
    weights, edges = _over_metrics(correction, metrics)
    left = np.maximum(0.0, 1.0 - edges.sum(axis=1))
    total = math.fsum(weights)
    start = weights / total if total > 0 else weights
    at = [(metrics.index(metric), arms.index(arm)) for metric, arm in hypotheses]
    m = len(at)
    transitions = np.zeros((m, m))
    for i, (metric, arm) in enumerate(at):
        for j, (other, where) in enumerate(at):
            if where == arm:
                transitions[i, j] = edges[metric, other]
            else:
                transitions[i, j] = left[metric] * start[other] / (len(arms) - 1)
    return Graph(np.array([weights[metric] / len(arms) for metric, _ in at]), transitions)


def _over_metrics(correction: Correction, metrics: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    weights, edges = np.zeros(len(metrics)), np.zeros((len(metrics), len(metrics)))
    if correction.method == "fixed_sequence":
        order = [metrics.index(name) for name in correction.order if name in metrics]
        weights[order[:1]] = 1.0
        for here, following in pairwise(order):
            edges[here, following] = 1.0
        return weights, edges
    for name, share in (correction.alpha or {}).items():
        if name in metrics:
            weights[metrics.index(name)] = float(share)
    for name, targets in (correction.edges or {}).items():
        for target, share in targets.items():
            if name in metrics and target in metrics:
                edges[metrics.index(name), metrics.index(target)] = float(share)
    return weights, edges


def _local_alphas(procedure: Procedure, result: FamilyResult, alpha: float) -> list[float]:
    """Per hypothesis the level at which it is rejected whatever the others' p: what a planned power is good for."""
    m = result.size
    if procedure.method == "none":
        return [alpha] * m
    if procedure.graph is not None:
        return [alpha * float(w) for w in procedure.graph.weights]
    if procedure.law is not None:
        return [alpha if rule.level is None else rule.level for rule in result.intervals]
    factor = math.fsum(1 / j for j in range(1, m + 1)) if procedure.method == "by" else 1.0
    return [alpha / (m * factor)] * m
