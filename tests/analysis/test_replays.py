"""Real experiments replayed as sequential designs, units arriving in the order of their rows or times, with a record.

The data are not part of the project: these tests run where they lie beside the checkout and skip elsewhere. Bounds are
compared with gsDesign and rpact (tests/reference) and with the multivariate normal law of the looks as they came out.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pytest
from looks import Looks, row
from projects import PROJECT, write_definitions
from scipy import stats

from metricdef.api import Project

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parents[1] / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not (DATA / "known_results.json").is_file(), reason="the data sets are not beside this checkout"
)
DAYS = [f"2026-01-{1 + 5 * k + 1:02d}" for k in range(1, 6)]  # a day after each fifth of 25 days
LOOKS = ["6d", "11d", "16d", "21d", "26d"]
DESIGNS = {
    "group_sequential": {"method": "group_sequential", "looks": LOOKS},
    "always_valid": {"method": "always_valid", "planned_units": 40_000},
    "hybrid": {
        "method": "hybrid", "looks": LOOKS, "anytime_alpha": "1%", "final_alpha": "4%", "planned_units": 40_000,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Data:
    """A data set as units in their order: arm (0 or 1) and outcome."""

    file: str
    query: str  # arm, y in the order in which units come

    def rows(self):
        with duckdb.connect() as connection:
            found = connection.execute(self.query.format(file=DATA / self.file)).fetchnumpy()
        return np.asarray(found["arm"]).astype(int), np.asarray(found["y"]).astype(float)


SETS = {
    "cookie_cats": Data("cookie_cats.parquet", "SELECT (version = 'gate_40')::INT AS arm, retention_7::INT AS y FROM '{file}'"),
    "landing_page": Data(
        "ab_data.parquet",
        "SELECT (\"group\" = 'treatment')::INT AS arm, converted AS y FROM '{file}' "
        "WHERE (\"group\" = 'treatment') = (landing_page = 'new_page') "
        'QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY "timestamp") = 1 ORDER BY "timestamp", user_id',
    ),
    "hillstrom": Data(
        "hillstrom.parquet",
        "SELECT (segment = 'Mens E-Mail')::INT AS arm, spend AS y FROM '{file}' WHERE segment <> 'Womens E-Mail'",
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=sorted(SETS))
def replay(request, tmp_path_factory):
    """A folder with the rows as an experiment of 25 days, and the rows."""
    arm, y = SETS[request.param].rows()
    root = tmp_path_factory.mktemp(request.param)
    with duckdb.connect(str(root / "warehouse.duckdb")) as connection:
        connection.execute("CREATE TABLE units (u BIGINT, arm INT, y DOUBLE)")
        connection.register("found", {"u": np.arange(len(arm)), "arm": arm, "y": y})
        connection.execute("INSERT INTO units SELECT * FROM found")
        at = f"TIMESTAMP '2026-01-01' + to_microseconds((u * {25 * 86_400_000_000 // len(arm)})::BIGINT)"
        connection.execute(
            f"CREATE TABLE arrivals AS SELECT u, {at} AS at, 'test' AS e, CASE arm WHEN 1 THEN 'treatment' ELSE 'control' END AS arm FROM units"
        )
        connection.execute(f"CREATE TABLE outcomes AS SELECT u, {at} AS at, y FROM units WHERE y <> 0")
    return root, arm, y


def run(replay, method):
    root, _, _ = replay
    sources = {
        "arrivals": {
            "kind": "exposures", "table": "arrivals", "timestamp": "at", "entities": {"user": "u"}, "experiment": "e", "arm": "arm",
        },
        "outcomes": {"table": "outcomes", "timestamp": "at", "entities": {"user": "u"}, "measures": {"y": "y"}},
    }  # fmt: skip
    metric = {
        "type": "mean",
        "source": "outcomes",
        "agg": "sum",
        "measure": "y",
        "window": "1d",
        "direction": "increase",
    }
    experiment = {
        "owners": ["team"], "status": "stopped", "hypothesis": "It works.", "exposure": {"source": "arrivals"},
        "arms": {"control": None, "treatment": None}, "start": "2026-01-01", "end": "2026-01-26",
        "metrics": {"primary": {"outcome": {"mde": "2%"}}}, "analysis": {"sequential": DESIGNS[method]},
    }  # fmt: skip
    write_definitions(
        root,
        {"sources": sources},
        {"metrics": {"outcome": metric}},
        {"experiments": {"test": experiment}},
        project=PROJECT,
    )
    looks = Looks(Project(root))
    return looks, looks.all(DAYS)


def at_look(replay, day):
    """Brute force: units complete at a look, the difference, its standard error, df, and the normal score."""
    _, arm, y = replay
    seconds = (np.datetime64(day) - np.datetime64("2026-01-02")).astype("timedelta64[us]").astype(int)
    step = 25 * 86_400_000_000 // len(arm)
    seen = np.arange(len(arm)) * step <= seconds
    a, b = y[seen & (arm == 1)], y[seen & (arm == 0)]
    test = stats.ttest_ind(a, b, equal_var=False)
    z = math.copysign(stats.norm.isf(test.pvalue / 2), test.statistic)
    error = math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    return len(a) + len(b), a.mean() - b.mean(), error, test.df, z


@pytest.mark.parametrize("method", sorted(DESIGNS))
def test_every_look_is_that_of_the_rows_seen_by_then(replay, method):
    looks, readouts = run(replay, method)
    assert len(looks.history) == len(DAYS)
    limits, before = [], 1.0
    for day, readout in zip(DAYS, readouts, strict=True):
        found = row(readout, "outcome")
        test = found.test("superiority")
        units, estimate, error, df, z = at_look(replay, day)
        assert sum(found.units) == units
        assert found.absolute.estimate == pytest.approx(estimate, rel=1e-9)
        assert test.look.z["greater"] == pytest.approx(z, rel=1e-7, abs=1e-9)
        half = stats.t.isf(stats.norm.sf(test.look.bound), df) * error
        limits.append((estimate - half, estimate + half))
        assert found.absolute.lower == pytest.approx(max(low for low, _ in limits), rel=1e-6)
        assert found.absolute.upper == pytest.approx(min(high for _, high in limits), rel=1e-6)
        crossed = abs(z) >= test.look.bound
        assert (test.p_value <= 0.05) == (crossed or before <= 0.05)
        assert test.rejected == (found.verdict in ("superior", "inferior"))
        assert test.rejected == (not found.absolute.lower <= 0 <= found.absolute.upper)
        before = test.p_value
    # A replay of a look from the middle gives what it gave.
    again = looks.run(DAYS[2])
    assert again.look["replay"]
    assert again.estimates == readouts[2].estimates
    assert again.look["differences"] == []


def reference(case_id):
    cases = json.loads((ROOT / "reference" / "group_sequential.json").read_text())
    return next(c for c in cases if c["id"] == case_id)["expected"]["critical_values"]


def test_bounds_are_the_reference_values(replay):
    """rpact's for five looks at equal steps, which these nearly are; and exactly alpha for the steps as they came out."""
    looks, readouts = run(replay, "group_sequential")
    bounds = [row(r, "outcome").test("superiority").look.bound for r in readouts]
    published = reference("gs-03-ldof-5")
    assert bounds[0] == pytest.approx(published[0], abs=1e-6)
    # Rows in order bring a fifth of the units each; spend's variance moves from fifth to fifth.
    assert bounds == pytest.approx(published, abs=0.03)
    information = np.array([record.results[0].information for record in looks.history])
    correlation = np.sqrt(np.minimum.outer(information, information) / np.maximum.outer(information, information))
    law = stats.multivariate_normal(cov=correlation, maxpts=4_000_000, abseps=1e-7, releps=1e-7, seed=1)
    stay = law.cdf(np.array(bounds))
    assert 1 - stay == pytest.approx(0.025, abs=5e-6)


