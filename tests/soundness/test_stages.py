"""A stage that is read twice must be computed once: units are numbered in it, and fact tables are read in it."""

import re
from collections import Counter
from datetime import UTC

import pytest
from oracle.cases import random_case
from oracle.files import write_project
from thorough import cases

from metricdef.api import Project
from metricdef.compiler.render import render

pytestmark = pytest.mark.soundness
STAGE = re.compile(r"^(md_\w+) AS \($", re.MULTILINE)
TABLE = re.compile(r"^CREATE OR REPLACE TEMPORARY TABLE (md_\w+) AS$", re.MULTILINE)
READ = re.compile(r"\b(?:FROM|JOIN) (md_\w+)")


@pytest.mark.thorough
@pytest.mark.parametrize("daily", [False, True])
def test_no_stage_is_computed_twice_where_a_cte_would_be(tmp_path, daily):
    """On an engine that puts a CTE in the place of its name, every stage with two readers is a temporary table."""
    checked = 0
    for seed in range(cases(8, 30)):
        case = random_case(seed)
        folder = tmp_path / str(seed)
        write_project(case, folder)
        plan = Project(folder).plan(case.experiment, case.as_of.replace(tzinfo=UTC), daily=daily)
        statements = render(plan, "snowflake").statements
        tables = Counter(name for statement in statements for name in TABLE.findall(statement))
        assert set(tables.values()) <= {1}, seed
        written = Counter(name for statement in statements for name in STAGE.findall(statement))
        assert set(written.values()) <= {1}, (seed, [name for name, count in written.items() if count > 1])
        read = Counter(name for statement in statements for name in READ.findall(statement))
        assert all(read[name] <= 1 for name in written), (seed, [n for n in written if read[n] > 1])
        checked += len(written)
    assert checked > cases(50, 100)
