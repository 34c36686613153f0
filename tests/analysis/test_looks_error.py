"""The rate of false verdicts over five looks, through `analyse` from moments to decision.

Class B of the calibration (section 12 of the semantics): at most the level + 3 Monte Carlo errors. The result table is one
that DuckDB gave, with the sums of simulated units in place of its own.
"""

from __future__ import annotations

import math

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from looks import row
from projects import METRICS, PROJECT, SOURCES, TABLES, experiment, write_definitions
from thorough import cases

from metricdef.analysis.analyse import analyse
from metricdef.analysis.look_record import LookRecord
from metricdef.api import Project

REPLICATIONS = cases(30, 80)
UNITS = 150  # that an arm gains from look to look
DAYS = ("2026-01-09", "2026-01-15", "2026-01-21", "2026-01-28", "2026-02-04")
DESIGNS = {
    "pocock": {"method": "group_sequential", "spending": "pocock", "looks": ["8d", "14d", "20d", "27d", "34d"]},
    "hybrid": {
        "method": "hybrid", "looks": ["8d", "14d", "20d", "27d", "34d"], "anytime_alpha": "1%", "final_alpha": "4%",
        "planned_units": 1500,
    },
    "always_valid": {"method": "always_valid", "planned_units": 1500},
}  # fmt: skip


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Per design the definitions and, per look, the query with one row of its result for each arm."""
    found = {}
    for name, design in DESIGNS.items():
        root = tmp_path_factory.mktemp(name)
        metrics = {"primary": {"revenue": {"mde": "2%"}}}
        protocol = experiment(metrics=metrics, analysis={"sequential": design})
        write_definitions(root, SOURCES, METRICS, protocol, project={**PROJECT, "defaults": {"window": "3d"}})
        project = Project(root)
        queries = [project.compile("test", as_of=day) for day in DAYS]
        with duckdb.connect() as connection:
            for statement in TABLES:
                connection.execute(statement)
            connection.execute(
                "INSERT INTO assignments SELECT i::VARCHAR, 'test', CASE i % 2 WHEN 0 THEN 'control' ELSE 'treatment' END, "
                "TIMESTAMP '2026-01-02', 'web' FROM range(40) t(i)"
            )
            tables = [connection.sql(query.statements[-1]).to_arrow_table() for query in queries]
        found[name] = project.definitions, queries, tables
    return found


def table_of(like: pa.Table, arms: list[np.ndarray]) -> pa.Table:
    """The table with the sums of these values per arm, each a distance from a centre of 0."""
    rows = []
    for found in like.to_pylist():
        if found["kind"] != "group" or found["mixed"] or found["arm"] >= len(arms):
            rows.append(found)
            continue
        y = arms[found["arm"]]
        n = len(y)
        sums = {
            "s__b0_0": y.sum(), "q__b0_0_0": (y * y).sum(), "k__b0_0": (y**3).sum(), "a__b0_0": np.abs(y).max(),
            "z__b0_0": n, "n__mature_3d": n, "group_rows": n,
        }  # fmt: skip
        counts = dict.fromkeys(("units_assigned", "units_in_population", "units_analysed"), n)
        rows.append({**found, **counts, **{k: v for k, v in sums.items() if k in found}})
    for changed in rows:
        changed["c__b0_0"] = 0.0
    return pa.Table.from_pylist(rows, schema=like.schema)


def verdicts(shape, rng, shift=0.0):
    """One experiment: whether any look found the arm better, or worse."""
    project, queries, tables = shape
    history: list[LookRecord] = []
    arms = [np.empty(0), np.empty(0)]
    for query, like in zip(queries, tables, strict=True):
        arms = [np.append(y, rng.normal(shift * k, 1.0, UNITS)) for k, y in enumerate(arms)]
        readout = analyse(project, query, table_of(like, arms), history=history)
        found = row(readout, "revenue")
        assert found.units == (len(arms[0]), len(arms[1]))
        assert found.absolute.estimate == pytest.approx(arms[1].mean() - arms[0].mean(), rel=1e-9)
        if found.verdict in ("superior", "inferior"):
            return found.verdict
        history.append(LookRecord.from_dict(readout.look["record"]))
    return "inconclusive"


@pytest.mark.thorough
@pytest.mark.parametrize("name", sorted(DESIGNS))
def test_five_looks_err_no_more_often_than_one(shapes, name):
    rng = np.random.default_rng(20260102)
    false = sum(verdicts(shapes[name], rng) != "inconclusive" for _ in range(REPLICATIONS))
    assert false / REPLICATIONS <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / REPLICATIONS)


@pytest.mark.parametrize("name", sorted(DESIGNS))
def test_a_large_effect_is_found(shapes, name):
    rng = np.random.default_rng(20260103)
    assert [verdicts(shapes[name], rng, shift=0.35) for _ in range(5)] == ["superior"] * 5
    assert verdicts(shapes[name], rng, shift=-0.35) == "inferior"