def test_confidence_sequences_are_the_published_formula(replay):
    _, readouts = run(replay, "always_valid")
    for day, readout in zip(DAYS, readouts, strict=True):
        units = at_look(replay, day)[0]
        rho2 = (-2 * math.log(0.05) + math.log(1 - 2 * math.log(0.05))) / 40_000
        k = units * rho2 + 1
        margin = math.sqrt(2 * k / (units * rho2) * math.log1p(math.sqrt(k) / (2 * 0.025)))
        assert row(readout, "outcome").test("superiority").look.bound == pytest.approx(margin, rel=1e-9)


def test_the_hybrid_has_both_parts(replay):
    looks, readouts = run(replay, "hybrid")
    information = [record.results[0].information for record in looks.history]
    anytime = [row(r, "outcome").test("superiority").look.bound for r in run(replay, "always_valid")[1]]
    for k, readout in enumerate(readouts):
        bound = row(readout, "outcome").test("superiority").look.bound
        assert bound <= anytime[k] * 1.3
        assert readout.look["fraction"] == pytest.approx((k + 1) / 5)
    assert information == sorted(information)
    # At the last look the planned part speaks: Lan & DeMets at 4 %, a little above the fixed 2.054.
    assert stats.norm.isf(0.02) < row(readouts[-1], "outcome").test("superiority").look.bound < 2.2
