"""`metricdef run --all`: every experiment that runs, each by itself."""

import json
import os
import shutil
import signal
import threading

import pytest
import yaml
from projects import METRICS, PROJECT, SOURCES, TABLES, experiment, write_definitions, write_warehouse

from metricdef.api import Project
from metricdef.cli.main import main
from metricdef.cli.output import write_file
from metricdef.errors import WarehouseUnavailable
from metricdef.governance.record import record_path
from metricdef.warehouses.duckdb import DuckDBWarehouse
from metricdef.warehouses.profile import resolve_profile

ROWS = (
    """INSERT INTO assignments SELECT 'u' || i, e.name, CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END,
    TIMESTAMP '2026-01-02', 'web' FROM range(60) AS t(i), (VALUES ('one'), ('two')) AS e(name)""",
    "INSERT INTO orders SELECT 'u' || (i % 45), TIMESTAMP '2026-01-03', i % 7, 'p', 'paid' FROM range(90) AS t(i)",
)
DAY = "2026-03-01"


def named(name, **changes):
    exposure = {"source": "assignments", "key": name}
    return {"experiments": {name: experiment(exposure=exposure, status="running", **changes)["experiments"]["test"]}}


@pytest.fixture
def root(tmp_path):
    elsewhere = {"sources": {"gone": {**SOURCES["sources"]["assignments"], "table": "gone"}}}
    broken = named("broken")
    broken["experiments"]["broken"]["exposure"] = {"source": "gone", "key": "x"}
    over = {"experiments": {"over": experiment()["experiments"]["test"]}}
    write_definitions(tmp_path, SOURCES, elsewhere, METRICS, named("one"), broken, named("two"), over, project=PROJECT)
    write_warehouse(tmp_path, *TABLES, *ROWS)
    return tmp_path


def run(root, *words):
    return main(["--project", str(root), "run", "--all", *words])


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_one_that_fails_does_not_stop_the_others(root, capsys, jobs):
    assert run(root, "--as-of", DAY, "-o", str(root / "out"), "--jobs", jobs) == 2
    assert sorted(path.name for path in (root / "out").iterdir()) == ["one.json", "two.json"]
    for name in ("one", "two"):
        assert (root / "out" / f"{name}.json").read_text() == Project(root).run(name, as_of=DAY).to_json()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["one", "hold:"], ["broken", "error:"], ["two", "hold:"]]
    assert "`gone` is not in the warehouse" in lines[1]


def test_resume_runs_what_is_missing_or_changed(root, capsys):
    out = root / "out"
    words = ("--as-of", DAY, "-o", str(out), "--resume", "--format", "json", "-q")
    run(root, *words)
    (out / "two.json").unlink()
    capsys.readouterr()
    run(root, *words)
    results = {row["experiment"]: row["result"] for row in json.loads(capsys.readouterr().out)}
    assert results["one"] == "there already"
    assert results["two"].startswith("hold")
    (out / "one.json").write_text((out / "one.json").read_text()[:100])  # cut off by something else
    run(root, *words)
    results = {row["experiment"]: row["result"] for row in json.loads(capsys.readouterr().out)}
    assert results["one"].startswith("hold")
    assert results["two"] == "there already"


def test_resume_does_not_take_the_readouts_of_one_place_for_those_of_another(root, capsys, monkeypatch):
    settings = {**PROJECT, "profiles": {**PROJECT["profiles"], "elsewhere": {"type": "duckdb", "path": "${ELSEWHERE}"}}}
    (root / "metrics" / "project.yml").write_text(yaml.safe_dump(settings))
    for name in ("other", "third"):
        shutil.copy(root / "warehouse.duckdb", root / f"{name}.duckdb")
    found = []
    for profile, path in (("local", "x"), ("elsewhere", "other.duckdb"), ("elsewhere", "third.duckdb")):
        monkeypatch.setenv("ELSEWHERE", path)
        words = ("--as-of", DAY, "-o", str(root / "out"), "--resume", "--profile", profile, "-q", "--format", "json")
        for again in (False, True):
            run(root, *words)
            rows = json.loads(capsys.readouterr().out)
            assert [row["result"] == "there already" for row in rows] == [again, False, again]
        found.append(json.loads((root / "out" / "one.json").read_text())["provenance"]["place"])
    assert [place["profile"] for place in found] == ["local", "elsewhere", "elsewhere"]
    assert len({place["hash"] for place in found}) == 3


def test_a_place_holds_nothing_secret(tmp_path):
    def place(**options):
        profiles = {"prod": {"type": "spark", "schemas": {}, **options}}
        return resolve_profile("prod", profiles, None, tmp_path).place()

    one = place(remote="sc://me:first@host:15002/;token=first", token="first", catalog="c")
    assert one == place(remote="sc://me:other@host:15002/;token=other", token="other", catalog="c")
    assert len({str(found) for found in (one, place(remote="sc://host:15003", catalog="c"), place(catalog="c"))}) == 3


