"""What Spark alone answers otherwise, without a word: computed right, or refused. The rest is in `test_silent_errors`.

Where sqlglot translates without complaint, its translation is executed as well: it must be the wrong number, or the
test holds nothing.
"""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlglot
from oracle.reading import Table
from projects import experiment, write_definitions

from metricdef.analysis.cells import Cells, read_cells
from metricdef.api import Project
from metricdef.compiler.render import render
from metricdef.errors import WarehouseError
from metricdef.warehouses import connect

from .spark import Spark

pytestmark = pytest.mark.soundness
ENGINE = "spark"

EXPOSED = datetime(2026, 1, 2, 18)
ROW = {"user_id": "u1", "amount": 1.0, "qty": 1, "product": "p"}
MEAN = {"type": "mean", "source": "orders", "agg": "sum", "measure": "value", "window": "3d", "direction": "increase"}


def translated(engine: Spark, sql: str, read: str = "duckdb", write: str = "spark") -> Any:
    """What comes of SQL that sqlglot translates."""
    return engine.session.sql(sqlglot.transpile(sql, read=read, write=write)[0]).collect()[0][0]


def computed(
    engine: Spark, folder: Any, rows: list[dict[str, Any]], *, measure: str = "amount", metric: dict[str, Any] = MEAN,
    exposed: datetime = EXPOSED, amounts: pa.DataType | None = None, **source: Any,
) -> Cells:  # fmt: skip
    """The cells of one metric, of orders of u1, who is in control."""
    exposures = [
        {"user_id": u, "experiment": "test", "arm": arm, "happened_at": exposed}
        for u, arm in (("u1", "control"), ("u2", "treatment"))
    ]
    kinds = {"user_id": "text", "happened_at": "timestamp"}
    orders = Table({**kinds, "amount": "double", "qty": "integer", "product": "text"}, [{**ROW, **row} for row in rows])
    engine.fill({"exposures": Table({**kinds, "experiment": "text", "arm": "text"}, exposures), "orders": orders})
    if amounts is not None:
        replace_column(engine, "amount", [row["decimal"] for row in rows], amounts)
    project = Project(write_definitions(folder, *definitions(measure, metric, source)))
    plan = project.plan("test", "2026-03-01")
    with connect(engine.profile()) as warehouse:
        return read_cells(plan, warehouse.execute(render(plan, "spark").statements))


def replace_column(engine: Spark, name: str, values: list[Any], kind: pa.DataType) -> None:
    """Give a column of the orders a kind that only some engines have."""
    path = engine.folder / "tables" / "orders.parquet"
    held = pq.read_table(path)
    pq.write_table(held.set_column(held.column_names.index(name), name, pa.array(values, kind)), path)


def definitions(measure: str, metric: dict[str, Any], source: dict[str, Any]) -> list[dict[str, Any]]:
    common = {"timestamp": "happened_at", "entities": {"user": "user_id"}}
    sources = {
        "exposures": {
            "kind": "exposures",
            "table": "exposures",
            **common,
            "experiment": "experiment",
            "arm": "arm",
        },
        "orders": {"table": "orders", **common, "measures": {"value": measure}, **source},
    }
    protocol = experiment(metrics={"primary": {"outcome": None}}, exposure={"source": "exposures", "key": "test"})
    return [{"sources": sources}, {"metrics": {"outcome": metric}}, protocol]


def mean(cells: Cells, arm: str = "control") -> float:
    return float(cells.moments(cells.plan.metrics[0].block, ["outcome"], arm, with_mixed=False).mean[0])


def test_caps_are_exact_percentiles(engine, tmp_path):
    rows = [{"happened_at": datetime(2026, 1, 3), "amount": 10.0}]
    cells = computed(engine, tmp_path, rows, metric={**MEAN, "cap": {"upper": "p90"}})
    assert mean(cells) == pytest.approx(9.0, rel=1e-15)  # of 0 and 10


