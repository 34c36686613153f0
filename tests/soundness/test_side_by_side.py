"""Metrics of one experiment share columns and stages: a figure must not come from another metric's column."""

from random import Random

import pytest
from semantics.world import HOUR, SOURCES, SUM, T0, exposure, order, see
from sqlglot.errors import SqlglotError

from metricdef.compiler.dialects import DIALECTS
from metricdef.compiler.render import _check

pytestmark = pytest.mark.soundness


def test_two_quantiles_of_the_same_events_have_their_own_counts(tmp_path):
    """Each standard error reads how many rows of a unit lie below that very quantile."""
    random = Random(1)
    units = [(f"u{i}", ("control", "treatment")[i % 2]) for i in range(60)]
    orders = [
        order(unit, T0 + HOUR * (k + 1), random.random() * 100)
        for unit, _ in units
        for k in range(random.randrange(1, 6))
    ]
    metrics = {
        name: {
            "type": "quantile",
            "source": "orders",
            "measure": "amount",
            "quantile": name,
            "of": "events",
            "direction": "increase",
        }
        for name in ("p50", "p90")
    }
    exposures = [exposure(unit, arm) for unit, arm in units]
    beside = see(tmp_path, metrics, exposures, orders=orders)
    for name, metric in metrics.items():
        alone = see(tmp_path, {name: metric}, exposures, orders=orders)
        assert beside.row(name).absolute == alone.row(name).absolute, name


def test_a_stage_with_two_columns_of_one_name_is_not_rendered():
    """Some engines rename the second column, and whoever asks for it is given the first."""
    _check("SELECT 1 AS x, 2 AS y", "duckdb")
    for stage in ("SELECT 1 AS x, 2 AS X", "SELECT 1 AS x, 2 AS x UNION ALL SELECT 3, 4"):
        with pytest.raises(AssertionError, match="two columns named x"):
            _check(stage, "duckdb")


@pytest.mark.parametrize(
    "text",
    ["SELECT 1;", "SELECT 1; SELECT 2", "SELECT 1), b AS (SELECT 2", "SELECT 'a", "SELECT 1 /* a", "DELETE FROM a", ""],
)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stage_that_is_not_one_query_is_not_rendered(text, dialect):
    """What stands in a statement between WITH and the next stage must end where it seems to."""
    _check("SELECT 1 AS x -- a", DIALECTS[dialect].sqlglot)
    with pytest.raises((AssertionError, SqlglotError)):
        _check(text, DIALECTS[dialect].sqlglot)


@pytest.mark.parametrize("name", ["values", "entries", "clusters", "units", "facts"])
@pytest.mark.parametrize("cluster", [None, "shop"])
def test_a_source_may_have_the_name_of_a_stage(tmp_path, name, cluster):
    """A stage of a source must not take the place of a stage that every experiment has."""
    sources = {**SOURCES, name: SOURCES["orders"]}
    exposures = [exposure(f"u{i}", ("control", "treatment")[i // 2 % 2], shop=f"s{i // 2}") for i in range(80)]
    world = {"sources": sources, "unit": "user", **({"cluster": cluster} if cluster else {})}
    seen = see(
        tmp_path, {**SUM, "source": name}, exposures, orders=[order(f"u{i}", amount=i) for i in range(80)], **world
    )
    assert seen.value() == 38.5
