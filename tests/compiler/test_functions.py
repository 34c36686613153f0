"""What the compiled SQL calls: the functions that every engine has, and few of the dialect's own."""

from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from metricdef.compiler.dialects import DIALECTS

GOLDEN = Path(__file__).parent / "golden"
COMMON = {"abs", "avg", "coalesce", "count", "floor", "lag", "max", "min", "nullif", "row_number", "sqrt", "sum"}
OWN = {
    "duckdb": {"epoch_us", "percentile_cont"},
    "postgres": {"array_agg", "extract", "percentile_cont"},
    "snowflake": {"convert_timezone", "extract", "percentile_cont"},
    "spark": {"convert_timezone", "quantile", "unix_micros"},
    "clickhouse": {"arg_max", "is_nan", "parameterized_agg", "todatetime64", "tounixtimestamp64micro"},
    "bigquery": {"is_nan", "unix_micros"},
    "redshift": {"ts_or_ds_diff"},
    "trino": {"arg_max", "date_add", "datediff", "infinity", "is_nan", "round", "time_to_unix"},
}
SYNTAX = (exp.And, exp.Or, exp.Case, exp.If, exp.Cast)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_only_functions_that_are_known_are_called(dialect: str) -> None:
    """sqlglot parses any name: one that the engine lacks, or has with another meaning, would be seen in a run alone."""
    called = set()
    for path in GOLDEN.glob(f"*_{dialect}.sql"):
        for tree in sqlglot.parse(path.read_text(), read=DIALECTS[dialect].sqlglot):
            for node in tree.find_all(exp.Func) if tree else ():
                if isinstance(node, exp.Anonymous):
                    called.add(node.name.lower())
                elif not isinstance(node, SYNTAX):
                    called.add(node.sql_name().lower())
    assert called > {"count", "sum", "min"}
    assert called <= COMMON | OWN[dialect]


def test_names_that_snowflake_must_quote_are_in_upper_case() -> None:
    """Quoted in lower case they would be other columns, and the server that imitates Snowflake takes them."""
    for path in GOLDEN.glob("*_snowflake.sql"):
        trees = [tree for tree in sqlglot.parse(path.read_text(), read="snowflake") if tree]
        quoted = {node.name for tree in trees for node in tree.find_all(exp.Identifier) if node.quoted}
        assert quoted == {name.upper() for name in quoted}
