"""The re-randomisation study finds what is there: it counts decisions that the engine's rows lead to."""

import numpy as np
import pytest

from benchmarks import rerandomisation
from benchmarks.rerandomisation import TRUTHS, run_some, table


@pytest.fixture(autouse=True)
def few_units(monkeypatch):
    monkeypatch.setattr(rerandomisation, "UNITS", 400)


@pytest.mark.parametrize("design", ["fixed", "group_sequential"])
def test_a_large_effect_is_found_and_the_guardrail_at_its_margin_blocks(design):
    counts = run_some((design, TRUTHS[1].name, 0, 3))
    assert counts["a primary metric superior"] == 3
    assert counts["stop"] == 0


def test_replications_differ_and_are_repeated_by_their_seed():
    found = [run_some(("fixed", TRUTHS[0].name, seed, seed + 1)) for seed in (0, 0, 1, 2)]
    assert found[0] == found[1]


def test_effects_are_exact(tmp_path):
    """The guardrail of a treated unit is 5 % lower row by row, so the true relative effect is the margin itself."""
    import duckdb

    truth = TRUTHS[1]
    project = rerandomisation.write_project(tmp_path / "p", None, truth)
    with duckdb.connect() as connection:
        rerandomisation.fill(connection, 400, np.random.default_rng(1))
        query = project.definitions.sources["orders"].sql
        sums = {}
        for arm in ("control", "treatment"):
            connection.execute("DELETE FROM arms")
            connection.execute("INSERT INTO arms SELECT user_id, ? FROM entries", [arm])
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
