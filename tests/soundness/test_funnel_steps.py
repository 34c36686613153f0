"""Shares of units beside a funnel's effect: of units, also where clusters were randomised."""

import pytest
from semantics.world import exposure, order, see, visit

pytestmark = pytest.mark.soundness
FUNNEL = {
    "type": "funnel",
    "direction": "increase",
    "steps": [{"name": "seen", "source": "visits"}, {"name": "bought", "source": "orders"}],
}


@pytest.mark.parametrize("effect", ["per_unit", "per_cluster"])
def test_steps_of_clusters_are_shares_of_units(tmp_path, effect):
    """Sums of a cluster over the number of clusters were shown as 5,374%."""
    shop = {i: i // 5 if i < 60 else 12 + (i - 60) // 20 for i in range(140)}  # clusters of 5 and of 20
    exposures = [exposure(f"u{i}", ("control", "treatment")[shop[i] % 2], shop=f"s{shop[i]}") for i in range(140)]
    seen, bought = {i for i in range(140) if i % 3}, {i for i in range(140) if i % 3 == 1 and i < 100}
    visits, orders = [visit(f"u{i}") for i in seen], [order(f"u{i}") for i in bought]
    row = see(tmp_path, FUNNEL, exposures, visits=visits, orders=orders, cluster="shop", unit="user", cluster_effect=effect).row()  # fmt: skip

    def share(found, parity):
        shops = [[i for i in range(140) if shop[i] == s] for s in range(16) if s % 2 == parity]
        if effect == "per_unit":
            shops = [[i for members in shops for i in members]]
        return sum(sum(i in found for i in members) / len(members) for members in shops) / len(shops)

    assert [step["step"] for step in row.steps] == ["seen", "bought"]
    for step, found in zip(row.steps, (seen, bought), strict=True):
        assert step["baseline_value"] == pytest.approx(share(found, 0))
        assert step["arm_value"] == pytest.approx(share(found, 1))
