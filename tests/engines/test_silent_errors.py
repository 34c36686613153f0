"""Twenty kinds of SQL that engines answer differently without a word, on every engine that runs here.

Each is written in the obvious way and translated by sqlglot alone: the table says on which engines that is wrong or fails,
and the tests hold it to that. One experiment asks metricdef for the same figures: they are right on every engine, or
the way to write them is refused. What only one engine does stands in `test_silent_errors_spark` and `_clickhouse`.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jinja2
import pytest
import sqlglot
from oracle.reading import Table
from projects import PROJECT, experiment, write_definitions
from sqlglot import ErrorLevel

from metricdef.analysis.cells import Cells, read_cells
from metricdef.api import Project
from metricdef.compiler.render import render
from metricdef.compiler.stages import template
from metricdef.errors import DefinitionErrors
from metricdef.warehouses import connect

from .clickhouse import ClickHouse
from .duckdb import DuckDB
from .engine import Engine
from .postgres import Postgres
from .snowflake import Snowflake
from .spark import Spark

pytestmark = pytest.mark.soundness
ENGINES = ("duckdb", "postgres", "spark", "clickhouse", "snowflake")
EXPOSED = datetime(2026, 1, 2, 18)
NEXT_DAY = datetime(2026, 1, 3, 12)


@dataclass(frozen=True)
class Kind:
    """One way to be wrong. `plain` is what sqlglot alone makes of `sql`: right, wrong or error, by engine."""

    name: str
    sql: str
    right: float
    plain: Mapping[str, str]
    rows: tuple[dict[str, Any], ...]
    metric: Mapping[str, Any]
    read: str = "duckdb"
    figure: str = "total"  # of the control arm: total, mean, var or quantile


def row(user: str = "u1", at: datetime = NEXT_DAY, **values: Any) -> dict[str, Any]:
    return {"user_id": user, "happened_at": at, **values}


def plain(duckdb: str, postgres: str, spark: str, clickhouse: str, snowflake: str) -> dict[str, str]:
    return dict(zip(ENGINES, (duckdb, postgres, spark, clickhouse, snowflake), strict=True))


R, W, E = "right", "wrong", "error"
SUM = {"type": "mean", "source": "orders", "agg": "sum", "direction": "increase", "window": "5d"}
COUNT = {"type": "mean", "source": "orders", "agg": "count", "direction": "increase", "window": "5d"}
X = {**SUM, "measure": "x"}
LARGE = (*(row(f"u{i}", x=1e9 + i) for i in range(1, 6)), row("v1", x=1e9))
KINDS = [
    Kind(
        "time of day in a window", "SELECT COUNT(*) FROM orders WHERE tag = '{tag}' AND happened_at < DATEADD(DAY, 1, TIMESTAMP '2026-01-02 18:00:00')",
        2, plain(R, R, W, W, R), read="snowflake",
        rows=tuple(row(at=datetime(2026, 1, 3, hour)) for hour in (12, 17, 18)), metric={**COUNT, "window": "1d"},
    ),
    Kind(
        "days between", "SELECT 1 + MAX(DATE_DIFF('day', TIMESTAMP '2026-01-03 23:00:00', happened_at)) FROM orders WHERE tag = '{tag}'",
        2, plain(R, R, W, W, R),
        rows=(row(at=datetime(2026, 1, 3, 23)), row(at=datetime(2026, 1, 4, 1))), metric={**COUNT, "agg": "active_days"},
    ),
    Kind(
        "quantiles", "SELECT PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY x) FROM orders WHERE tag = '{tag}'",
        17, plain(R, R, W, E, R), read="postgres", rows=tuple(row(x=x) for x in (1.0, 2.0, 10.0, 20.0)),
        metric={"type": "quantile", "source": "orders", "of": "events", "measure": "x", "quantile": "p90", "window": "5d", "direction": "increase"},
        figure="quantile",
    ),
    Kind(
        "local time to UTC",
        "SELECT COUNT(*) FROM orders WHERE tag = '{tag}' AND happened_at AT TIME ZONE 'America/New_York' >= CAST('2026-01-03 12:30:00+00:00' AS TIMESTAMPTZ)",
        1, plain(R, R, W, W, R), rows=(row(at=datetime(2026, 1, 3, 8)),), metric={**COUNT, "source": "local_orders", "window": "18h..20h"},
    ),
    Kind(
        "the zone of the session", "SELECT COUNT(*) FROM orders WHERE tag = '{tag}' AND CAST(aware AS DATE) = CAST('2026-01-03' AS DATE)",
        1, plain(W, W, W, W, R), rows=(row(aware=datetime(2026, 1, 3, 2, tzinfo=UTC)),), metric={**COUNT, "filter": "cast(aware as date) = cast('2026-01-03' as date)"},
    ),
    Kind(
        "variance", "SELECT VAR_SAMP(x) FROM orders WHERE tag = '{tag}' AND user_id <> 'v1'",
        2.5, plain(R, R, R, W, R), rows=LARGE, metric=X, figure="var",
    ),
    Kind(
        "units without rows",
        "SELECT AVG(o.n) FROM exposures AS e LEFT JOIN (SELECT user_id, COUNT(*) AS n FROM orders WHERE tag = '{tag}' GROUP BY user_id) AS o"
        " ON o.user_id = e.user_id",
        3, plain(R, R, R, W, R), rows=tuple(row(u, x=1.0) for u in ("u1", "u1", "u2", "u2", "u2", "u2")), metric={**X, "missing": "exclude"}, figure="mean",
    ),
    Kind(
        "sums of squares", "SELECT (SUM(x * x) - SUM(x) * SUM(x) / COUNT(*)) / (COUNT(*) - 1) FROM orders WHERE tag = '{tag}' AND user_id <> 'v1'",
        2.5, plain(W, W, W, W, W), rows=LARGE, metric=X, figure="var",
    ),
    Kind(
        "means of decimals", "SELECT AVG(d) FROM orders WHERE tag = '{tag}'",
        0.05 / 3, plain(R, R, W, R, R), rows=tuple(row(f"u{i}", d=Decimal(d)) for i, d in enumerate(("0.01", "0.01", "0.03"), 1)),
        metric={**SUM, "measure": "d", "missing": "exclude"}, figure="mean",
    ),
    Kind(
        "quotients of decimals", "SELECT MAX(d / i) FROM orders WHERE tag = '{tag}'",
        1 / 3, plain(R, R, R, W, R), rows=(row(d=Decimal("1.00"), i=3),), metric={**SUM, "measure": "per_item"},
    ),
    Kind(
        "casts to integers", "SELECT CAST(MAX(x) AS INTEGER) FROM orders WHERE tag = '{tag}'",
        3, plain(W, W, W, W, W), rows=(row(x=2.5),), metric={**SUM, "measure": "rounded"},
    ),
    Kind(
        "the smaller of a value and NULL", "SELECT SUM(LEAST(x, 10)) FROM orders WHERE tag = '{tag}'",
        10, plain(R, W, W, W, R), read="snowflake", rows=(row("u1"), row("u2", x=20.0)), metric={**SUM, "measure": "at_most_ten"},
    ),
    Kind(
        "a division by zero", "SELECT SUM(x / i) FROM orders WHERE tag = '{tag}'",
        3, plain(W, E, E, W, W), rows=(row(x=6.0, i=0), row(x=6.0, i=2)), metric={**SUM, "measure": "per_i"},
    ),
    Kind(
        "logarithms", "SELECT LOG(MAX(x)) FROM orders WHERE tag = '{tag}'",
        2, plain(R, R, W, W, W), rows=(row(x=100.0),), metric={**SUM, "measure": "digits"},
    ),
    Kind(
        "the last value",
        "SELECT MAX(v) FROM (SELECT LAST_VALUE(x IGNORE NULLS) OVER (ORDER BY happened_at ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS v"
        " FROM orders WHERE tag = '{tag}') AS t",
        2, plain(R, W, R, R, R), rows=(row(x=4.0), row(at=datetime(2026, 1, 3, 13), x=2.0), row(at=datetime(2026, 1, 3, 14))),
        metric={**X, "agg": "last", "missing": "zero"},
    ),
    Kind(
        "patterns", "SELECT COUNT(*) FROM orders WHERE tag = '{tag}' AND REGEXP_LIKE(s, 'a')",
        1, plain(R, W, W, W, R), read="snowflake", rows=(row(s="a"), row(s="xa")), metric={**COUNT, "filter": "s like 'a'"},
    ),
    Kind(
        "hashes as numbers", "SELECT COUNT(DISTINCT CAST('0x' || SUBSTR(MD5(s), 1, 8) AS BIGINT)) FROM orders WHERE tag = '{tag}'",
        3, plain(R, E, E, W, R), rows=tuple(row(s=s) for s in "pqr"), metric={**COUNT, "agg": "count_distinct", "measure": "s"},
    ),
    Kind(
        "days of the week", "SELECT COUNT(*) FROM orders WHERE tag = '{tag}' AND EXTRACT(DOW FROM happened_at) = 0",
        1, plain(R, R, W, R, R), rows=(row(at=datetime(2026, 1, 4, 12)), row(at=datetime(2026, 1, 5, 12))),
        metric={**COUNT, "filter": "cast(happened_at as date) = cast('2026-01-04' as date)"},
    ),
    Kind(
        "upper and lower case", "SELECT COUNT(*) FROM orders WHERE tag = '{tag}' AND s LIKE 'a%'",
        1, {**plain(R, R, R, R, R), "sqlite": W}, rows=(row(s="abc"), row(s="Abc")), metric={**COUNT, "filter": "s like 'a%'"},
    ),
]  # fmt: skip
MEASURES = {
    "x": "x",
    "d": "d",
    "s": "s",
    "per_item": "d / i",
    "rounded": "floor(x + 0.5)",
    "at_most_ten": "case when x > 10 then 10 else x end",
    "per_i": "x / i",
    "digits": "ln(x) / ln(10)",
}
COLUMNS = {
    "user_id": "text", "happened_at": "timestamp", "tag": "text", "x": "double", "i": "integer", "s": "text", "d": "decimal", "aware": "instant",
}  # fmt: skip


def tag(kind: Kind) -> str:
    return kind.name.replace(" ", "_").lower()


def tables() -> dict[str, Table]:
    exposures = [
        {"user_id": u, "experiment": "test", "arm": "treatment" if u == "v1" else "control", "happened_at": EXPOSED}
        for u in ("u1", "u2", "u3", "u4", "u5", "v1")
    ]
    columns = {"user_id": "text", "experiment": "text", "arm": "text", "happened_at": "timestamp"}
    orders = [{**r, "tag": tag(kind)} for kind in KINDS for r in kind.rows]
    return {"exposures": Table(columns, exposures), "orders": Table(COLUMNS, orders)}


def definitions() -> list[dict[str, Any]]:
    """One experiment with a metric for each kind, over the rows of its tag."""
    common = {"table": "orders", "timestamp": "happened_at", "entities": {"user": "user_id"}, "measures": MEASURES}
    sources = {
        "exposures": {
            "kind": "exposures", "table": "exposures", "timestamp": "happened_at", "entities": {"user": "user_id"},
            "experiment": "experiment", "arm": "arm",
        },
        "orders": common,
        "local_orders": {**common, "timezone": "America/New_York"},
    }  # fmt: skip
    metrics = {}
    for kind in KINDS:
        given = dict(kind.metric)
        own = given.pop("filter", None)
        metrics[tag(kind)] = given | {"filter": [f"tag = '{tag(kind)}'", *([own] if own else [])]}
    protocol = experiment(
        metrics={"secondary": dict.fromkeys(metrics)}, exposure={"source": "exposures", "key": "test"}
    )
    return [{"sources": sources}, {"metrics": metrics}, protocol]


@pytest.fixture(scope="module")
def filled(engine: Engine) -> Engine:
    engine.fill(tables())
    if isinstance(engine, Spark):
        for name in tables():
            rows = engine.session.read.parquet(str(engine.folder / "tables" / f"{name}.parquet"))
            rows.createOrReplaceTempView(name)
    return engine


@pytest.fixture(scope="module")
def cells(filled: Engine, tmp_path_factory: pytest.TempPathFactory) -> Cells:
    """What metricdef computes, all kinds at once."""
    folder = tmp_path_factory.mktemp(filled.name)
    plan = Project(write_definitions(folder, *definitions(), project=PROJECT)).plan("test", "2026-03-01")
    with connect(filled.profile()) as warehouse:
        return read_cells(plan, warehouse.execute(render(plan, warehouse.dialect).statements))


def trusted(engine: Engine, sql: str) -> Any:
    """The first value of a query, in a session as the engine gives it: where it has a choice, not one in UTC."""
    match engine:
        case Spark():
            return engine.session.sql(sql).collect()[0][0]
        case Snowflake():
            with connect(engine.profile()) as warehouse:
                return warehouse.execute([sql]).column(0)[0].as_py()
        case DuckDB() | Postgres() | ClickHouse():
            return engine.execute(sql)[0][0]
    raise AssertionError(engine.name)


def translated(kind: Kind, dialect: str) -> str:
    """What sqlglot alone makes of it; where it warns, the warning is not heard."""
    text = kind.sql.format(tag=tag(kind))
    return sqlglot.transpile(text, read=kind.read, write=dialect, unsupported_level=ErrorLevel.IGNORE)[0]


def verdict(kind: Kind, found: Any) -> str:
    return R if found is not None and math.isclose(float(found), kind.right, rel_tol=1e-9) else W


@pytest.mark.parametrize("kind", KINDS, ids=tag)
def test_sqlglot_alone_is_as_wrong_as_the_table_says(filled: Engine, kind: Kind) -> None:
    try:
        found = verdict(kind, trusted(filled, translated(kind, filled.name)))
    except Exception:  # noqa: BLE001 - every driver has its own
        found = E
    assert found == kind.plain[filled.name]


@pytest.mark.parametrize("kind", KINDS, ids=tag)
def test_metricdef_is_right(cells: Cells, kind: Kind) -> None:
    assert figure(cells, kind) == pytest.approx(kind.right, rel=1e-9)


def test_every_kind_is_wrong_somewhere() -> None:
    assert [kind.name for kind in KINDS if set(kind.plain.values()) == {R}] == []


def test_sqlite_ignores_case() -> None:
    """No engine of metricdef's: what is developed on it passes over case, and over more."""
    kind = next(kind for kind in KINDS if "sqlite" in kind.plain)
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE orders (tag TEXT, s TEXT)")
        connection.executemany("INSERT INTO orders VALUES (?, ?)", [(tag(kind), row["s"]) for row in kind.rows])
        (found,) = connection.execute(translated(kind, "sqlite")).fetchone()
    connection.close()
    assert verdict(kind, found) == kind.plain["sqlite"]


