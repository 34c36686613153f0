"""The lock: what `lock` writes, what `check` finds against it, what `run` refuses and what readouts say."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from projects import METRICS, SOURCES, TABLES, experiment, write_definitions, write_warehouse

from metricdef.api import Project
from metricdef.cli.main import main
from metricdef.errors import DefinitionErrors, UsageError
from metricdef.governance.deviations import deviations
from metricdef.governance.lock import lock_path, read_entries, read_lock
from metricdef.governance.record import append, read, record_path
from metricdef.reports.text import render_text
from tests.governance.shop import PROJECT, SHOP, changed, write_shop

OWN = ("experiments", "checkout")
MARGIN = ("metric_sets", "health", "guardrail", "refund_rate", "margin")
WHAT = "experiment.metrics.guardrail.refund_rate.margin 0.5pp -> 0.8pp"
REPOSITORY = Path(__file__).resolve().parents[2]


def amended(shop, *what, day="2026-01-10", why="The shop allows more."):
    entry = {"on": day, "by": "ana", "what": list(what), "why": why}
    earlier = shop["experiments"]["checkout"].get("amendments", [])
    return changed(shop, (*OWN, "amendments"), [*earlier, entry])


def found(root, shop=SHOP, project=PROJECT):
    return [d for d in write_shop(root, shop, project).check() if d.rule != "not-yet"]


def rules(root, shop=SHOP):
    return [d.rule for d in found(root, shop)]


def stated(root):
    return read_lock("checkout", read_entries(root)["checkout"])


@pytest.fixture
def locked(tmp_path):
    write_shop(tmp_path).lock("checkout")
    return tmp_path


# --- lock ---------------------------------------------------------------------------------------------------------------


def test_an_experiment_that_runs_without_a_lock_is_a_warning(tmp_path):
    (finding,) = found(tmp_path)
    assert (finding.rule, finding.severity, finding.place.text) == ("not-locked", "warning", "  checkout:")
    assert "metricdef lock checkout" in finding.help[0]
    assert found(tmp_path, changed(SHOP, (*OWN, "status"), "draft")) == []


def test_lint_can_silence_or_raise_it(tmp_path):
    assert found(tmp_path, project={**PROJECT, "lint": {"not-locked": "off"}}) == []
    assert found(tmp_path, project={**PROJECT, "lint": {"not-locked": "error"}})[0].severity == "error"


def test_lock_writes_the_entry_and_the_record_and_check_is_content(locked):
    assert found(locked) == []
    document = json.loads(lock_path(locked).read_text())
    assert document["version"] == 1
    assert document["experiments"]["checkout"]["states"][0]["frozen"]["experiment"]["start"] == "2026-01-01"
    assert [(e.kind, e.payload["hash"]) for e in read(record_path(locked, "checkout")).entries] == [
        ("lock", stated(locked).hashes[0])
    ]


def test_locking_again_without_a_change_writes_nothing(locked):
    before = lock_path(locked).read_bytes(), record_path(locked, "checkout").read_bytes()
    again = Project(locked).lock("checkout")
    assert (again.is_new, again.states) == (False, 1)
    assert (lock_path(locked).read_bytes(), record_path(locked, "checkout").read_bytes()) == before


def test_a_draft_that_was_locked_is_frozen_too(locked):
    draft = changed(SHOP, (*OWN, "status"), "draft")
    assert rules(locked, draft) == []
    assert rules(locked, changed(draft, MARGIN, "0.8pp")) == ["protocol-changed-after-start"]


def test_the_file_does_not_depend_on_the_order_in_which_experiments_are_locked(tmp_path_factory):
    shop = copy.deepcopy(SHOP)
    shop["experiments"]["second"] = copy.deepcopy(shop["experiments"]["checkout"])
    texts = []
    for order in (("checkout", "second"), ("second", "checkout")):
        root = tmp_path_factory.mktemp("shop")
        project = write_shop(root, shop)
        for name in order:
            project.lock(name)
        texts.append(lock_path(root).read_text())
    assert texts[0] == texts[1]


def test_definitions_with_errors_are_not_locked(tmp_path):
    write_definitions(tmp_path, changed(SHOP, (*OWN, "metrics", "primary"), {"no_such_metric": {"mde": "1%"}}))
    with pytest.raises(DefinitionErrors):
        Project(tmp_path).lock("checkout")
    assert not lock_path(tmp_path).exists()


def test_an_experiment_that_is_not_there_is_not_locked(tmp_path):
    project = write_shop(tmp_path)
    with pytest.raises(UsageError, match="there is no experiment `chekout`"):
        project.lock("chekout")
    assert not lock_path(tmp_path).exists()


LOCK = """
import sys
from metricdef.api import Project
Project(sys.argv[1]).lock(sys.argv[2])
"""


def test_processes_that_lock_at_the_same_time_all_have_their_entry(tmp_path):
    shop = copy.deepcopy(SHOP)
    names = [f"experiment_{i}" for i in range(5)]
    shop["experiments"] |= {name: copy.deepcopy(shop["experiments"]["checkout"]) for name in names}
    write_shop(tmp_path, shop)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    running = [
        subprocess.Popen([sys.executable, "-c", LOCK, str(tmp_path), name], env=environment)
        for name in (*names, *names)
    ]
    assert [process.wait(timeout=240) for process in running] == [0] * 10
    assert set(read_entries(tmp_path)) == set(names)
    assert {len(read(record_path(tmp_path, name)).entries) for name in names} == {1}


# --- check --------------------------------------------------------------------------------------------------------------


def test_a_changed_part_is_an_error_at_its_place_with_both_values_and_the_entry_to_paste(locked):
    (finding,) = found(locked, changed(SHOP, MARGIN, "0.8pp"))
    assert (finding.rule, finding.severity) == ("protocol-changed-after-start", "error")
    assert finding.place.text[finding.place.column - 1 :][: finding.place.length] == "0.8pp"
    assert "`experiment.metrics.guardrail.refund_rate.margin` changed 0.5pp -> 0.8pp" in finding.message
    assert f"what: '{WHAT}'" in finding.help[0]


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ((*OWN, "start"), "2026-01-02", "    start: '2026-01-02'"),
        ((*OWN, "metrics", "primary", "revenue"), {"mde": "3%"}, "        revenue:"),
        ((*OWN, "metrics", "secondary", "order_value"), None, "      secondary:"),
        ((*OWN, "analysis", "strata"), None, "    analysis:"),
        (("metrics", "buyers", "filter"), "paid = 0", "    filter: paid = 0"),
        (("metrics", "order_count", "window"), "3d", "    window: 3d"),
        (("sources", "orders", "settles_after"), None, "  orders:"),
        (("segments", "adults", "filter"), "age > 20", "    filter: age > 20"),
    ],
)
def test_the_place_is_the_changed_key_or_what_is_left_around_it(locked, path, value, line):
    assert line in [
        d.place.text for d in found(locked, changed(SHOP, path, value)) if d.rule == "protocol-changed-after-start"
    ]


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("defaults", "window"), "7d", "  window: 7d"),
        (("defaults", "confidence"), "90%", "  confidence: 90%"),
        (("defaults", "srm_alpha"), 0.01, "  srm_alpha: 0.01"),
    ],
)
def test_a_default_that_changed_is_found_in_project_yml(locked, path, value, line):
    (finding,) = found(locked, project=changed(PROJECT, path, value))
    assert (Path(finding.place.file).name, finding.place.text) == ("project.yml", line)


def test_an_amendment_that_names_the_change_covers_it(locked):
    assert rules(locked, amended(changed(SHOP, MARGIN, "0.8pp"), WHAT)) == []


def test_one_amendment_may_name_several_changes(locked):
    shop = changed(changed(SHOP, MARGIN, "0.8pp"), (*OWN, "end"), "2026-03-01")
    assert rules(locked, amended(shop, WHAT)) == ["protocol-changed-after-start"]
    assert rules(locked, amended(shop, WHAT, "experiment.end 2026-02-01  ->  2026-03-01")) == []


@pytest.mark.parametrize(
    "what",
    [
        "the margin of refund_rate 0.5pp -> 0.8pp",
        "experiment.metrics.guardrail.refund_rate.margin",
        "experiment.metrics.guardrail.refund_rate.margin 0.5pp -> 0.9pp",
        "experiment.metrics.guardrail.refund_rate 0.5pp -> 0.8pp",
    ],
)
def test_an_amendment_that_says_something_else_covers_nothing(locked, what):
    assert rules(locked, amended(changed(SHOP, MARGIN, "0.8pp"), what)) == ["protocol-changed-after-start"]


def test_the_entry_to_paste_covers_the_change(locked):
    """What the message prints is pasted into the file as it is, with SQL in quotes and a long value."""
    long = " and ".join(f"status <> 'state {i}'" for i in range(9))
    shop = changed(changed(SHOP, ("metrics", "buyers", "filter"), long), ("segments", "adults", "filter"), "age >= 21")
    errors = [d for d in found(locked, shop) if d.rule == "protocol-changed-after-start"]
    assert len(errors) == 3  # the filter, another dimension in it, the segment
    entries = [d.help[0].partition(": ")[2].removeprefix("- ").replace("DATE", "2026-01-09") for d in errors]
    path = next(p for p in (locked / "metrics").glob("*.yml") if "experiments:" in p.read_text())
    path.write_text(path.read_text() + "    amendments:\n" + "".join(f"      - {entry}\n" for entry in entries))
    assert [d.rule for d in Project(locked).check() if d.rule != "not-yet"] == []


def test_another_change_of_the_same_part_needs_another_amendment(locked):
    shop = amended(changed(SHOP, MARGIN, "0.8pp"), WHAT)
    write_shop(locked, shop).lock("checkout")
    back = changed(shop, MARGIN, "0.5pp")
    assert rules(locked, back) == ["protocol-changed-after-start"]
    back = amended(back, "experiment.metrics.guardrail.refund_rate.margin 0.8pp -> 0.5pp", day="2026-01-11")
    write_shop(locked, back).lock("checkout")
    assert rules(locked, changed(back, MARGIN, "0.8pp")) == [
        "protocol-changed-after-start"
    ]  # the first amendment is used up


# --- amended states -----------------------------------------------------------------------------------------------------


def test_locking_an_amended_experiment_appends_a_state(locked):
    first = stated(locked).states[0]
    again = write_shop(locked, amended(changed(SHOP, MARGIN, "0.8pp"), WHAT)).lock("checkout")
    lock = stated(locked)
    assert (again.is_new, again.states, len(lock.states)) == (True, 2, 2)
    assert lock.states[0] == first
    path = ["experiment", "metrics", "guardrail", "refund_rate", "margin"]
    assert lock.states[1]["changes"] == [{"path": path, "before": "0.5pp", "after": "0.8pp"}]
    assert lock.states[1]["amendments"][0]["by"] == "ana"
    assert lock.frozen["experiment"]["metrics"]["guardrail"]["refund_rate"]["margin"] == "0.8pp"
    assert [e.kind for e in read(record_path(locked, "checkout")).entries] == ["lock", "amendment", "lock"]


def test_a_change_without_amendment_is_not_locked(locked):
    before = lock_path(locked).read_bytes()
    project = write_shop(locked, changed(SHOP, MARGIN, "0.8pp"))
    with pytest.raises(DefinitionErrors):
        project.lock("checkout")
    assert lock_path(locked).read_bytes() == before


def test_a_locked_amendment_cannot_be_taken_out_of_the_file(locked):
    shop = amended(changed(SHOP, MARGIN, "0.8pp"), WHAT)
    write_shop(locked, shop).lock("checkout")
    assert rules(locked, shop) == []
    assert rules(locked, changed(shop, (*OWN, "amendments"), None)) == ["amendment-removed"]
    reworded = changed(shop, (*OWN, "amendments", 0, "why"), "No reason.")
    assert rules(locked, reworded) == ["amendment-removed"]


def test_the_outcome_is_recorded_as_the_decision(locked):
    shop = changed(SHOP, (*OWN, "outcome"), {"decided": "2026-02-20", "arm": "new", "note": "Shipped."})
    write_shop(locked, shop).lock("checkout")
    write_shop(locked, shop).lock("checkout")
    decisions = [e.payload for e in read(record_path(locked, "checkout")).entries if e.kind == "decision"]
    assert decisions == [{"decided": "2026-02-20", "arm": "new", "note": "Shipped."}]


# --- tampering ----------------------------------------------------------------------------------------------------------


def edited(root, old, new):
    path = lock_path(root)
    text = path.read_text()
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [('"margin": "0.5pp"', '"margin": "0.8pp"'), ('"entries": 0', '"entries": 1'), ('"hash": "', '"hash": "0')],
)
def test_an_entry_edited_by_hand_is_an_error(locked, old, new):
    edited(locked, old, new)
    (finding,) = found(locked, changed(SHOP, MARGIN, "0.8pp"))
    assert (finding.rule, finding.severity) == ("lock-file", "error")
    assert finding.place.text.strip() == '"checkout": {'
    with pytest.raises(DefinitionErrors):
        Project(locked).lock("checkout")


def test_a_later_state_edited_by_hand_is_an_error(locked):
    write_shop(locked, amended(changed(SHOP, MARGIN, "0.8pp"), WHAT)).lock("checkout")
    edited(locked, '"after": "0.8pp"', '"after": "0.9pp"')
    (finding,) = found(locked)
    assert (finding.rule, "state 2" in finding.message) == ("lock-file", True)


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 2, "experiments": {}}', "<<<<<<< HEAD\n{}"])
def test_a_file_that_is_none_is_an_error(locked, text):
    lock_path(locked).write_text(text)
    assert rules(locked) == ["lock-file"]


def test_an_entry_that_is_gone_is_missed_by_the_record(locked):
    lock_path(locked).unlink()
    assert rules(locked) == ["lock-gone", "not-locked"]


def test_an_entry_that_was_made_anew_is_missed_by_the_record(locked):
    """Taking the entry out and locking the changed protocol as if it were the first."""
    lock_path(locked).unlink()
    project = write_shop(locked, changed(SHOP, MARGIN, "0.8pp"))
    with pytest.raises(DefinitionErrors):
        project.lock("checkout")
    record_path(locked, "checkout").rename(locked / "aside")
    project.lock("checkout")
    (locked / "aside").rename(record_path(locked, "checkout"))
    assert rules(locked, changed(SHOP, MARGIN, "0.8pp")) == ["lock-unrecorded", "lock-gone"]


def test_a_locked_experiment_that_got_another_name_is_a_warning(locked):
    shop = copy.deepcopy(SHOP)
    shop["experiments"] = {"checkout_v2": shop["experiments"]["checkout"]}
    findings = found(locked, shop)
    assert {(d.rule, d.severity) for d in findings} == {("lock-orphan", "warning"), ("not-locked", "warning")}
    orphan = next(d for d in findings if d.rule == "lock-orphan")
    assert orphan.place.text.strip() == '"checkout": {'


def test_a_record_that_was_changed_is_found_by_check(locked):
    path = record_path(locked, "checkout")
    append(path, "look", "1", {"as_of": "2026-01-20"})
    path.write_text(path.read_text().replace("2026-01-20", "2026-01-21"))
    (finding,) = found(locked)
    assert (finding.rule, finding.place.line) == ("record-changed", 2)


# --- run ----------------------------------------------------------------------------------------------------------------

PROTOCOL = {
    "metrics": {
        "primary": {"buyers": {"mde": "2%"}},
        "secondary": {"revenue": None},
        "guardrail": {"refunds": {"margin": "1pp"}},
    }
}
ROWS = (
    "INSERT INTO assignments SELECT i, 'test', CASE i % 2 WHEN 0 THEN 'control' ELSE 'treatment' END, TIMESTAMP '2026-01-02', 'web' FROM range(400) r(i)",
    "INSERT INTO orders SELECT i, TIMESTAMP '2026-01-03', i, 'p', CASE WHEN i % 7 = 0 THEN 'refunded' ELSE 'paid' END FROM range(0, 400, 3) r(i)",
)


@pytest.fixture
def world(tmp_path):
    write_warehouse(tmp_path, *TABLES, *ROWS)
    return tmp_path


def project_of(root, **changes):
    write_definitions(root, SOURCES, METRICS, experiment(**{**PROTOCOL, **changes}))
    return Project(root)


def run(root, **changes):
    return project_of(root, **changes).run("test", as_of="2026-03-01")


def test_a_readout_says_whether_the_protocol_is_locked(world):
    before = run(world).provenance
    assert (before["locked"], before["deviations"], before["record"]) == (False, [], None)
    locked = project_of(world).lock("test")
    after = run(world).provenance
    assert (after["locked"], after["protocol"], after["deviations"]) == (True, locked.protocol, [])
    record = read(record_path(world, "test"))
    assert after["record"] == {"entries": 1, "head": record.head}
    assert f"protocol locked · record of 1 row, head {record.head[:16]}" in render_text(run(world), 400)


def test_run_build_and_ingest_refuse_a_changed_protocol_and_compile_shows_it(world, capsys):
    project_of(world).lock("test")
    project = project_of(world, end="2026-02-15")
    with pytest.raises(DefinitionErrors) as refused:
        project.run("test", as_of="2026-03-01")
    assert [d.rule for d in refused.value.diagnostics] == ["protocol-changed-after-start"]
    assert project.compile("test", as_of="2026-03-01").text
    assert main(["--project", str(world), "run", "test", "--as-of", "2026-03-01", "-q"]) == 2
    assert "experiment.end` changed 2026-02-01 -> 2026-02-15" in capsys.readouterr().err


DEVIATIONS = [
    # amendment, scope, role, metrics touched, text before which it stands, and after which
    ("a logging outage of three days", "experiment", None, ["buyers", "revenue", "refunds"], "DECISION", "ARMS"),
    ("experiment.end 2026-01-31 -> 2026-02-01", "experiment", None, ["buyers", "revenue", "refunds"], "DECISION", "ARMS"),
    ("experiment.analysis.multiplicity.secondary none -> {method: bh}", "role", "secondary", ["revenue"], "SECONDARY", "arm "),
    ("experiment.metrics.guardrail.refunds.margin 0.5pp -> 1pp", "metric", None, ["refunds"], "refunds · lower", "Error budget"),
    ("metrics.buyers.window 7d -> 14d", "metric", None, ["buyers"], "buyers", "SECONDARY"),
    ("sources.orders.settles_after 1d -> none", "metric", None, ["buyers", "refunds", "revenue"], "buyers", "SECONDARY"),
    ("sources.orders.measures.amount amount -> amount - tax", "metric", None, ["revenue"], "revenue", "GUARDRAIL"),
    ("sources.assignments.timestamp at -> happened_at", "experiment", None, ["buyers", "revenue", "refunds"], "DECISION", "ARMS"),
    ("metrics.gone.window 7d -> none", "experiment", None, ["buyers", "revenue", "refunds"], "DECISION", "ARMS"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "scope", "role", "metrics", "after", "before"), DEVIATIONS)
def test_deviations_stand_beside_the_results_that_they_touch(world, what, scope, role, metrics, after, before):
    amendment = {"on": "2026-01-10", "by": "ana", "what": what, "why": "It had to be."}
    readout = run(world, amendments=[amendment])
    (deviation,) = readout.provenance["deviations"]
    assert deviation == {**amendment, "scope": scope, "role": role, "metrics": metrics}
    text = render_text(readout, 200)
    sentence = f"Deviation from the protocol (2026-01-10, ana): {what}. Reason: It had to be."
    assert sentence in text
    between = text[text.index(f"\n{after}" if after.isupper() else after) :]
    assert sentence in between[: between.index(before, len(after))]


def test_what_a_definition_that_nothing_uses_had_touched_is_known_from_the_lock(world):
    """It was listed as if it had touched everything."""
    parts = {"primary": {"buyers": {"mde": "2%"}}, "guardrail": {"value": {"margin": "5%"}}}
    ratio = {"type": "ratio", "numerator": "revenue", "denominator": "buyers", "direction": "increase"}
    for metrics in (
        {**METRICS["metrics"], "value": ratio},
        {**METRICS["metrics"], "value": {**ratio, "numerator": {"source": "orders", "agg": "count"}}},
    ):
        write_definitions(world, SOURCES, {"metrics": metrics}, experiment(metrics=parts))
        if not lock_path(world).exists():
            Project(world).lock("test")
    project = Project(world).definitions
    scopes = {}
    for what in (
        "metrics.revenue.window 7d -> none",
        "sources.orders.measures.amount amount -> none",
        "metrics.elsewhere.window 7d -> 14d",
    ):
        amendment = {"on": "2026-01-10", "by": "ana", "what": what, "why": "It had to be."}
        write_definitions(world, SOURCES, {"metrics": metrics}, experiment(metrics=parts, amendments=[amendment]))
        project = Project(world).definitions
        (found,) = deviations(project, "test")
        scopes[what] = (found["scope"], found["metrics"])
    assert list(scopes.values()) == [
        ("metric", ["value"]),
        ("metric", ["value"]),
        ("experiment", ["buyers", "value"]),
    ]


def test_every_readout_of_an_amended_experiment_lists_them_locked_or_not(world):
    project_of(world).lock("test")
    what = "experiment.end 2026-02-01 -> 2026-02-15"
    changes = {
        "end": "2026-02-15",
        "amendments": [{"on": "2026-01-20", "by": "ana", "what": what, "why": "More units."}],
    }
    for _ in range(2):
        provenance = run(world, **changes).provenance
        assert (provenance["locked"], [d["what"] for d in provenance["deviations"]]) == (True, [what])
        project_of(world, **changes).lock("test")


# --- the command --------------------------------------------------------------------------------------------------------


def test_the_command(tmp_path, capsys):
    write_shop(tmp_path)
    assert main(["--project", str(tmp_path), "lock", "checkout"]) == 0
    assert "commit both" in capsys.readouterr().out
    assert main(["--project", str(tmp_path), "lock", "checkout", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["is_new"] is False
    write_shop(tmp_path, changed(SHOP, MARGIN, "0.8pp"))
    assert main(["--project", str(tmp_path), "lock", "checkout"]) == 2
    assert "protocol-changed-after-start" in capsys.readouterr().err
