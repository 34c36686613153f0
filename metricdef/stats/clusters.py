"""Cluster-randomised experiments: clusters are the units, whatever was measured inside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from metricdef.errors import NotComputable
from metricdef.stats.adjustment import MeanOutcome, Outcome, RatioOutcome, choose, unadjusted
from metricdef.stats.effects import ArmEstimates
from metricdef.stats.moments import SecondMoments

FEWEST_CLUSTERS = 4
FEW_CLUSTERS = 10


@dataclass(frozen=True, slots=True)
class PerUnit:
    """The effect on a unit: sum of cluster totals over sum of cluster sizes (or denominators). Large clusters count more."""

    total: str
    size: str


@dataclass(frozen=True, slots=True)
class PerCluster:
    """The effect on a cluster: the mean of a column with one value a cluster, such as its mean. Clusters count alike."""

    mean: str


def cluster_estimates(
    arms: Sequence[SecondMoments], effect: PerUnit | PerCluster, covariates: Sequence[str] = ()
) -> ArmEstimates:
    """Arm estimates from moments over clusters; df come from the number of clusters.

    Per unit: the ratio sum(total) / sum(size) with its delta-method variance over clusters, which is the
    cluster-robust variance of the row mean (CR1 within the arm). Per cluster: the mean of cluster means. The two are
    different estimands when size and outcome are related. Covariates are columns of clusters; the estimator is chosen
    as for units (`choose`). Donner & Klar (2000); Cameron & Miller (2015).

    An arm with fewer than 4 clusters has no estimate: a comparison with it raises `too_few_clusters`. If there is such
    an arm nothing is adjusted, since the covariates' common mean would rest on it.

    Args:
        arms: Moments per arm over clusters (n = clusters), baseline first.
        effect: Which effect.
        covariates: Pre-treatment columns.

    Raises:
        NotComputable: `zero_denominator`.
    """
    outcome: Outcome = (
        MeanOutcome(effect.mean) if isinstance(effect, PerCluster) else RatioOutcome(effect.total, effect.size)
    )
    refused = {a: reason for a, arm in enumerate(arms) if (reason := too_few_clusters(arm.n)) is not None}
    if not refused:
        return choose(arms, outcome, covariates)
    est = unadjusted(arms, outcome)
    df = np.array(est.arm_df)
    df[list(refused)] = 0.0
    return replace(est, arm_df=df, refused=refused)


def too_few_clusters(count: int) -> NotComputable | None:
    """Why an arm with so many clusters has no estimate; None from 4 on."""
    if count >= FEWEST_CLUSTERS:
        return None
    return NotComputable("too_few_clusters", f"an arm needs at least {FEWEST_CLUSTERS} clusters, this one has {count}")


def cluster_guards(arm: SecondMoments, baseline: SecondMoments) -> tuple[str, ...]:
    """("few-clusters",) when an arm has fewer than 10 clusters: t on so few is weak and leans on normality.

    The cluster-robust variance itself is then unstable. Cameron & Miller (2015).
    """
    return ("few-clusters",) if min(arm.n, baseline.n) < FEW_CLUSTERS else ()
