"""The re-randomisation study finds what is there: it counts decisions that the engine's rows lead to."""

from collections import Counter

import numpy as np
import pytest
from thorough import cases

from benchmarks import rerandomisation
from benchmarks.rerandomisation import Results, run_some, table
from benchmarks.rerandomised import DESIGNS, EARLY, LATER, LOOKS, PLAIN, STEP, TRUTHS, draw, fill, write_project


@pytest.fixture(autouse=True)
def few_units(monkeypatch):
    monkeypatch.setattr(rerandomisation, "UNITS", 400)


def test_a_large_effect_is_found_and_the_guardrail_at_its_margin_blocks(monkeypatch):
    monkeypatch.setattr(rerandomisation, "UNITS", 3000)
    found = run_some((TRUTHS[1].name, 0, 3))
    assert list(found) == ["fixed", "group_sequential"]
    for counts in found.values():
        assert counts["a primary metric superior"] == 3
        assert counts["stop"] == 0


@pytest.mark.thorough
def test_replications_differ_and_are_repeated_by_their_seed():
    assert TRUTHS[0].designs == tuple(DESIGNS)
    truth = cases(TRUTHS[1], TRUTHS[0])
    whole = run_some((truth.name, 0, 2))
    assert tuple(whole) == truth.designs
    parts = [run_some((truth.name, seed, seed + 1)) for seed in (0, 1)]
    assert whole == {design: sum((part[design] for part in parts), Counter()) for design in whole}


def test_designs_share_the_rows_of_the_same_sql_and_a_new_draw_has_its_own(tmp_path):
    import duckdb

    projects = {d: write_project(tmp_path / d, DESIGNS[d], TRUTHS[0]) for d in PLAIN}
    queries = [project.compile("test", "duckdb", LOOKS[-1]) for project in projects.values()]
    assert queries[0].statements != queries[1].statements  # they name their definitions
    with duckdb.connect() as connection:
        fill(connection, 400, np.random.default_rng(1))
        tables = []
        for seed in (1, 2):
            draw(connection, seed)
            results = Results(connection)
            tables.append([results.of(query) for query in queries])
            (whole,) = (connection.sql(queries[1].statements[0]).to_arrow_table(),)
            assert tables[-1][0] is tables[-1][1]
            assert whole.equals(tables[-1][0])
    assert not tables[0][0].equals(tables[1][0])


def test_a_draw_repeats_the_design():
    """Shares change on the day of the ramp's step, and all customers of a shop have its arm."""
    import duckdb

    with duckdb.connect() as connection:
        fill(connection, 4000, np.random.default_rng(1))
        draw(connection, 1)
        shares = f"SELECT AVG((ramp_arm = 'treatment')::INT) FROM entries JOIN arms USING (user_id) GROUP BY entered_at < '{STEP}' ORDER BY 1"
        early, later = (share for (share,) in connection.execute(shares).fetchall())
        assert (early, later) == (pytest.approx(EARLY, abs=0.03), pytest.approx(LATER, abs=0.03))
        shops = "SELECT COUNT(DISTINCT shop_arm) FROM entries JOIN arms USING (user_id) GROUP BY shop_id"
        assert set(connection.execute(shops).fetchall()) == {(1,)}
        assert connection.execute("SELECT COUNT(DISTINCT shop_arm) FROM arms").fetchall() == [(2,)]


def test_effects_are_exact(tmp_path):
    """The guardrail of a treated unit is 5 % lower row by row, so the true relative effect is the margin itself."""
    import duckdb

    truth = TRUTHS[1]
    project = write_project(tmp_path / "p", DESIGNS["fixed"], truth)
    with duckdb.connect() as connection:
        fill(connection, 400, np.random.default_rng(1))
        query = project.definitions.sources["orders"].sql
        sums = {}
        for arm in ("control", "treatment"):
            connection.execute("DELETE FROM arms")
            connection.execute("INSERT INTO arms SELECT user_id, ?, NULL, NULL FROM entries", [arm])
            sums[arm] = connection.execute(
                f"SELECT SUM(speed), SUM(amount) FROM ({query}) AS o INNER JOIN entries USING (user_id) WHERE happened_at >= entered_at"
            ).fetchone()
    assert sums["treatment"][0] / sums["control"][0] == pytest.approx(0.95, rel=1e-12)
    assert sums["treatment"][1] / sums["control"][1] == pytest.approx(1.6, rel=1e-12)


def test_the_table_says_where_a_bound_is_exceeded():
    text = table({("fixed", TRUTHS[0].name): {"ship": 9, "stop": 1, "a primary metric superior": 4}}, 100)
    rows = {line.split(" | ")[2]: line for line in text.splitlines() if line.startswith("| no effect")}
    assert "**exceeded**" in rows["ship"]
    assert "holds" in rows["stop"]
    assert "holds" in rows["a primary metric superior"]