@pytest.mark.parametrize(
    ("shown", "instant"),
    [
        (datetime(2026, 1, 3, 8), datetime(2026, 1, 3, 13)),
        (datetime(2026, 7, 3, 8), datetime(2026, 7, 3, 12)),
        (datetime(2026, 11, 1, 0, 59), datetime(2026, 11, 1, 4, 59)),
        (
            datetime(2026, 11, 1, 1, 30),
            datetime(2026, 11, 1, 6, 30),
        ),  # shown twice: DuckDB and PostgreSQL take the later
        (datetime(2026, 11, 1, 2), datetime(2026, 11, 1, 7)),
        (datetime(2026, 3, 8, 2, 30), datetime(2026, 3, 8, 7, 30)),  # shown never
        (datetime(2026, 3, 8, 1, 59), datetime(2026, 3, 8, 6, 59)),
        (datetime(2026, 3, 8, 3), datetime(2026, 3, 8, 7)),
    ],
)
def test_local_times_become_the_same_instants_as_elsewhere(engine, tmp_path, shown, instant):
    import duckdb

    from metricdef.compiler.dialects import DIALECTS

    def written(dialect: str) -> str:
        table = DIALECTS[dialect]
        instant = table.instant.format(x=shown.isoformat(" "))
        utc = table.from_zone.format(x=instant, zone="'America/New_York'")
        return f"SELECT {table.epoch_us.format(x=utc)} AS us"

    engine.fill({"nothing": Table({"a": "text"}, [])})
    with connect(engine.profile()) as warehouse:
        found = warehouse.execute([written("spark")]).column(0).to_pylist()
    want = round((instant - datetime(1970, 1, 1)).total_seconds() * 1e6)
    assert found == [want]
    assert duckdb.sql(written("duckdb")).fetchall() == [(want,)]
    naive = f"SELECT CAST(TIMESTAMP '{shown}' AT TIME ZONE 'America/New_York' AS TIMESTAMP)"
    engine.session.conf.set("spark.sql.session.timeZone", "UTC")
    try:
        assert translated(engine, naive) != instant
    finally:
        engine.session.conf.set("spark.sql.session.timeZone", "America/Los_Angeles")


def test_a_source_in_local_time_counts_the_rows_of_its_instants(engine, tmp_path):
    """08:00 in New York is 13:00 in UTC: between 12:30 and 13:30 only if it is read the right way round."""
    rows = [{"happened_at": datetime(2026, 1, 3, 8)}, {"happened_at": datetime(2026, 1, 3, 7)}]
    cells = computed(
        engine, tmp_path, rows, metric={**MEAN, "window": "1h"}, exposed=datetime(2026, 1, 3, 12, 30),
        timezone="America/New_York",
    )  # fmt: skip
    assert mean(cells) == 1


def test_a_column_with_a_zone_is_read_in_utc_whatever_the_cluster_says(engine, tmp_path):
    rows = [{"happened_at": EXPOSED}]
    computed(engine, tmp_path, rows)
    replace_column(engine, "happened_at", [EXPOSED], pa.timestamp("us", "UTC"))
    assert engine.session.conf.get("spark.sql.session.timeZone") == "America/Los_Angeles"
    statement = "SELECT UNIX_MICROS(CAST(CAST(happened_at AS TIMESTAMP_NTZ) AS TIMESTAMP)) AS us, CAST(happened_at AS DATE) AS day"
    with connect(engine.profile()) as warehouse:
        assert warehouse.describe("orders")["happened_at"] == "TIMESTAMP_LTZ"
        found = warehouse.execute([f"{statement} FROM orders"]).to_pylist()
    assert found == [{"us": 1767376800000000, "day": EXPOSED.date()}]


def test_means_of_decimals_keep_their_digits(engine, tmp_path):
    amounts = [Decimal("0.01"), Decimal("0.01"), Decimal("0.03")]
    rows = [{"happened_at": datetime(2026, 1, 3), "decimal": amount} for amount in amounts]
    metric = {
        "type": "ratio", "window": "3d", "direction": "increase",
        "numerator": {"source": "orders", "agg": "sum", "measure": "value"},
        "denominator": {"source": "orders", "agg": "count"},
    }  # fmt: skip
    cells = computed(engine, tmp_path, rows, metric=metric, amounts=pa.decimal128(12, 2))
    names = list(cells.plan.metrics[0].columns)
    y, d = (float(cells.moments(cells.plan.metrics[0].block, [n], "control", with_mixed=False).mean[0]) for n in names)
    assert y / d == pytest.approx(0.05 / 3, rel=1e-15)
    values = ", ".join(f"(CAST({amount} AS DECIMAL(12, 2)))" for amount in amounts)
    naive = float(translated(engine, f"SELECT AVG(x) FROM (VALUES {values}) AS t(x)"))
    assert abs(naive - 0.05 / 3) > 1e-8


