"""The log: what happened in the order of time, and what of a changed record is found, by what."""

import json
import subprocess

import pytest

from metricdef.api import Project
from metricdef.cli.main import main
from metricdef.errors import DefinitionErrors, RecordBroken
from metricdef.governance.lock import lock_path
from metricdef.governance.record import append, read, record_path
from metricdef.reports.log import render_log
from tests.governance.shop import SHOP, changed, write_shop

OWN = ("experiments", "checkout")
AMENDMENT = {"on": "2026-01-10", "by": "ana", "what": "an outage of the logging", "why": "A disk was full."}
OUTCOME = {"decided": "2026-02-20", "arm": "new", "note": "Shipped to everyone."}


@pytest.fixture
def history(tmp_path):
    """A lock, two looks, an amendment between them, a decision after them; all committed."""
    write_shop(tmp_path).lock("checkout")
    path = record_path(tmp_path, "checkout")
    append(path, "look", "1", {"as_of": "2026-01-08T00:00:00Z", "information": 0.25, "statistics": {"buyers": 1.5}})
    shop = changed(SHOP, (*OWN, "amendments"), [AMENDMENT])
    write_shop(tmp_path, shop).lock("checkout")
    append(path, "look", "2", {"as_of": "2026-01-22T00:00:00Z", "information": 0.5, "statistics": {"buyers": 2.5}})
    append(path, "unplanned_look", "2026-01-23T00:00:00Z", {"as_of": "2026-01-23T00:00:00Z"})
    write_shop(tmp_path, changed(shop, (*OWN, "outcome"), OUTCOME)).lock("checkout")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "history")
    return tmp_path