def figure(cells: Cells, kind: Kind) -> float:
    if kind.figure == "quantile":
        (found,) = (
            q.estimate for (name, arm, _), q in cells.quantiles.items() if (name, arm) == (tag(kind), "control")
        )
        return found
    metric = next(m for m in cells.plan.metrics if m.name == tag(kind))
    moments = cells.moments(metric.block, list(metric.columns), "control", with_mixed=False)
    if kind.figure == "var":
        return float(moments.cov[0, 0])
    if kind.figure == "mean":
        return float(moments.mean[0] / moments.mean[1])
    return float(moments.mean[0] * moments.n)


def test_braces_that_a_template_left_are_no_object() -> None:
    """sqlglot reads `{{ x }}` as an object of Snowflake's, and so does whoever executes it."""
    assert "OBJECT_CONSTRUCT" in sqlglot.transpile("SELECT {{ x }}", read="snowflake", write="snowflake")[0]
    with pytest.raises(jinja2.UndefinedError):
        template("arm_counts").render()


@pytest.mark.parametrize(
    "expression",
    [
        "LOG(x)",
        "ROUND(x, 1)",
        "CAST(x AS INTEGER)",
        "TRY_CAST(s AS DOUBLE)",
        "LEAST(x, 1)",
        "GREATEST(x, NULL)",
        "MD5(s)",
        "CAST(MD5(s) AS BIGINT)",
        "EXTRACT(DOW FROM happened_at)",
        "EXTRACT(ISODOW FROM happened_at)",
        "DATE_DIFF('day', happened_at, happened_at)",
        "DATE_TRUNC('week', happened_at)",
        "DATE_ADD(happened_at, INTERVAL 1 DAY)",
        "happened_at AT TIME ZONE 'America/New_York'",
        "REGEXP_MATCHES(s, 'x')",
        "SUBSTR(s, 0, 2)",
        "SUBSTR(s, -2)",
        "toFloat64OrZero(s)",
        "no_such_function(x)",
        "{{ x }}",
    ],
)
def test_what_means_several_things_is_refused(tmp_path: Path, expression: str) -> None:
    """Before any engine is chosen, with the place, the function and the way out."""
    documents = definitions()
    documents[0]["sources"]["orders"] = {**documents[0]["sources"]["orders"], "measures": {**MEASURES, "x": expression}}
    with pytest.raises(DefinitionErrors) as caught:
        Project(write_definitions(tmp_path, *documents, project=PROJECT)).compile("test", as_of="2026-03-01")
    (rule,) = {d.rule for d in caught.value.diagnostics}
    assert rule == ("jinja-in-yaml" if "{{" in expression else "sql-function")
    assert all(d.help for d in caught.value.diagnostics)
