"""The benchmark measures what it says: equal seeds give equal rows, and every program compared gives the same numbers."""

import dataclasses
import json
import shutil
import subprocess
import sys

import duckdb
import numpy as np
import pytest
from thorough import cases

from benchmarks import agreement, alternatives, bars, document, measure
from benchmarks.incremental import day_by_day
from benchmarks.measure import Cost, Settings
from benchmarks.metrics import SPECS
from benchmarks.run import agree, programs, programs_by_day
from benchmarks.warehouse import SEED, warehouse
from benchmarks.workload import compiled, supported
from metricdef.api import Project

SCALE = 0.002


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(warehouse(SCALE, SEED, tmp_path_factory.mktemp("data")), memory="1GB")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return supported(tmp_path_factory.mktemp("project"))


def rows(path, query):
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(query).fetchall()


def contents(path):
    return [
        rows(path, f"SELECT COUNT(*), BIT_XOR(HASH(t, rowid)) FROM {table} AS t")
        for table in ("users", "exposures", "events")
    ]


def test_equal_seeds_give_equal_rows_and_others_do_not(settings, tmp_path):
    assert contents(warehouse(SCALE, SEED, tmp_path)) == contents(settings.database)
    assert contents(warehouse(SCALE, SEED + 1, tmp_path)) != contents(settings.database)