def git(root, *arguments):
    who = ["-c", "user.name=Reader", "-c", "user.email=reader@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True)


def verify(root, head=None):
    (found,) = Project(root).verify_log("checkout", head)
    return list(found.faults)


def rewrite(root, change):
    path = record_path(root, "checkout")
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def without_git(root):
    (root / ".git").rename(root / "no-git")


# --- the log ------------------------------------------------------------------------------------------------------------


def test_events_stand_in_the_order_of_time(history):
    (log,) = Project(history).log("checkout")
    assert [event.kind for event in log.events] == [
        "amendment", "decision", "lock", "look", "lock", "look", "unplanned_look",
    ]  # fmt: skip  # the amendment and the decision state their own dates, which lie before today
    assert [event.at for event in log.events][:2] == ["2026-01-10", "2026-02-20"]
    assert sorted(event.number for event in log.events) == [1, 2, 3, 4, 5, 6, 7]


def test_the_text_says_what_happened(history):
    text = render_log(Project(history).log("checkout"), 200)
    assert "2026-01-10" in text
    assert "amended         ana: an outage of the logging. Reason: A disk was full." in text
    assert "decided         new: Shipped to everyone." in text
    assert "look            1 · as of 2026-01-08 00:00 UTC · information 0.25" in text
    assert "unplanned look  2026-01-23T00:00:00Z" in text
    assert ", state 2" in text
    assert text.endswith(f"7 rows, head {read(record_path(history, 'checkout')).head[:16]}")


def test_the_outcome_and_amendments_are_shown_before_they_are_recorded(tmp_path):
    shop = changed(changed(SHOP, (*OWN, "amendments"), [AMENDMENT]), (*OWN, "outcome"), OUTCOME)
    (log,) = write_shop(tmp_path, shop).log()
    assert [(event.kind, event.number) for event in log.events] == [("amendment", None), ("decision", None)]
    assert "new: Shipped to everyone. (not in the record yet)" in render_log([log], 200)
    assert not record_path(tmp_path, "checkout").exists()


def test_an_outcome_that_was_changed_is_shown_beside_the_first(history):
    other = changed(SHOP, (*OWN, "amendments"), [AMENDMENT])
    write_shop(history, changed(other, (*OWN, "outcome"), {**OUTCOME, "arm": "control"})).lock("checkout")
    (log,) = Project(history).log("checkout")
    assert [e.payload["arm"] for e in log.events if e.kind == "decision"] == ["new", "control"]
    for _ in range(2):  # and taken back
        write_shop(history, changed(other, (*OWN, "outcome"), OUTCOME)).lock("checkout")
    (log,) = Project(history).log("checkout")
    assert [e.payload["arm"] for e in log.events if e.kind == "decision"] == ["new", "control", "new"]


def test_json(history, capsys):
    assert main(["--project", str(history), "log", "checkout", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (found,) = document["experiments"]
    assert (document["schema"], found["record"]["entries"]) == ("metricdef/log/1", 7)
    assert found["events"][3]["payload"]["statistics"] == {"buyers": 1.5}


def test_an_experiment_that_is_not_there(history, capsys):
    for verify_too in ([], ["--verify"]):
        assert main(["--project", str(history), "log", "chekout", *verify_too]) == 2
        assert "did you mean `checkout`?" in capsys.readouterr().err


def test_a_record_that_was_changed_has_no_log(history):
    rewrite(history, lambda lines: lines[1:])
    with pytest.raises(RecordBroken):
        Project(history).log("checkout")


# --- verify -------------------------------------------------------------------------------------------------------------


def test_a_record_as_it_was_written_verifies(history, capsys):
    assert verify(history) == []
    assert main(["--project", str(history), "log", "--verify"]) == 0
    assert "checkout: 7 rows verified, head " in capsys.readouterr().out


def test_definitions_with_errors_do_not_stop_it(history, capsys):
    (history / "metrics" / "part_0.yml").write_text("sources: {")
    assert main(["--project", str(history), "log", "--verify", "checkout"]) == 0


@pytest.mark.parametrize(
    ("change", "line", "what"),
    [
        (lambda rows: [rows[0], rows[1].replace(b"0.25", b"0.35"), *rows[2:]], 2, "row 2 was edited"),
        (lambda rows: [*rows[:3], *rows[4:]], 4, "row 4 was removed before this line"),
        (lambda rows: [*rows[:4], rows[5], rows[4], *rows[6:]], 5, "rows 5 and 6 were swapped"),
    ],
)
def test_a_changed_row_is_located_and_the_exit_code_is_1(history, capsys, change, line, what):
    rewrite(history, change)
    assert main(["--project", str(history), "log", "--verify", "checkout"]) == 1
    assert f"checkout.jsonl:{line}: error: {what}" in capsys.readouterr().out
    main(["--project", str(history), "log", "--verify", "checkout", "--format", "json"])
    assert json.loads(capsys.readouterr().out)["experiments"][0]["faults"][0]["line"] == line


def test_removed_last_rows_are_found_by_the_commit(history):
    rewrite(history, lambda rows: rows[:-1])
    assert verify(history) == [(7, "this row is committed, and was removed from the end")]
    record_path(history, "checkout").unlink()
    assert (1, "this row is committed, and was removed from the end") in verify(history)


def test_removed_last_rows_are_found_by_the_hash_in_a_readout(history):
    head = read(record_path(history, "checkout")).head
    without_git(history)
    assert verify(history, head[:16]) == []
    rewrite(history, lambda rows: rows[:-1])
    assert verify(history) == []  # nothing else knows of a look that was the last row
    assert [line for line, _ in verify(history, head[:16])] == [7]


def test_rows_before_a_lock_are_found_by_the_lock_file(history):
    without_git(history)
    rewrite(history, lambda rows: rows[:1])
    found = verify(history)
    assert [line for line, _ in found] == [2]
    assert "the record had 2 rows when state 2 was locked: the last were removed" in found[0][1]
    rewrite(history, lambda _: [])
    assert any("row of locked state 1 was removed" in what for _, what in verify(history))


def test_a_record_that_was_written_anew_is_found_by_each_anchor(history):
    """Everything recomputed from the second row on, with another look: the chain alone fits."""
    path = record_path(history, "checkout")
    entries = read(path).entries
    path.unlink()
    for entry in entries:
        payload = {**entry.payload, "information": 0.3} if entry.key == "1" else entry.payload
        append(path, entry.kind, entry.key, payload)
    found = verify(history, entries[-1].hash)
    assert [(line, what.split(":")[0]) for line, what in found] == [
        (1, "this is another row than the committed one"),
        (2, "this is another row than when state 2 was locked"),
        (8, f"no row has the hash {entries[-1].hash}"),
    ]


def refusals(root):
    with pytest.raises(DefinitionErrors) as refused:
        Project(root).run("checkout", as_of="2026-02-01")
    return [(d.rule, d.place.line) for d in refused.value.diagnostics]


def test_runs_refuse_a_record_whose_last_rows_are_gone(history):
    """It was found by `log --verify` alone, and looks that were taken could be taken again."""
    rewrite(history, lambda rows: rows[:-1])
    assert refusals(history) == [("record-changed", 7)]
    without_git(history)
    rewrite(history, lambda rows: rows[:1])
    assert refusals(history) == [("record-changed", 2)]
    assert [d.rule for d in Project(history).check() if d.severity == "error"] == ["record-changed"]


@pytest.mark.parametrize("with_git", [True, False])
def test_runs_refuse_a_record_that_was_deleted(history, with_git):
    if not with_git:
        without_git(history)
    record_path(history, "checkout").unlink()
    assert refusals(history)[0][0] == "record-changed"
    assert "record-changed" in [d.rule for d in Project(history).check()]
    with pytest.raises(DefinitionErrors):
        Project(history).lock("checkout")
    assert not record_path(history, "checkout").exists()


def test_the_only_rows_of_a_record_are_missed_too(tmp_path):
    """One state, and its row the first: the lock file had seen an empty record."""
    write_shop(tmp_path).lock("checkout")
    record_path(tmp_path, "checkout").unlink()
    assert [rule for rule, _ in refusals(tmp_path)] == ["lock-unrecorded"]
    assert [d.rule for d in Project(tmp_path).check() if d.severity == "error"] == ["lock-unrecorded"]


def test_a_first_lock_after_looks_takes_an_amendment(tmp_path):
    project = write_shop(tmp_path)
    path = record_path(tmp_path, "checkout")
    for number in ("1", "2"):
        append(path, "look", number, {"as_of": f"2026-01-0{number}T00:00:00Z"})
    with pytest.raises(DefinitionErrors) as refused:
        project.lock("checkout")
    (finding,) = refused.value.diagnostics
    assert (finding.rule, finding.place.text.strip()) == ("lock-after-look", "checkout:")
    assert "what: 'locked after 2 looks'" in finding.help[0]
    assert not lock_path(tmp_path).exists()
    one = changed(SHOP, (*OWN, "amendments"), [{**AMENDMENT, "what": "locked after 1 look"}])
    with pytest.raises(DefinitionErrors):
        write_shop(tmp_path, one).lock("checkout")
    two = changed(SHOP, (*OWN, "amendments"), [{**AMENDMENT, "what": "locked after 2 looks"}])
    assert write_shop(tmp_path, two).lock("checkout").is_new
    append(path, "look", "3", {"as_of": "2026-01-20T00:00:00Z"})
    assert not write_shop(tmp_path, two).lock("checkout").is_new


def test_a_part_of_a_row_is_told_and_no_fault(history, capsys):
    path = record_path(history, "checkout")
    path.write_bytes(path.read_bytes() + b'{"at":"2026')
    assert main(["--project", str(history), "log", "--verify", "checkout"]) == 0
    assert "behind the last row stands a part of one" in capsys.readouterr().out
    assert Project(history).lock("checkout").is_new is False
    append(path, "look", "3", {})
    assert verify(history) == []


def test_a_lock_whose_rows_were_never_written_is_completed_by_locking_again(history):
    """A process that was killed between the lock file and the record."""
    without_git(history)
    lines = record_path(history, "checkout").read_bytes().splitlines(keepends=True)
    rewrite(history, lambda _: [])
    document = json.loads(lock_path(history).read_text())
    entry = document["experiments"]["checkout"]
    entry["states"] = entry["states"][:1]
    lock_path(history).write_text(json.dumps(document))
    assert "metricdef lock" in verify(history)[0][1]
    write_shop(history).lock("checkout")
    assert verify(history) == []
    assert len(read(record_path(history, "checkout")).entries) == 1 < len(lines)


def test_head_needs_an_experiment(history, capsys):
    assert main(["--project", str(history), "log", "--verify", "--head", "0" * 16]) == 2
    assert "`--head` goes with `--verify` and one experiment" in capsys.readouterr().err
