"""What ClickHouse alone computes without complaint, through the compiled SQL of a run. The rest is in `test_silent_errors`.

Every case would give another number, or none, if the SQL were translated word by word and run with ClickHouse's defaults.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from projects import experiment, write_definitions
from semantics.world import SOURCES, SUM, Seen

from metricdef.api import Project
from metricdef.compiler.dialects import DIALECTS
from metricdef.compiler.sql_text import SqlText
from metricdef.definitions.models import Source
from metricdef.errors import DefinitionErrors, UsageError, WarehouseError
from metricdef.warehouses import connect

from .clickhouse import ClickHouse
from .engine import Engine

ENGINE = "clickhouse"
START, END = datetime(2026, 1, 5), datetime(2026, 2, 1)
ASSIGNMENTS = "user_id String, experiment String, arm String, happened_at DateTime64(6), platform Nullable(String)"
ORDERS = "user_id String, happened_at DateTime64(6), amount Nullable(Float64), status Nullable(String)"
UNITS = [(f"u{i}", ("control", "treatment")[i % 2]) for i in range(10)]
Run = Callable[..., Seen]


@pytest.fixture
def see(engine: Engine, tmp_path: Path) -> Run:
    assert isinstance(engine, ClickHouse)

    def run(
        metrics: dict[str, Any],
        orders: Sequence[tuple[Any, ...]],
        *,
        columns: str = ORDERS,
        units: Sequence[tuple[Any, ...]] = UNITS,
        source: dict[str, Any] | None = None,
        exposures: dict[str, Any] | None = None,
        daily: bool = False,
        made: str = "",
        exposed: datetime = START,
        as_of: str = "2026-03-01",
        **protocol: Any,
    ) -> Seen:
        engine.fill({})
        rows = [(u[0], "test", u[1], exposed, *(u[2:] or (None,))) for u in units]
        for name, ddl, content in (("assignments", ASSIGNMENTS, rows), ("orders", columns, orders)):
            engine.execute(f"CREATE TABLE {name} ({ddl}) ENGINE = MergeTree ORDER BY tuple(){made}")
            values = ", ".join(f"({', '.join(_literal(x) for x in row)})" for row in content)
            engine.execute(f"INSERT INTO {name} VALUES {values}")
        sources = {
            "assignments": {k: v for k, v in SOURCES["assignments"].items() if k != "entities"}
            | {"entities": {"user": "user_id"}}
            | (exposures or {}),
            "orders": {**SOURCES["orders"], "measures": {"amount": "amount"}} | (source or {}),
        }
        profiles = {"ch": {"type": "clickhouse", "path": str(engine.folder)}}
        project = {"version": 1, "name": "tests", "entities": ["user"], "profiles": profiles}
        protocol["metrics"] = {"secondary": dict.fromkeys(metrics)}
        write_definitions(tmp_path, {"sources": sources}, {"metrics": metrics}, experiment(**protocol), project=project)
        return Seen(Project(tmp_path).run("test", as_of=as_of, daily=daily))

    return run


def _literal(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case datetime():
            return f"toDateTime64('{value:%Y-%m-%d %H:%M:%S.%f}', 6, 'UTC')"
        case float() if math.isnan(value):
            return "nan"
        case str():
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        case _:
            return str(value)


def order(unit: str, amount: Any, *more: Any, at: datetime = START + timedelta(hours=1)) -> tuple[Any, ...]:
    return unit, at, amount, *(more or ("paid",))


def each(amounts: Sequence[Any]) -> list[tuple[Any, ...]]:
    """An order for every unit of the control arm, in turn."""
    return [order(u, x) for (u, _), x in zip(UNITS[::2], amounts, strict=True)]


def test_a_unit_without_rows_has_no_value(see: Run) -> None:
    """LEFT JOIN fills 0 for the side that is missing."""
    seen = see({"m": {**SUM, "missing": "exclude"}}, [order("u0", 2.0), order("u2", 4.0), order("u1", 1.0)])
    assert seen.value() == pytest.approx(3.0)


def test_a_sum_of_no_rows_is_no_value(see: Run) -> None:
    """SUM of nothing is 0."""
    rows = [order("u0", 2.0), order("u2", 4.0, "open"), order("u4", None), order("u1", 1.0)]
    seen = see({"m": {**SUM, "missing": "exclude", "filter": "status = 'paid'"}}, rows)
    assert seen.value() == pytest.approx(2.0)


def test_what_a_grouping_leaves_out_is_no_level(see: Run) -> None:
    """GROUPING SETS put '' where they don't group, which may be a level."""
    units = [(u, arm, ("", None, "web")[i // 2 % 3]) for i, (u, arm) in enumerate(UNITS)]
    seen = see(
        {"m": SUM},
        [*each([1.0, 2.0, 4.0, 8.0, 16.0]), order("u1", 1.0)],
        units=units,
        analysis={"breakdowns": ["platform"]},
    )
    assert seen.value() * 5 == pytest.approx(31)
    totals = {level: seen.value(level=("platform", level)) * n for level, n in (("", 2), (None, 2), ("web", 1))}
    assert totals == pytest.approx({"": 9.0, None: 18.0, "web": 4.0})


def test_fractions_of_a_second_count(see: Run) -> None:
    """A literal of a timestamp has whole seconds, and so has a cast to one."""
    at = {"u0": 250_000, "u2": 750_000}
    rows = [order(u, x, at=START + timedelta(microseconds=us)) for x, (u, us) in enumerate(at.items(), 1)]
    rows += [order("u4", 4.0, at=START + timedelta(days=7, microseconds=499_999)), order("u1", 1.0)]
    rows += [order("u6", 8.0, at=START + timedelta(days=7, microseconds=500_000))]
    exposed = START + timedelta(microseconds=500_000)
    assert see({"m": {**SUM, "window": "7d"}}, rows, exposed=exposed).total() == 6.0


def test_fractions_of_a_second_of_as_of_count(see: Run) -> None:
    at = (250_000, 499_999, 500_000, 750_000)
    rows = [
        order(u, 2.0**i, at=END - timedelta(days=2) + timedelta(microseconds=at[i]))
        for i, (u, _) in enumerate(UNITS[:8:2])
    ]
    seen = see({"m": SUM}, [*rows, order("u1", 1.0)], as_of="2026-01-30 00:00:00.500000")
    assert seen.total() == 3.0


def test_an_alias_does_not_hide_the_column(see: Run) -> None:
    """WHERE and GROUP BY read the alias in place of the column of that name."""
    source = {
        "table": None,
        "sql": "SELECT user_id, happened_at, amount * 100 AS amount, status FROM orders WHERE amount > 2",
    }
    seen = see({"m": SUM}, [*each([1.0, 2.0, 3.0, 4.0, 5.0]), order("u1", 3.0)], source=source)
    assert seen.total() == 1200.0


JOINED = """
SELECT o.user_id, o.happened_at, COALESCE(p.price, 8) AS amount, o.status FROM orders AS o
LEFT JOIN (SELECT user_id, 1 AS price FROM orders WHERE status = 'open') AS p ON p.user_id = o.user_id
"""
ADDED = """
SELECT o.user_id, o.happened_at, o.amount + COALESCE(t.total, 8) AS amount, o.status FROM orders AS o
CROSS JOIN (SELECT SUM(bonus) AS total FROM (SELECT 1 AS bonus, status FROM orders) AS b WHERE status = 'none') AS t
"""


@pytest.mark.parametrize(("text", "wanted"), [(JOINED, 17.0), (ADDED, 31.0)])
def test_a_source_with_a_join_finds_null(see: Run, text: str, wanted: float) -> None:
    """What a LEFT JOIN does not find is 0 or '', and so is the sum of no rows."""
    rows = [order("u0", 1.0, "open"), order("u2", 2.0), order("u4", 4.0), order("u1", 1.0)]
    columns = "user_id String, happened_at DateTime64(6), amount Float64, status String"
    assert see({"m": SUM}, rows, columns=columns, source={"table": None, "sql": text}).total() == wanted


@pytest.mark.parametrize(
    ("measure", "wanted"),
    [("amount / qty", 10.25 / 3), ("amount * rate", 10.25 * 0.333), ("amount", 10.25), ("qty / 2", 1.5)],
)
def test_quotients_of_decimals_keep_their_digits(see: Run, measure: str, wanted: float) -> None:
    """A decimal divided by an integer keeps the decimal's two digits; averages do too."""
    columns = (
        "user_id String, happened_at DateTime64(6), amount Decimal(12, 2), qty Int64, rate Decimal(6, 3), status String"
    )
    rows = [order(u, 10.25, 3, 0.333, "paid") for u, _ in UNITS]
    seen = see({"m": SUM}, rows, columns=columns, source={"measures": {"amount": measure}})
    assert seen.value() == pytest.approx(wanted, rel=1e-12)


def test_the_mean_of_decimals_keeps_its_digits(see: Run) -> None:
    columns = "user_id String, happened_at DateTime64(6), amount Decimal(12, 2), status String"
    seen = see({"m": SUM}, [order("u0", 41.94), order("u2", 41.95), order("u1", 1)], columns=columns)
    assert seen.value() == pytest.approx((41.94 + 41.95) / 5, rel=1e-12)


@pytest.mark.parametrize("kind", ["Int64", "Nullable(Int64)", "UInt64"])
@pytest.mark.parametrize("of", ["measure", "filter"])
def test_a_product_of_more_than_64_bits_is_refused(see: Run, kind: str, of: str) -> None:
    """It wraps around: 4e9 * 8e9 is negative."""
    columns = f"user_id String, happened_at DateTime64(6), amount {kind}, qty {kind}, status String"
    rows = [order("u0", 4_000_000_000, 8_000_000_000, "paid"), order("u1", 1, 1, "paid")]
    measure = "amount * qty" if of == "measure" else "amount"
    metric = {**SUM, "filter": "amount * qty > 5"} if of == "filter" else SUM
    with pytest.raises(WarehouseError, match="a product has more than 64 bits"):
        see({"m": metric}, rows, columns=columns, source={"measures": {"amount": measure}})


@pytest.mark.parametrize(
    "kind", ["Int64", "Nullable(Float64)", "Decimal(18, 2)", "Int32", "LowCardinality(Nullable(Int8))"]
)
def test_other_products_are_products(see: Run, kind: str) -> None:
    columns = f"user_id String, happened_at DateTime64(6), amount {kind}, qty {kind}, status String"
    rows = [order("u0", 7, -3, "paid"), order("u2", 5, 2, "paid"), order("u1", 1, 1, "paid")]
    if "Nullable" in kind:
        rows.append(order("u4", 5, None, "paid"))
    settings = " SETTINGS allow_suspicious_low_cardinality_types = 1"
    seen = see({"m": SUM}, rows, columns=columns, source={"measures": {"amount": "amount * qty * 2"}}, made=settings)
    assert seen.total() == -22.0


def test_a_quotient_with_zero_is_no_value(see: Run) -> None:
    """x / 0 is infinite."""
    columns = "user_id String, happened_at DateTime64(6), amount Float64, qty Int64, status String"
    rows = [order("u0", 6.0, 3, "paid"), order("u2", 6.0, 0, "paid"), order("u1", 1.0, 1, "paid")]
    metric = {**SUM, "missing": "exclude"}
    seen = see({"m": metric}, rows, columns=columns, source={"measures": {"amount": "amount / qty"}})
    assert seen.value() == pytest.approx(2.0)


@pytest.mark.parametrize("agg", ["sum", "max", "min"])
@pytest.mark.parametrize("daily", [False, True])
def test_what_is_no_number_is_refused(see: Run, agg: str, daily: bool) -> None:
    """MAX and MIN pass over it, and it is equal to nothing."""
    rows = [order(u, 1.0 + i) for i, (u, _) in enumerate(UNITS)] + [order("u0", math.nan)]
    seen = see({"m": {**SUM, "agg": agg, "missing": "zero"}}, rows, daily=daily)
    assert seen.row().reason == "not_finite"
    days = {(entry["day"], entry["reason"]) for entry in seen.readout.series}
    assert days == ({(None, seen.row().message)} if daily else set())


@pytest.mark.parametrize("of", ["units", "events"])
@pytest.mark.parametrize("capped", [False, True])
def test_a_quantile_or_cap_over_what_is_no_number_is_refused(see: Run, of: str, capped: bool) -> None:
    metric: dict[str, Any] = {"type": "quantile", "source": "orders", "measure": "amount", "quantile": "p50"}
    metric |= {"of": "events"} if of == "events" else {"agg": "sum", "missing": "zero"}
    rows = [order(u, 1.0 + i) for i, (u, _) in enumerate(UNITS)] + [order("u0", math.nan)]
    capped_sum = {**SUM, "cap": {"upper": "p90"}}
    seen = see({"m": capped_sum if capped else {**metric, "direction": "increase"}}, rows)
    assert seen.row().reason == "not_finite"


def test_a_threshold_of_what_is_no_number_is_refused(see: Run) -> None:
    metric = {**SUM, "type": "threshold", "more_than": 3}
    rows = [order(u, 1.0 + i) for i, (u, _) in enumerate(UNITS)] + [order("u0", math.nan)]
    assert see({"m": metric}, rows).row().reason == "not_finite"


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("status in ('paid', null)", 1.0),
        ("status not in ('paid', null)", 0.0),
        ("status not in ('paid', 'open')", 4.0),
        ("upper(status) = 'GEPRÜFT'", 4.0),
        ("lower(status) = 'geprüft'", 4.0),
        ("substr(status, 1, 5) = 'geprü'", 4.0),
        ("length(status) = 7", 4.0),
        ("status like 'gepr_ft'", 4.0),
    ],
)
def test_filters_mean_what_they_mean_elsewhere(see: Run, condition: str, wanted: float) -> None:
    """IN passes over NULL in its list; functions of text see bytes, and change ASCII only."""
    rows = [
        order("u0", 1.0, "paid"),
        order("u2", 2.0, "open"),
        order("u4", 4.0, "geprüft"),
        order("u6", 8.0, None),
        order("u1", 1.0, "paid"),
    ]
    assert see({"m": {**SUM, "filter": condition}}, rows).total() == wanted


def test_not_in_a_query_is_refused(see: Run) -> None:
    """NOT IN passes over NULL in the query's rows."""
    text = "SELECT user_id, happened_at, amount, status FROM orders WHERE status NOT IN (SELECT status FROM orders)"
    with pytest.raises(UsageError, match=r"NOT IN \(SELECT"):
        see({"m": SUM}, [order("u0", 1.0)], source={"table": None, "sql": text})


def test_conditions_as_levels_are_true_and_false(see: Run) -> None:
    """A comparison is 1 or 0."""
    units = [(u, arm, "web" if i < 6 else None) for i, (u, arm) in enumerate(UNITS)]
    seen = see(
        {"m": SUM},
        [*each([1.0, 2.0, 4.0, 8.0, 16.0]), order("u1", 1.0)],
        units=units,
        exposures={"dimensions": {"is_web": "coalesce(platform = 'web', false)"}},
        analysis={"breakdowns": ["is_web"]},
    )
    assert {row.segment["is_web"] for row in seen.readout.estimates if row.segment} == {"true", "false"}


def test_days_before_1970_and_in_the_zone_of_the_session(see: Run) -> None:
    """A Date begins in 1970, and a day is one of the server's zone."""
    columns = "user_id String, happened_at DateTime64(6), amount Float64, born String, at DateTime('Asia/Tokyo'), status String"
    late = START + timedelta(hours=20)  # the next day in Tokyo, the same in Los Angeles
    early = START + timedelta(hours=2)  # the day before in Los Angeles
    rows = [
        order("u0", 1.0, "1955-05-05", late, "paid"),
        order("u2", 2.0, "1969-12-31", early, "paid"),
        order("u4", 4.0, "1975-05-05", early, "paid"),
        order("u1", 1.0, "1955-05-05", late, "paid"),
    ]
    old = {**SUM, "filter": "cast(born as date) < cast('1960-01-01' as date)"}
    assert see({"m": old}, rows, columns=columns).total() == 1.0
    day = {**SUM, "filter": "cast(at as date) = cast('2026-01-05' as date)"}
    assert see({"m": day}, rows, columns=columns).total() == 7.0
    day = {**SUM, "filter": "cast(happened_at as date) = cast('2026-01-05' as date)"}
    assert see({"m": day}, rows, columns=columns).total() == 7.0


def test_mixed_types_are_refused_not_mixed(see: Run) -> None:
    """A value of either type is a Variant, which compares by type first."""
    columns = "user_id String, happened_at DateTime64(6), amount Float64, qty Int64, status String"
    rows = [order("u0", 1.5, 2, "paid"), order("u1", 1.0, 1, "paid")]
    source = {"measures": {"amount": "case when status = 'paid' then amount else qty end"}}
    with pytest.raises(DefinitionErrors) as caught:
        see({"m": SUM}, rows, columns=columns, source=source)
    assert "no supertype" in str(caught.value.diagnostics[0].message)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_local_times_that_happen_twice_or_never(engine: Engine, zone: str) -> None:
    """ClickHouse takes the earlier of two readings; DuckDB and PostgreSQL take the later one."""
    assert isinstance(engine, ClickHouse)
    engine.fill({})
    engine.execute("CREATE TABLE times (moment Nullable(DateTime64(6))) ENGINE = MergeTree ORDER BY tuple()")
    engine.execute(
        "INSERT INTO times SELECT toDateTime64('2026-01-01', 6, 'UTC') + toIntervalMinute(number * 30)"
        " + toIntervalMicrosecond(1) FROM numbers(17520)"
    )
    sql = SqlText(DIALECTS["clickhouse"])
    with connect(engine.profile()) as warehouse:
        query = f"SELECT toUnixTimestamp64Micro(moment) AS local_us, {sql.epoch_us(sql.utc('moment', zone))} AS utc_us FROM times"
        rows = warehouse.execute([query]).to_pylist()
    reference = SqlText(DIALECTS["duckdb"])
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            "CREATE TABLE times AS SELECT TIMESTAMP '2026-01-01 00:00:00.000001' + to_minutes(i * 30) AS moment FROM range(17520) AS r(i)"
        )
        wanted = connection.execute(
            f"SELECT epoch_us(moment), {reference.epoch_us(reference.utc('moment', zone))} FROM times"
        )
        assert {row["local_us"]: row["utc_us"] for row in rows} == dict(wanted.fetchall())


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT file('/etc/hostname') AS a FROM t",
        "SELECT a FROM t WHERE a IN url('http://localhost/')",
        "WITH q AS (SELECT * FROM remote('host', a.b)) SELECT a FROM q",
        "SELECT a FROM view(SELECT * FROM s3('x'))",
    ],
)
def test_sources_read_the_warehouse_only(engine: Engine, text: str) -> None:
    source = Source.model_construct(sql=text, table=None, dialect="clickhouse", dimensions={})
    with pytest.raises(UsageError, match="outside the warehouse"):
        SqlText(DIALECTS["clickhouse"]).relation("orders", source)


def test_long_statements_are_read(engine: Engine) -> None:
    """256 KiB are the default; a hundred metrics need more."""
    with connect(engine.profile()) as warehouse:
        text = " + ".join(["1"] * 2) + " /* " + "x" * 400_000 + " */"
        assert warehouse.execute([f"SELECT {text} AS two"]).to_pylist() == [{"two": 2}]