def test_a_warehouse_is_made_again_only_when_something_changed(tmp_path):
    path = warehouse(SCALE, SEED, tmp_path)
    made = path.stat().st_mtime_ns
    assert warehouse(SCALE, SEED, tmp_path).stat().st_mtime_ns == made
    note = path.with_suffix(".json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "version": -1}))
    assert warehouse(SCALE, SEED, tmp_path).stat().st_mtime_ns != made


def test_the_warehouse_is_as_described(settings):
    users, exposed, exposures, events, late, wrong = (
        rows(settings.database, query)[0][0]
        for query in (
            "SELECT COUNT(DISTINCT user_id) FROM users WHERE LENGTH(user_id) = 16",
            "SELECT COUNT(DISTINCT user_id) FROM exposures WHERE experiment_key = 'checkout'",
            "SELECT COUNT(*) FROM exposures",
            "SELECT COUNT(*) FROM events",
            "SELECT AVG(CAST(loaded_at - event_at >= INTERVAL 1 HOUR AS INTEGER)) FROM events",
            """SELECT COUNT(*) FROM events INNER JOIN users USING (user_id)
            WHERE events.user_key <> users.user_key OR event_at < signed_up_at""",
        )
    )
    assert (users, exposed, wrong) == (3_200, 2_000, 0)
    assert exposures == pytest.approx(6_850_000 * SCALE, rel=0.05)
    assert events == pytest.approx(29_900_000 * SCALE, rel=0.1)
    assert late == pytest.approx(0.007, rel=0.25)


def test_the_project_has_the_workload(work):
    project = Project("benchmarks/project").definitions
    assert [spec.name for spec in SPECS] == sorted(
        project.metrics.keys() - {"small_orders"}, key=[spec.name for spec in SPECS].index
    )
    assert len(SPECS) == 20
    assert work.metrics("w") == {spec.name for spec in SPECS} - set(work.dropped)
    # What is left out is refused by name; nothing else is.
    assert all(f"`{name}`" in reason and "yet" in reason for name, reason in work.dropped.items())


def test_metricdef_and_the_programs_compared_agree(work, settings):
    found, query = programs(work, {})
    assert agree(work, query, found, settings) <= agreement.TOLERANCE


def test_the_programs_compared_agree_on_every_metric(settings):
    names = {spec.name for spec in SPECS}
    by_hand = measure.execute(alternatives.by_hand(names), settings)
    figures, quantiles = agreement.plain_figures(names, by_hand), agreement.plain_quantiles(names, by_hand)
    assert len(figures) == 19 * 3
    assert len(quantiles) == 3
    for program in (alternatives.per_metric, alternatives.grouped, alternatives.grouped_filtered):
        tables = measure.execute(program(names), settings)
        agreement.compare(figures, agreement.plain_figures(names, tables), program.__name__)
        agreement.compare_quantiles(quantiles, agreement.plain_quantiles(names, tables), program.__name__)


@pytest.mark.parametrize("change", ["n", "mean", "cov"])
def test_a_disagreement_is_found(settings, change):
    names = {"revenue"}
    figures = agreement.plain_figures(names, measure.execute(alternatives.per_metric(names), settings))
    key = next(iter(figures))
    value = getattr(figures[key], change)
    other = {
        **figures,
        key: dataclasses.replace(figures[key], **{change: value + 1 if change == "n" else value * (1 + 1e-8)}),
    }
    with pytest.raises(agreement.Disagreement):
        agreement.compare(figures, other, "changed")
    with pytest.raises(agreement.Disagreement):
        agreement.compare(figures, {k: v for k, v in figures.items() if k != key}, "one less")


@pytest.mark.parametrize("change", ["at", "l", "mm"])
def test_a_disagreement_of_quantiles_is_found(change):
    reference = {("latency_p90", "control"): {"at": 10.0, "l": 9.0, "mm": 4.0}}
    figures = reference["latency_p90", "control"]
    other = {("latency_p90", "control"): {**figures, change: figures[change] * (1 + 1e-8)}}
    agreement.compare_quantiles(reference, reference, "same")
    for wrong in (other, {}):
        with pytest.raises(agreement.Disagreement):
            agreement.compare_quantiles(reference, wrong, "changed")


def test_programs_take_turns_in_processes_of_their_own(settings):
    turns = []
    costs = measure.take_turns({"a": ["SELECT 1"], "b": ["SELECT 2"]}, settings, 2, turns.append)
    assert [line.partition(":")[0] for line in turns] == ["warm-up a", "warm-up b", "1/2 a", "1/2 b", "2/2 a", "2/2 b"]
    assert [len(found) for found in costs.values()] == [2, 2]
    assert all(cost.wall > 0 and cost.peak > 10_000_000 for found in costs.values() for cost in found)
    with pytest.raises(RuntimeError, match="nothing_here"):
        measure.run(["SELECT * FROM nothing_here"], settings)


def test_ratios_are_taken_within_a_turn():
    costs = {
        "a": [Cost(0, 1.0, 0), Cost(0, 9.0, 0), Cost(0, 8.0, 0)],
        "b": [Cost(0, 1.0, 0), Cost(0, 3.0, 0), Cost(0, 4.0, 0)],
    }
    assert measure.ratio(costs, "a", "b") == 2.0


def test_scans_of_the_facts_are_counted(work, settings):
    twice = "WITH e AS NOT MATERIALIZED (SELECT * FROM events) SELECT * FROM e AS a CROSS JOIN (SELECT SUM(user_key) FROM e) AS b"
    assert measure.scans([twice], "events", settings) == 2
    assert measure.scans(["SELECT * FROM users"], "events", settings) == 0
    found = programs(work, {})[0]
    for name in ("w", "w_extra", "w_two", "w_dimensions", "w_daily", "daily_28"):
        assert measure.scans(found[name], "events", settings) == 1, name


def test_all_metrics_by_segment_read_the_facts_once(tmp_path, settings):
    project = supported(tmp_path).project
    path = project.root / "metrics" / "experiments" / "w_dimensions.yml"
    path.write_text(path.read_text().replace("      secondary:\n", "      secondary:\n        latency_p90:\n"))
    query = compiled(Project(project.root), "w_dimensions")
    assert len(query.plan.metrics) == 20
    assert [d.name for d in query.plan.breakdowns] == ["platform", "country"]
    assert measure.scans(query.statements, "events", settings) == 1


def result(**ratios):
    return {
        "ratios": ratios,
        "more": {},
        "skipped": {"daily_over_w": "there is no daily series yet"},
        "dropped_metrics": {"latency_p90": "not yet"},
        "metrics": 19,
        "scale": 0.1,
        "repeats": 2,
        "date": "2026-01-01",
        "machine": {"system": "Linux", "processor": "x86_64", "threads": 2},
        "versions": {"metricdef": "0", "duckdb": "2", "python": "3"},
        "programs": {"w": {"cpu_s": 1.0, "wall_s": 0.5, "peak_gb": 0.2, "over_limit": 1.5}},
    }


def test_bars_depend_on_direction_and_scale():
    by_key = {bar.key: bar for bar in bars.RATIOS}
    assert by_key["w_over_limit"].met(2.3, 0.1)
    assert not by_key["w_over_limit"].met(2.3, 1.0)
    assert not by_key["grouped_over_w"].met(2.2, 1.0)
    assert by_key["grouped_over_w"].met(2.4, 1.0)


def test_the_report_names_missed_bars_and_reasons():
    text = document.text(result(w_over_limit=2.31, grouped_over_w=5.0, peak_gb=0.2))
    assert text.endswith("bars missed: w_over_limit")
    assert "not measured: there is no daily series yet" in text
    assert "holds at scale 1 only" in text
    assert document.text(result(w_over_limit=2.0)).endswith("bars missed: none")


def test_the_page_is_written_between_its_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{document.BEGIN}\nold\n{document.FINISH}\nafter\n")
    document.write(result(w_over_limit=np.float64(2.0)), page)
    content = page.read_text()
    assert content.startswith(f"before\n{document.BEGIN}\n")
    assert content.endswith(f"{document.FINISH}\nafter\n")
    assert "old" not in content
    assert "| W / (scan + join + one sum a unit) | 2 | ≤ 2.3 | ≤ 1.5 | met |" in content
    page.write_text("no markers")
    with pytest.raises(ValueError, match="markers"):
        document.write(result(), page)


@pytest.mark.thorough
@pytest.mark.parametrize("restate", cases([True], [True, False]))
def test_days_added_one_by_one_are_all_at_once(settings, tmp_path, restate):
    copy = tmp_path / "warehouse.duckdb"
    shutil.copy(settings.database, copy)
    own = dataclasses.replace(settings, database=copy, state=tmp_path / "state.duckdb")
    if restate:
        assert day_by_day(own, tmp_path / "project") <= agreement.TOLERANCE
    else:
        with pytest.raises(agreement.Disagreement):
            day_by_day(own, tmp_path / "project", restate=False)


def test_the_measured_day_is_added_to_what_is_there(settings, work, tmp_path):
    own = dataclasses.replace(settings, state=tmp_path / "state.duckdb")
    found = programs_by_day(work, own)
    for _ in range(2):
        measure.run(found["day_job"], own)
    with duckdb.connect(str(own.state)) as connection:
        names = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        runs = next(name for name in names if name.endswith("_runs"))
        assert connection.execute(f"SELECT COUNT(*) FROM {runs}").fetchall() == [(2,)]


def test_the_measured_process_starts_no_threads_of_linear_algebra():
    """They turn idly for a tenth of a second after they were started, at the cost of whatever is measured then."""
    text = "import sys, benchmarks.measure; print(sorted({'numpy', 'pyarrow', 'scipy'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, cwd=measure.ROOT)
    assert done.stdout.strip() == "[]"