def test_a_fault_in_one_does_not_stop_the_others(root, capsys, monkeypatch):
    def fails(path, text):
        if path.stem == "one":
            raise OSError("no space left")
        write_file(path, text)

    monkeypatch.setattr("metricdef.cli.portfolio.write_file", fails)
    assert run(root, "--as-of", DAY, "-o", str(root / "out")) == 2
    assert [path.name for path in (root / "out").iterdir()] == ["two.json"]
    assert "error: OSError: no space left" in capsys.readouterr().out


def test_a_file_where_the_folder_should_be_is_refused_before_anything_runs(root, capsys, monkeypatch):
    (root / "out").write_text("mine")
    monkeypatch.setattr(Project, "run", lambda *_, **__: pytest.fail("it ran"))
    for folder in ("out", "out/more"):
        assert run(root, "--as-of", DAY, "-o", str(root / folder)) == 2
        assert capsys.readouterr().err.startswith(f"error: {root / 'out'} is a file\n  = help: name a folder")


def test_debug_shows_where_it_went_wrong_and_keeps_the_exit_code(root, capsys, monkeypatch):
    def refused(*_):
        raise WarehouseUnavailable("connection refused")

    monkeypatch.setattr("metricdef.api.connect", refused)
    assert main(["--project", str(root), "--debug", "run", "one", "--as-of", DAY]) == 3
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "in refused" in err
    assert err.endswith("error: connection refused\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("words", [("one",), ("--all", "-o", "out"), ("--all", "-o", "out", "--jobs", "2")])
def test_a_run_that_is_stopped_leaves_no_query(root, capsys, monkeypatch, words, number, code):
    """Also in other threads, which a signal does not reach."""
    slow = "SELECT COUNT(*) FROM range(1000000) AS a(i), range(1000000) AS b(j) WHERE (i * j) % 7 = 3"
    execute = DuckDBWarehouse.execute
    started = []

    def slowly(self, statements):
        if not started:
            threading.Timer(0.2, lambda: os.kill(os.getpid(), number)).start()
        started.append(1)
        return execute(self, [slow])

    monkeypatch.setattr(DuckDBWarehouse, "execute", slowly)
    monkeypatch.chdir(root)
    assert main(["--project", str(root), "run", *words, "--as-of", DAY]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("interrupted\n")
    assert len(started) <= 2  # nothing else was begun
    assert not any("ThreadPool" in thread.name for thread in threading.enumerate())
    assert not (root / "out").exists()


@pytest.mark.parametrize("change", [{"defaults": {"confidence": "80%"}}, {"min_units": 20}])
def test_resume_runs_again_what_another_level_or_limit_judges(root, capsys, change):
    """They are not in the SQL."""
    words = ("--as-of", DAY, "-o", str(root / "out"), "--resume", "-q")
    run(root, *words)
    project = yaml.safe_load((root / "metrics" / "project.yml").read_text())
    (root / "metrics" / "project.yml").write_text(yaml.safe_dump({**project, **change}))
    capsys.readouterr()
    run(root, *words)
    assert "there already" not in capsys.readouterr().out
    for name in ("one", "two"):
        assert (root / "out" / f"{name}.json").read_text() == Project(root).run(name, as_of=DAY).to_json()


def test_resume_refuses_what_run_would_and_runs_again_what_is_promised_otherwise(root, capsys):
    words = ("--as-of", DAY, "-o", str(root / "out"), "--resume", "--format", "json", "-q")

    def results(*more):
        capsys.readouterr()
        run(root, *words, *more)
        return {row["experiment"]: row["result"] for row in json.loads(capsys.readouterr().out)}

    run(root, *words)
    assert results()["one"] == "there already"
    Project(root).lock("one")
    found = results()
    assert found["one"].startswith("hold")
    assert found["two"] == "there already"
    assert results()["one"] == "there already"
    record_path(root, "one").unlink()
    assert results()["one"].startswith("error: experiment `one` is locked")


def test_resume_fails_on_what_is_there_too(root):
    (root / "metrics" / "part_4.yml").unlink()  # the one that is broken
    words = ("--as-of", DAY, "-o", str(root / "out"), "--resume", "-q")
    assert run(root, *words) == 0
    path = root / "out" / "one.json"
    path.write_text(path.read_text().replace('"recommendation": "hold"', '"recommendation": "stop"'))
    assert run(root, *words) == 0
    assert run(root, *words, "--fail-on", "stop") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "writes readouts"),
        (("-o", "out", "--dry-run"), "writes readouts"),
        (("-o", "out", "--resume"), "needs `--as-of`"),
    ],
)
def test_what_it_needs(root, capsys, words, message):
    assert run(root, *words) == 2
    assert message in capsys.readouterr().err


def test_nothing_runs(tmp_path, capsys):
    write_definitions(tmp_path, SOURCES, METRICS, experiment())
    assert run(tmp_path, "-o", str(tmp_path)) == 2
    assert "no experiment is running" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--resume",), ("--jobs", "2")])
def test_words_of_all_without_it(root, capsys, words):
    assert main(["--project", str(root), "run", "one", *words]) == 2
    assert "go with `--all`" in capsys.readouterr().err


@pytest.mark.parametrize("jobs", ["0", "x"])
def test_a_number_of_jobs(root, jobs):
    with pytest.raises(SystemExit) as exit_:
        run(root, "--jobs", jobs)
    assert exit_.value.code == 2
