"""Looks go to the record before anybody sees them: one run at a time, several at once, from the command line."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from looks import DAYS, World, row

from metricdef.api import Project
from metricdef.cli.main import main
from metricdef.errors import RecordBroken
from metricdef.governance.looks import recorded_looks
from metricdef.governance.record import read, record_path
from metricdef.reports.text import render_text

RUNS = 6


@pytest.fixture
def root(tmp_path):
    World(n=3000).write(tmp_path)
    return tmp_path


def record(root):
    return read(record_path(root, "test"))


def test_a_look_is_recorded_once_and_replayed_after(root):
    first = Project(root).run("test", as_of=DAYS[0])
    assert first.look["number"] == 1
    (entry,) = record(root).entries
    assert (entry.kind, entry.key) == ("look", "1")
    assert {**entry.payload, "readout": None} == json.loads(json.dumps(first.look["record"]))
    again = Project(root).run("test", as_of=DAYS[0])
    assert again.look["replay"]
    assert again.estimates == first.estimates
    assert Project(root).run("test", as_of="2026-01-15").estimates == ()
    second = Project(root).run("test", as_of=DAYS[1])
    assert second.look["number"] == 2
    assert [e.key for e in record(root).entries] == ["1", "2"]
    bound = row(second, "buyers").test("superiority").look.bound
    assert bound == pytest.approx(2.963, abs=0.02)  # after a first look: not the 1.96 of a single one


def test_the_record_in_a_file_gives_what_one_in_memory_gives(root):
    memory = World(n=3000).write(root)
    kept = [Project(root).run("test", as_of=day) for day in DAYS]
    assert [r.estimates for r in memory.all(DAYS)] == [r.estimates for r in kept]
    assert [r for r in recorded_looks(record(root)) if r.readout is None] == []


def test_caps_of_the_record_are_in_the_compiled_sql(root):
    project = Project(root)
    assert "quantile_cont" in "\n".join(project.compile("test", as_of=DAYS[3]).statements).lower()
    for day in DAYS[:3]:
        project.run("test", as_of=day)
    (cap,) = recorded_looks(record(root))[-1].caps.values()
    text = "\n".join(project.compile("test", as_of=DAYS[3]).statements)
    assert "quantile_cont" not in text.lower()
    assert f"{cap:.10g}"[:8] in text


def test_of_several_runs_at_once_one_is_the_look(root):
    with ThreadPoolExecutor(RUNS) as pool:
        readouts = list(pool.map(lambda _: Project(root).run("test", as_of=DAYS[0]), range(RUNS)))
    assert len(record(root).entries) == 1
    assert sum(not r.look["replay"] for r in readouts) == 1
    assert all(r.estimates == readouts[0].estimates for r in readouts)


def test_of_runs_at_different_instants_one_is_the_look_and_the_others_show_nothing(root):
    times = [f"2026-01-11T{hour:02d}:00:00Z" for hour in range(RUNS)]
    with ThreadPoolExecutor(RUNS) as pool:
        readouts = list(pool.map(lambda at: Project(root).run("test", as_of=at), times))
    assert [e.key for e in record(root).entries] == ["1"]
    assert sum(bool(r.estimates) for r in readouts) == 1


def test_the_log_shows_looks(root, capsys):
    Project(root).run("test", as_of=DAYS[0])
    (log,) = Project(root).log("test")
    assert [(event.kind, event.key) for event in log.events] == [("look", "1")]
    assert main(["--project", str(root), "log", "test"]) == 0
    assert "look" in capsys.readouterr().out
    assert main(["--project", str(root), "log", "test", "--verify"]) == 0


def test_always_valid_records_every_run(tmp_path):
    World(n=3000).write(tmp_path, {"method": "always_valid", "planned_units": 3000})
    for day in ("2026-01-09", "2026-01-10"):
        Project(tmp_path).run("test", as_of=day)
    assert [e.key for e in record(tmp_path).entries] == [f"2026-01-{d}T00:00:00.000000Z" for d in ("09", "10")]


def test_a_look_that_spends_unplanned_is_recorded_as_such(tmp_path):
    World(n=3000).write(tmp_path, {"method": "group_sequential", "looks": ["10d", "34d"], "unplanned": "spend"})
    for day in (DAYS[0], "2026-01-20"):
        Project(tmp_path).run("test", as_of=day)
    assert [e.kind for e in record(tmp_path).entries] == ["look", "unplanned_look"]


def test_an_unplanned_look_is_a_deviation_in_its_own_readout_and_in_all_later_ones(tmp_path):
    World(n=3000).write(tmp_path, {"method": "group_sequential", "looks": ["10d", "34d"], "unplanned": "spend"})
    found = {day: Project(tmp_path).run("test", as_of=day) for day in (DAYS[0], "2026-01-20", "2026-02-04")}
    said = {day: readout.provenance["deviations"] for day, readout in found.items()}
    assert said[DAYS[0]] == []
    (deviation,) = said["2026-01-20"]
    assert (deviation["on"], deviation["by"], deviation["scope"]) == ("2026-01-20T00:00:00Z", None, "experiment")
    assert deviation["what"] == "a look that the plan does not name, at 68.8% of it"  # 0.5 + 0.5 x 9 / 24
    assert said["2026-02-04"] == [deviation]
    assert "Deviation from the protocol (2026-01-20T00:00:00Z): a look" in render_text(found["2026-02-04"], 300)
    assert Project(tmp_path).run("test", as_of=DAYS[0]).provenance["deviations"] == []


def test_a_plan_amended_to_fewer_looks_records_its_last_one(root):
    for day in DAYS[:3]:
        Project(root).run("test", as_of=day)
    World(n=3000).write(root, {"method": "group_sequential", "looks": ["18d", "34d"]})
    again = Project(root).run("test", as_of=DAYS[1])
    assert (again.look["replay"], again.look["number"], again.look["of"], again.look["final"]) == (True, 2, None, False)
    assert "look 2 again" in render_text(again)
    last = Project(root).run("test", as_of=DAYS[3])
    assert (last.look["number"], last.look["of"], last.look["final"]) == (2, 2, True)
    assert [e.key for e in record(root).entries] == ["1", "2", "3", "2, 2026-02-04T00:00:00.000000Z"]
    spent = row(last, "buyers").test("superiority").look.spent
    assert spent == pytest.approx(0.05, rel=1e-9)
    assert Project(root).run("test", as_of=DAYS[3]).look["replay"]


def test_nothing_is_shown_on_a_record_that_was_changed(root):
    Project(root).run("test", as_of=DAYS[0])
    path = record_path(root, "test")
    path.write_text(path.read_text().replace('"number":1', '"number":2'))
    with pytest.raises(RecordBroken):
        Project(root).run("test", as_of=DAYS[1])


def test_the_command_line_records_and_replays(root, capsys):
    command = ["--project", str(root), "run", "test", "--format", "json", "--as-of", DAYS[0]]
    assert main(command) == 0
    assert not json.loads(capsys.readouterr().out)["look"]["replay"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["look"]["replay"]
    assert len(record(root).entries) == 1
