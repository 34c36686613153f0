"""One family of tests by one procedure: which adjusted p it gives, and which interval goes with the decision.

An interval beside an adjusted decision is of one of four kinds, and every hypothesis says which:

- simultaneous: all such intervals cover at once with 1 - alpha, and this one excludes the null exactly when the
  hypothesis is rejected;
- compatible: a one-sided bound of the same step-wise test (it is the null itself for most rejected hypotheses);
- fcr: among the selected ones the expected share of intervals that miss is at most alpha;
- marginal: covers by itself only, and may contradict the adjusted decision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

import numpy as np

from metricdef.stats.graph import Graph, GraphResult, fixed_sequence, holm, test_graph
from metricdef.stats.joint import Alternative, Law, check_alternative, normal_p, test_joint
from metricdef.stats.multiplicity import Method, adjust
from metricdef.stats.product_law import quantile
from metricdef.stats.tails import finite, t_tail

FamilyMethod = Literal[Method, "graph", "dunnett", "max_t"]
PKind = Literal["unadjusted", "single_step", "step_down", "step_up", "closed", "false_discovery_rate", "graph"]
IntervalKind = Literal["simultaneous", "compatible", "fcr", "marginal"]
Form = Literal["limits", "null", "beyond_null"]

P_KINDS: Mapping[FamilyMethod, PKind] = {
    "none": "unadjusted",
    "bonferroni": "single_step",
    "holm": "step_down",
    "hochberg": "step_up",
    "hommel": "closed",
    "bh": "false_discovery_rate",
    "by": "false_discovery_rate",
    "fixed_sequence": "step_down",
    "graph": "graph",
    "dunnett": "single_step",
    "max_t": "single_step",
}


@dataclass(frozen=True, slots=True)
class Procedure:
    """A method with what it needs beside the p-values.

    Attributes:
        method: Any of `multiplicity.Method`, "graph", "dunnett" or "max_t".
        weights: Relative importance, for bonferroni and holm.
        order: Positions in the order of testing, for fixed_sequence.
        graph: For graph.
        law: Joint law of the hypotheses `members`, for dunnett and max_t (`ProductLaw`, `NormalLaw`, `Blocks`).
        members: Positions of the law's hypotheses; the others join by Bonferroni.
        step_down: For dunnett and max_t.
    """

    method: FamilyMethod
    weights: tuple[float, ...] | None = None
    order: tuple[int, ...] | None = None
    graph: Graph | None = None
    law: Law | None = None
    members: tuple[int, ...] = field(default_factory=tuple)
    step_down: bool = False


@dataclass(frozen=True, slots=True)
class IntervalRule:
    """How to make the interval of one hypothesis.

    Attributes:
        kind: Which promise it keeps.
        level: 1 - its confidence: two-sided for a two-sided family, else of the one bound; None or 0: no finite limit.
        form: "limits": the limits at that level; "null": the bound is the null; "beyond_null": the limit, but not
            short of the null.
    """

    kind: IntervalKind
    level: float | None
    form: Form = "limits"


@dataclass(frozen=True, slots=True)
class FamilyResult:
    """Adjusted p, decision and interval rule of every hypothesis, in the order given."""

    method: FamilyMethod
    alternative: Alternative
    alpha: float
    size: int
    p_kind: PKind
    p_adjusted: tuple[float | None, ...]
    rejected: tuple[bool, ...]
    intervals: tuple[IntervalRule, ...]


def test_family(
    p_values: Sequence[float | None], procedure: Procedure, alpha: float, alternative: Alternative = "two-sided"
) -> FamilyResult:
    """Test a family and say which interval agrees with each decision.

    Single-step procedures (bonferroni, dunnett, max_t) have simultaneous intervals at their local levels. One-sided
    holm, fixed_sequence and graph have compatible bounds (`bound_rules`). Every other step-wise procedure
    rejects at least what its single step does (for holm, hochberg, hommel and graph: weighted Bonferroni): the
    simultaneous interval of the single step stands where it agrees with the decision; where only stepping rejects,
    the interval is marginal. There is no two-sided bound compatible with holm. bh and by: false coverage rate
    intervals at level alpha R / m (by: over sum 1 / j) for the R rejected; marginal for the others.
    Benjamini & Yekutieli (2005); Strassburger & Bretz (2008); Guilbaud (2008).

    Args:
        p_values: One per hypothesis, of the stated alternative; None where it could not be computed.
        procedure: The declared procedure.
        alpha: Level of the family.
        alternative: Common to all hypotheses.

    Raises:
        ValueError: as the procedures; a procedure without its graph or law, or with what it doesn't take.
    """
    check_alternative(alternative)
    _check(procedure)
    m = len(p_values)
    if m == 0:
        return FamilyResult(procedure.method, alternative, alpha, 0, _p_kind(procedure), (), (), ())
    graph = _as_graph(procedure, m)
    if procedure.law is not None:
        if procedure.law.two_sided != (alternative == "two-sided"):
            raise ValueError(f"the law is of {'two' if procedure.law.two_sided else 'one'}-sided p-values")
        joint = test_joint(procedure.law, procedure.members, p_values, alpha, step_down=procedure.step_down)
        p_adjusted, rejected = joint.p_adjusted, joint.rejected
        rules = _single_step(p_values, rejected, [joint.local_alpha] * m, alpha)
    elif graph is not None:
        tested = test_graph(graph, p_values, alpha)
        p_adjusted, rejected = tested.p_adjusted, tested.rejected
        if alternative == "two-sided":
            rules = _single_step(p_values, rejected, (alpha * graph.weights).tolist(), alpha)
        else:
            rules = bound_rules(graph, tested)
    else:
        p_adjusted, rejected, rules = _by_p_values(p_values, procedure, alpha)
    return FamilyResult(procedure.method, alternative, alpha, m, _p_kind(procedure), p_adjusted, rejected, rules)


test_family.__test__ = False  # type: ignore[attr-defined]  # pytest must not collect it


def _by_p_values(
    p_values: Sequence[float | None], procedure: Procedure, alpha: float
) -> tuple[tuple[float | None, ...], tuple[bool, ...], tuple[IntervalRule, ...]]:
    """The procedures that neither pass weights on nor have a joint law."""
    method, m = procedure.method, len(p_values)
    if method not in get_args(Method):
        raise ValueError(f"unknown method {method!r}")
    adjusted = adjust(p_values, cast("Method", method), alpha, weights=procedure.weights)
    if method == "none":
        rules = tuple(IntervalRule("simultaneous" if m == 1 else "marginal", alpha) for _ in p_values)
    elif method in ("bh", "by"):
        rules = fcr_rules(adjusted.rejected, alpha, any_dependence=method == "by")
    else:
        weights = np.ones(m) if procedure.weights is None else np.array(procedure.weights, dtype=np.float64)
        rules = _single_step(p_values, adjusted.rejected, (alpha * weights / weights.sum()).tolist(), alpha)
    return adjusted.p_adjusted, adjusted.rejected, rules


def _check(procedure: Procedure) -> None:
    if procedure.method not in P_KINDS:
        raise ValueError(f"unknown method {procedure.method!r}")
    joint = procedure.method in ("dunnett", "max_t")
    for what, given, wanted in (
        ("a graph", procedure.graph is not None, procedure.method == "graph"),
        ("a law", procedure.law is not None, joint),
    ):
        if given != wanted:
            raise ValueError(f"{procedure.method} {'needs' if wanted else 'takes no'} {what.removeprefix('a ')}")
    if procedure.step_down and not joint:
        raise ValueError(f"{procedure.method} has no step-down variant")
    if procedure.method not in ("bonferroni", "holm") and procedure.weights is not None:
        raise ValueError(f"{procedure.method} takes no weights")
    if procedure.method != "fixed_sequence" and procedure.order is not None:
        raise ValueError(f"{procedure.method} takes no order")


def _p_kind(procedure: Procedure) -> PKind:
    return "step_down" if procedure.step_down else P_KINDS[procedure.method]


def _as_graph(procedure: Procedure, m: int) -> Graph | None:
    """The graph that the procedure is, if it is one that passes weights on."""
    if procedure.method == "holm":
        return holm(procedure.weights or [1.0] * m)
    if procedure.method == "fixed_sequence":
        return fixed_sequence(procedure.order or range(m))
    return procedure.graph


def _single_step(
    p_values: Sequence[float | None], rejected: Sequence[bool], levels: Sequence[float], alpha: float
) -> tuple[IntervalRule, ...]:
    """The single step's interval where it excludes the null exactly when the hypothesis is rejected."""
    return tuple(
        IntervalRule("simultaneous", level)
        if level > 0 and (p is None or (p <= level) == decision)
        else IntervalRule("marginal", alpha)
        for p, decision, level in zip(p_values, rejected, levels, strict=True)
    )


