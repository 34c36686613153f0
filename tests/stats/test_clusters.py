from __future__ import annotations

import numpy as np
import pytest

from metricdef.errors import NotComputable
from metricdef.stats.adjustment import lin_ratio
from metricdef.stats.clusters import PerCluster, PerUnit, cluster_estimates, cluster_guards
from metricdef.stats.effects import ArmEstimates, difference, relative, unadjusted_mean
from metricdef.stats.moments import Floats, Moments, from_rows

COLUMNS = ["total", "size", "mean", "x"]
PER_UNIT, PER_CLUSTER = PerUnit("total", "size"), PerCluster("mean")


def arm(seed: int, clusters: int, effect: float = 0.0) -> tuple[Moments, list[Floats]]:
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(clusters):
        size = 1 + rng.poisson(6)
        rows.append(3 + effect + rng.normal() + 0.1 * size + rng.normal(size=size))
    x = rng.normal(size=clusters)
    table = np.array([[r.sum(), len(r), r.mean(), x[g]] for g, r in enumerate(rows)])
    return from_rows(COLUMNS, table), rows


def test_per_unit_is_the_row_mean_with_a_cluster_robust_variance() -> None:
    (m0, rows0), (m1, rows1) = arm(1, 25), arm(2, 18, 0.5)
    d = difference(cluster_estimates([m0, m1], PER_UNIT), 1, 0.05)
    variance = []
    for rows in (rows0, rows1):
        y = np.concatenate(rows)
        scores = np.array([(r - y.mean()).sum() for r in rows])
        variance.append((scores**2).sum() / len(y) ** 2 * len(rows) / (len(rows) - 1))
    assert d.estimate == pytest.approx(np.concatenate(rows1).mean() - np.concatenate(rows0).mean())
    assert d.std_error**2 == pytest.approx(sum(variance))
    assert d.df == pytest.approx(sum(variance) ** 2 / (variance[0] ** 2 / 24 + variance[1] ** 2 / 17))


def test_per_cluster_is_welch_on_cluster_means() -> None:
    (m0, rows0), (m1, rows1) = arm(3, 12), arm(4, 9, 0.5)
    got = difference(cluster_estimates([m0, m1], PER_CLUSTER), 1, 0.05)
    means = [from_rows(["m"], [[r.mean()] for r in rows]) for rows in (rows0, rows1)]
    want = difference(unadjusted_mean(means, "m"), 1, 0.05)
    assert (got.estimate, got.std_error) == (pytest.approx(want.estimate), pytest.approx(want.std_error))
    assert (got.df, got.p_value) == (pytest.approx(want.df), pytest.approx(want.p_value))
    assert got.estimate != pytest.approx(difference(cluster_estimates([m0, m1], PER_UNIT), 1, 0.05).estimate)


def test_covariates_of_clusters() -> None:
    arms = [arm(5, 60)[0], arm(6, 70)[0]]
    est = cluster_estimates(arms, PER_UNIT, ["x"])
    np.testing.assert_array_equal(est.cov, lin_ratio(arms, "total", "size", ["x"]).cov)


def reason(est: ArmEstimates, which: int) -> str:
    with pytest.raises(NotComputable) as caught:
        difference(est, which, 0.05)
    return caught.value.reason


@pytest.mark.parametrize("effect", [PER_UNIT, PER_CLUSTER])
def test_fewer_than_four_clusters(effect: PerUnit | PerCluster) -> None:
    arms = [arm(7, 12)[0], arm(8, 3)[0], arm(9, 4)[0], arm(10, 1)[0]]
    est = cluster_estimates(arms, effect, ["x"])
    assert (reason(est, 1), reason(est, 3)) == ("too_few_clusters", "too_few_clusters")
    alone = difference(cluster_estimates([arms[0], arms[2]], effect), 1, 0.05)
    assert difference(est, 2, 0.05).p_value == pytest.approx(alone.p_value)
    with pytest.raises(NotComputable, match="4 clusters"):
        relative(est, 1, 0.05)
    assert reason(cluster_estimates(arms[1:3], effect), 1) == "too_few_clusters"


def test_few_clusters_are_warned_about() -> None:
    ten, nine = arm(11, 10)[0], arm(12, 9)[0]
    assert cluster_guards(ten, ten) == ()
    assert cluster_guards(nine, ten) == cluster_guards(ten, nine) == ("few-clusters",)