def test_quotients_of_decimals_keep_their_digits(engine, tmp_path):
    rows = [{"happened_at": datetime(2026, 1, 3), "decimal": Decimal("1.0")}]
    cells = computed(engine, tmp_path, rows, measure="amount / 3.0", amounts=pa.decimal128(2, 1))
    assert mean(cells) == pytest.approx(1 / 3, rel=1e-15)
    assert abs(float(translated(engine, "SELECT CAST(1 AS DECIMAL(2, 1)) / 3.0")) - 1 / 3) > 1e-8


def test_products_of_decimals_are_not_rounded(engine, tmp_path):
    """Of two DECIMAL(38, 18), Spark's own kind, a product has 6 decimals: 0.0000014 becomes 0.000001."""
    rows = [{"happened_at": datetime(2026, 1, 3), "decimal": Decimal("0.0000014")}]
    cells = computed(engine, tmp_path, rows, measure="amount * amount * 1000000", amounts=pa.decimal128(19, 9))
    assert mean(cells) == pytest.approx(1.4e-6**2 * 1e6, rel=1e-12)
    rows = [{"happened_at": datetime(2026, 1, 3), "decimal": Decimal("1234.5")}]
    with pytest.raises(WarehouseError, match="NUMERIC_VALUE_OUT_OF_RANGE"):
        computed(engine, tmp_path / "large", rows, measure="amount * amount", amounts=pa.decimal128(38, 18))
    with pytest.raises(WarehouseError, match="NUMERIC_VALUE_OUT_OF_RANGE"):
        computed(engine, tmp_path / "small", rows, measure="amount * amount * amount", amounts=pa.decimal128(38, 18))


def test_a_division_by_zero_is_no_value(engine, tmp_path):
    rows = [{"happened_at": datetime(2026, 1, 3), "amount": 6.0, "qty": qty} for qty in (0, 2, None)]
    assert mean(computed(engine, tmp_path, rows, measure="amount / qty")) == 3
    assert mean(computed(engine, tmp_path / "rest", rows, measure="5 % qty")) == 1
    with pytest.raises(Exception, match="DIVIDE_BY_ZERO"):
        translated(engine, "SELECT 6 / 0")


@pytest.mark.parametrize("amount", [0.0, -1.0])
def test_a_logarithm_of_nothing_is_not_passed_over(engine, tmp_path, amount):
    """Spark's LN is NULL there: the row would not count, and the mean be that of the others."""
    rows = [{"happened_at": datetime(2026, 1, 3), "amount": x} for x in (amount, math.e)]
    cells = computed(engine, tmp_path, rows, measure="LN(amount)")
    sums = [v for g in cells.groups if g.arm == "control" for k, v in g.row.items() if k.startswith("s__") and v]
    assert sums
    assert not any(math.isfinite(v) for v in sums)
    assert translated(engine, f"SELECT LN({amount})") is None


def test_what_cannot_be_cast_is_an_error(engine, tmp_path):
    """Without ANSI it would be NULL, and the row not count."""
    rows = [{"happened_at": datetime(2026, 1, 3), "product": text} for text in ("12.5", "12,5")]
    engine.session.conf.set("spark.sql.ansi.enabled", "false")
    try:
        assert translated(engine, "SELECT CAST('12,5' AS DOUBLE)") is None
        with pytest.raises(WarehouseError, match="CAST_INVALID_INPUT"):
            computed(engine, tmp_path, rows, measure="CAST(product AS DOUBLE)")
    finally:
        engine.session.conf.set("spark.sql.ansi.enabled", "true")