def bound_rules(graph: Graph, tested: GraphResult) -> tuple[IntervalRule, ...]:
    """One-sided simultaneous bounds compatible with a graph: a bound lies beyond the null only if it is rejected.

    Not rejected: the limit at level alpha w_i of the final graph. Rejected, while another one is not: the null.
    All rejected: the limit at level alpha w_i of the initial graph, but not short of the null. A weight of 0 gives
    no limit. Strassburger & Bretz (2008); Guilbaud (2008).
    """
    everything = all(tested.rejected)

    def rule(i: int) -> IntervalRule:
        if everything:
            return IntervalRule("compatible", tested.alpha * float(graph.weights[i]), "beyond_null")
        if tested.rejected[i]:
            return IntervalRule("compatible", None, "null")
        return IntervalRule("compatible", tested.alpha * float(tested.final.weights[i]))

    return tuple(rule(i) for i in range(graph.size))


def fcr_rules(selected: Sequence[bool], q: float, *, any_dependence: bool = False) -> tuple[IntervalRule, ...]:
    """False coverage rate: intervals of the R selected of m at level q R / m, so that at most q of them miss.

    Holds under independence and positive dependence (PRDS) for bh and similar selections; `any_dependence` divides
    by sum 1 / j, as by does. The interval of a bh-selected hypothesis excludes the null. Others: marginal at q.
    Benjamini & Yekutieli (2005).
    """
    m = len(selected)
    factor = math.fsum(1 / j for j in range(1, m + 1)) if any_dependence else 1.0
    level = q * sum(selected) / (m * factor) if m else q
    return tuple(IntervalRule("fcr", level) if chosen else IntervalRule("marginal", q) for chosen in selected)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of an interval; None is infinite."""

    lower: float | None
    upper: float | None


def limits(
    rule: IntervalRule,
    estimate: float,
    std_error: float,
    df: float | None,
    alternative: Alternative = "two-sided",
    null: float = 0.0,
) -> Limits:
    """The interval of a rule: estimate -+ q std_error, q Student's quantile at its level (normal if `df` is None).

    None is infinite: always on the open side of a one-sided bound, and where the level is 0.

    Args:
        rule: Of `test_family`, `bound_rules` or `fcr_rules`.
        estimate: The effect.
        std_error: Its standard error, above 0.
        df: Degrees of freedom.
        alternative: Of the family; "greater" has a lower bound, "less" an upper one.
        null: The value tested, where a compatible bound may stop.
    """
    check_alternative(alternative)
    finite(estimate=estimate, std_error=std_error, null=null)
    if not std_error > 0:
        raise ValueError(f"a standard error must be above 0: {std_error}")
    if rule.level is not None and not 0 <= rule.level < 1:
        raise ValueError(f"the level of an interval lies in [0, 1): {rule.level}")
    if rule.form != "limits" and alternative == "two-sided":
        raise ValueError("a compatible bound is one-sided")
    side = -1.0 if alternative == "less" else 1.0  # turned so that the bound is a lower one
    bound = None
    if rule.form != "null" and rule.level:
        half = quantile(rule.level, df, two_sided=alternative == "two-sided") * std_error
        if alternative == "two-sided":
            return Limits(estimate - half, estimate + half)
        bound = side * estimate - half
    if rule.form != "limits":
        bound = side * null if bound is None else max(side * null, bound)
    if bound is None:
        return Limits(None, None)
    return Limits(bound, None) if alternative == "greater" else Limits(None, side * bound)


@dataclass(frozen=True, slots=True)
class CompatibleBounds:
    """Decisions of a graph with their simultaneous one-sided bounds; None is infinite."""

    p_values: tuple[float, ...]
    p_adjusted: tuple[float | None, ...]
    rejected: tuple[bool, ...]
    bounds: tuple[float | None, ...]


def compatible_bounds(
    estimates: Sequence[float],
    std_errors: Sequence[float],
    graph: Graph,
    alpha: float,
    alternative: Alternative = "greater",
    null: float = 0.0,
    dfs: Sequence[float | None] | None = None,
) -> CompatibleBounds:
    """Test estimates one-sidedly on a graph, with simultaneous bounds that agree: see `bound_rules`.

    Strassburger & Bretz (2008); Guilbaud (2008).

    Args:
        estimates: One per hypothesis.
        std_errors: Their standard errors, above 0.
        graph: `graph.holm`, `graph.fixed_sequence`, `graph.bonferroni`, or another.
        alpha: One-sided level of the family.
        alternative: "greater" or "less".
        null: The value tested, of all hypotheses.
        dfs: Degrees of freedom of each; None: normal.
    """
    if alternative not in ("greater", "less"):
        raise ValueError(f"compatible bounds are one-sided: {alternative!r}")
    dfs = [None] * len(estimates) if dfs is None else dfs
    if not all(0 < se < math.inf for se in std_errors):
        raise ValueError(f"standard errors must be above 0 and finite: {list(std_errors)}")
    p_values = tuple(
        _one_sided((e - null) / se, df, alternative) for e, se, df in zip(estimates, std_errors, dfs, strict=True)
    )
    tested = test_graph(graph, p_values, alpha)
    found = [
        limits(rule, e, se, df, alternative, null)
        for rule, e, se, df in zip(bound_rules(graph, tested), estimates, std_errors, dfs, strict=True)
    ]
    bounds = tuple(each.lower if alternative == "greater" else each.upper for each in found)
    return CompatibleBounds(p_values, tested.p_adjusted, tested.rejected, bounds)


def _one_sided(statistic: float, df: float | None, alternative: Alternative) -> float:
    if df is None:
        return normal_p(statistic, alternative)
    return t_tail(statistic if alternative == "greater" else -statistic, df)
