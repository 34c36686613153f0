"""Changes of a locked protocol that alter the rows behind a number must not pass as another spelling."""

from __future__ import annotations

import pytest

from metricdef.api import Project
from metricdef.governance.meaning import canonical_condition, canonical_expression, canonical_query
from tests.governance.shop import SHOP, changed, write_shop

VISITS = ("sources", "visits", "sql")
PLAIN = "select user_id, started_at, page, seconds from sessions"


def errors(tmp_path, before, after):
    write_shop(tmp_path, before).lock("checkout")
    write_shop(tmp_path, after)
    return {d.rule for d in Project(tmp_path).check() if d.severity == "error"}


@pytest.mark.parametrize(
    "column",
    [
        "unnest(items) as item",
        "explode(items) as item",
        "generate_series(1, items) as item",
        "jsonb_array_elements(items) as item",
        "1 + unnest(items) as item",
        "max(items) as item",
    ],
)
def test_a_column_nobody_reads_that_makes_rows_is_part_of_the_protocol(tmp_path, column):
    """It was left out of the comparison, so that every count of rows changed under a lock that still held."""
    before, after = PLAIN, f"select user_id, started_at, page, seconds, {column} from sessions"
    source = changed(SHOP, VISITS, before)
    source["sources"]["visits"]["dialect"] = "postgres"
    assert errors(tmp_path, source, changed(source, VISITS, after)) == {"protocol-changed-after-start"}
    read = frozenset({"user_id"})
    one, two = (
        canonical_query(f"select user_id, {c} from t", "postgres", read) for c in (column, column.replace("items", "b"))
    )
    assert one != two


@pytest.mark.parametrize("dialect", ["snowflake", "trino", "postgres"])
def test_what_is_not_known_is_part_of_the_protocol(dialect):
    """For Snowflake both were written `NOT paid`, which leaves out the rows where that is not known."""
    for one, two in (("paid IS NOT TRUE", "NOT paid"), ("paid IS TRUE", "paid"), ("paid IS NOT FALSE", "paid IS TRUE")):
        assert canonical_condition(one, dialect) != canonical_condition(two, dialect)
        assert canonical_expression(f"({one})", dialect) != canonical_expression(two, dialect)
        queries = [canonical_query(f"SELECT a FROM t WHERE {text}", dialect) for text in (one, two)]
        assert queries[0] != queries[1]
