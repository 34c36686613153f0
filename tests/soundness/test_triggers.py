"""A triggered effect diluted to everybody exposed: shares and totals must be of the same units and the same values."""

import pytest
from semantics.world import HOUR, SUM, T0, exposure, order, see, visit

pytestmark = pytest.mark.soundness
TRIGGER = {"source": "assignments", "key": "test", "trigger": {"source": "visits"}}


def shops(count):
    """Units in shops of two, arms by shop."""
    return [exposure(f"u{i}", ("control", "treatment")[i // 2 % 2], shop=f"s{i // 2}") for i in range(count)]


@pytest.mark.parametrize(("every", "rate"), [(1, 1.0), (2, 0.5)])
def test_the_trigger_rate_of_clusters_is_a_share_of_units(tmp_path, every, rate):
    """Triggered clusters over exposed units would halve every diluted effect here."""
    orders = [order(f"u{i}", T0 + 2 * HOUR, 1.0 + i % 7) for i in range(80)]
    visits = [visit(f"u{i}") for i in range(0, 80, every)]
    world = {"orders": orders, "visits": visits, "cluster": "shop", "unit": "user", "exposure": TRIGGER}
    row = see(tmp_path, SUM, shops(80), **world).row()
    assert row.diluted["trigger_rate"] == rate
    assert row.diluted["absolute"]["estimate"] == pytest.approx(row.absolute.estimate * rate)
    control = [1.0 + i % 7 for i in range(80) if i // 2 % 2 == 0]
    assert row.diluted["baseline_value"] == pytest.approx(sum(control) / len(control))


def test_nothing_is_diluted_where_every_cluster_counts_the_same(tmp_path):
    orders = [order(f"u{i}", T0 + 2 * HOUR, 1.0 + i % 7) for i in range(80)]
    visits = [visit(f"u{i}") for i in range(80)]
    world = {"orders": orders, "visits": visits, "cluster": "shop", "unit": "user", "exposure": TRIGGER}
    row = see(tmp_path, SUM, shops(80), cluster_effect="per_cluster", **world).row()
    assert row.absolute is not None and row.diluted is None


def test_the_diluted_baseline_is_capped_where_the_outcome_is(tmp_path):
    """Nine in ten never trigger and buy nothing: a percentile over them too would cap the total the effect is part of."""
    exposures = [exposure(f"u{i}", ("control", "treatment")[i % 2]) for i in range(400)]
    visits = [visit(f"u{i}") for i in range(40)]
    orders = [order(f"u{i}", T0 + 2 * HOUR, 1.0 + i) for i in range(40)]
    capped = {**SUM, "cap": {"upper": "p80"}}
    seen = see(tmp_path, capped, exposures, orders=orders, visits=visits, exposure=TRIGGER)
    row, limit = seen.row(), 1 + 0.8 * 39  # type 7 over the amounts 1 to 40
    total = sum(min(1.0 + i, limit) for i in range(0, 40, 2))
    assert row.baseline_value * row.units[0] == pytest.approx(total)
    assert row.diluted["baseline_value"] == pytest.approx(total / 200)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_relative_effect_that_nothing_dilutes_is_the_triggered_one(tmp_path, sign):
    """Where everybody triggers at once both are one effect, also below 0."""
    exposures = [exposure(f"u{i}", ("control", "treatment")[i % 2]) for i in range(80)]
    orders = [order(f"u{i}", T0 + 2 * HOUR, sign * (5.0 + i % 2 + i % 7 / 10)) for i in range(80)]
    visits = [visit(f"u{i}", T0) for i in range(80)]
    row = see(tmp_path, SUM, exposures, orders=orders, visits=visits, exposure=TRIGGER).row()
    assert row.diluted["relative"]["estimate"] == pytest.approx(row.relative.estimate)
    assert row.diluted["relative"]["lower"] == pytest.approx(row.relative.lower, abs=0.02)
    assert row.diluted["relative"]["upper"] == pytest.approx(row.relative.upper, abs=0.02)


def test_nothing_is_diluted_before_the_planned_end(tmp_path):
    """All trigger, half of them so late that their window is incomplete: the rate of complete windows would be a half."""
    exposures = [exposure(f"u{i}", ("control", "treatment")[i % 2]) for i in range(80)]
    orders = [order(f"u{i}", T0 + 2 * HOUR, 1.0 + i % 7) for i in range(80)]
    visits = [visit(f"u{i}", T0 + (HOUR if i < 40 else 120 * HOUR)) for i in range(80)]
    metric = {**SUM, "window": "5d"}
    world = {"orders": orders, "visits": visits, "exposure": TRIGGER}
    for name in ("early", "late"):
        (tmp_path / name).mkdir()
    early = see(tmp_path / "early", metric, exposures, as_of=T0 + 168 * HOUR, **world).row()
    assert early.units == (20, 20) and early.absolute is not None and early.diluted is None
    late = see(tmp_path / "late", metric, exposures, **world).row()
    assert late.diluted["trigger_rate"] == 1.0
