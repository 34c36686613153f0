"""The record: what one process or many write to it is there, once, and what is changed afterwards is found."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import cases, examples

from metricdef.errors import RecordBroken, RecordMoved
from metricdef.governance.chain import chained, genesis
from metricdef.governance.record import append, broken_lines, read, record_path

ROOT = Path(__file__).resolve().parents[2]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
PAYLOADS = st.dictionaries(st.text(), PLAIN, max_size=3)


def written(tmp_path, count, name="checkout"):
    path = record_path(tmp_path, name)
    for i in range(1, count + 1):
        append(path, "look", str(i), {"information": i / 3})
    return path


def lines_of(path):
    return path.read_bytes().splitlines(keepends=True)


def python(program, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


# --- writing ------------------------------------------------------------------------------------------------------------


def test_a_record_that_is_not_there_is_empty(tmp_path):
    path = record_path(tmp_path, "checkout")
    assert (read(path).entries, read(path).head, path.exists()) == ((), genesis("checkout"), False)


def test_entries_come_back_as_they_were_written(tmp_path):
    path = written(tmp_path, 3)
    record = read(path)
    assert [(e.number, e.kind, e.key, e.payload) for e in record.entries] == [
        (i, "look", str(i), {"information": i / 3}) for i in (1, 2, 3)
    ]
    assert record.head == record.entries[-1].hash


def test_the_hash_is_that_of_the_previous_hash_and_the_canonical_content(tmp_path):
    path = written(tmp_path, 2)
    first, second = (json.loads(line) for line in lines_of(path))
    assert first["previous"] == genesis("checkout")
    assert second["previous"] == first["hash"]
    content = {key: second[key] for key in ("n", "kind", "key", "at", "payload")}
    assert second["hash"] == chained(first["hash"], content)


def test_an_entry_is_written_once_per_kind_and_key(tmp_path):
    path = written(tmp_path, 1)
    again = append(path, "look", "1", {"information": 99})
    assert (again.is_new, again.entry.payload) == (False, {"information": 1 / 3})
    assert append(path, "decision", "1", {}).is_new
    assert len(read(path).entries) == 2


def test_nothing_is_written_after_a_head_that_has_moved(tmp_path):
    path = written(tmp_path, 1)
    head = read(path).head
    assert append(path, "look", "2", {}, expected_head=head).is_new
    with pytest.raises(RecordMoved):
        append(path, "look", "3", {}, expected_head=head)
    assert len(read(path).entries) == 2


@pytest.mark.parametrize("payload", [{"p": float("nan")}, {"p": [float("inf")]}, {"p": object()}])
def test_what_json_cannot_hold_is_refused_and_nothing_written(tmp_path, payload):
    path = written(tmp_path, 1)
    before = path.read_bytes()
    with pytest.raises((ValueError, TypeError)):
        append(path, "look", "2", payload)
    assert path.read_bytes() == before


def test_a_write_that_fails_halfway_leaves_the_record_as_it_was(tmp_path, monkeypatch):
    path = written(tmp_path, 2)
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("metricdef.governance.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        append(path, "look", "3", {})
    assert path.read_bytes() == before


@settings(max_examples=examples(50))
@given(st.lists(st.tuples(st.sampled_from(["look", "amendment"]), st.text(max_size=4), PAYLOADS), max_size=6))
def test_any_plain_payload_survives_and_verifies(tmp_path_factory, rows):
    path = record_path(tmp_path_factory.mktemp("record"), "checkout")
    expected = {}
    for kind, key, payload in rows:
        append(path, kind, key, payload)
        expected.setdefault((kind, key), payload)
    assert {(e.kind, e.key): e.payload for e in read(path).entries} == expected


# --- a process that dies ------------------------------------------------------------------------------------------------


def test_a_file_cut_at_any_byte_holds_its_whole_rows_and_can_be_written_to(tmp_path):
    """Every state that a process killed while it writes the third row can leave behind."""
    path = written(tmp_path, 3)
    data = path.read_bytes()
    two = len(b"".join(lines_of(path)[:2]))
    for size in range(two, len(data) + 1):
        path.write_bytes(data[:size])
        record = read(path)
        whole = size >= len(data) - 1  # all but the line break is the whole row
        assert (len(record.entries), record.torn) == (3 if whole else 2, two < size < len(data) - 1)
        assert append(path, "look", "3", {"information": 1.0}).is_new is not whole
        assert append(path, "look", "4", {}).is_new
        assert [e.key for e in read(path).entries] == ["1", "2", "3", "4"]


WRITER = """
import sys
from pathlib import Path
from metricdef.governance.record import append
path, who, count, padding = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), "x" * int(sys.argv[4])
print("ready", flush=True)
for i in range(count):
    append(path, "look", f"{who}-{i}", {"from": who, "padding": padding})
    append(path, "look", f"all-{i}", {"from": who})
    print(f"{who}-{i}", flush=True)
"""


def test_ten_processes_lose_and_double_nothing(tmp_path):
    path = record_path(tmp_path, "checkout")
    writers = [python(WRITER, path, f"w{i}", 20, 10) for i in range(10)]
    done = [writer.communicate(timeout=120) for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 10, done
    keys = [e.key for e in read(path).entries]
    expected = {f"w{i}-{k}" for i in range(10) for k in range(20)} | {f"all-{k}" for k in range(20)}
    assert len(keys) == len(expected) == 220
    assert set(keys) == expected


SLOW_DISK = """
import time
from io import FileIO
from metricdef.governance import files
class Slow(FileIO):
    def write(self, data):
        time.sleep(0.0005)
        return super().write(data[:20])  # a disk may take a part, and says so
files.FileIO = Slow
"""


@pytest.mark.thorough
def test_kill_9_at_any_moment_leaves_the_record_whole(tmp_path):
    """Writers are killed, most of them in the middle of a row; what they had acknowledged is there, once."""
    path = record_path(tmp_path, "checkout")
    moments = random.Random(20261125)
    acknowledged, torn = ["first-0"], 0
    append(path, "look", "first-0", {})
    for i in range(cases(25, 100)):
        writer = python(f"{SLOW_DISK if i % 4 else ''}{WRITER}", path, f"w{i}", 1000, 300)
        assert writer.stdout.readline() == "ready\n"
        time.sleep(moments.random() * 0.1)
        writer.kill()
        acknowledged += writer.communicate(timeout=30)[0].split()
        record = read(path)
        torn += record.torn
        keys = [e.key for e in record.entries]
        assert len(keys) == len(set(keys))
        assert set(acknowledged) <= set(keys)
    assert torn > cases(2, 10)  # rows were cut, and left out
    assert append(path, "decision", "1", {}).is_new
    assert broken_lines(path) == []


# --- tampering ----------------------------------------------------------------------------------------------------------


def tampered(path, change):
    lines = lines_of(path)
    path.write_bytes(b"".join(change(lines)))
    return broken_lines(path)


@pytest.mark.parametrize("line", [1, 3, 5])
def test_an_edited_row_is_found_at_its_line(tmp_path, line):
    path = written(tmp_path, 5)

    def edit(lines):
        row = json.loads(lines[line - 1])
        row["payload"]["information"] = 0.25
        edited = json.dumps(row, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        return [*lines[: line - 1], edited, *lines[line:]]

    found = tampered(path, edit)
    assert [where for where, _ in found] == [line]
    assert f"row {line} was edited" in found[0][1]


def test_an_edited_row_with_a_hash_of_its_own_is_found_at_the_next_line(tmp_path):
    path = written(tmp_path, 5)

    def forge(lines):
        row = json.loads(lines[2])
        row["payload"]["information"] = 0.25
        content = {key: row[key] for key in ("n", "kind", "key", "at", "payload")}
        row["hash"] = chained(row["previous"], content)
        return [*lines[:2], json.dumps(row, sort_keys=True, separators=(",", ":")).encode() + b"\n", *lines[3:]]

    assert tampered(path, forge) == [(4, "this row follows another one than the line before it: that one was replaced")]


@pytest.mark.parametrize(("line", "place"), [(1, 1), (3, 3), (4, 4)])
def test_a_removed_row_is_found_where_it_stood(tmp_path, line, place):
    path = written(tmp_path, 5)
    assert tampered(path, lambda lines: [*lines[: line - 1], *lines[line:]]) == [
        (place, f"row {line} was removed before this line")
    ]


def test_several_removed_rows_are_counted(tmp_path):
    path = written(tmp_path, 6)
    assert tampered(path, lambda lines: [lines[0], *lines[4:]]) == [(2, "rows 2 to 4 were removed before this line")]


@pytest.mark.parametrize("line", [1, 3, 4])
def test_a_swapped_pair_is_found_at_its_first_line(tmp_path, line):
    path = written(tmp_path, 5)

    def swap(lines):
        return [*lines[: line - 1], lines[line], lines[line - 1], *lines[line + 1 :]]

    assert tampered(path, swap) == [(line, f"rows {line} and {line + 1} were swapped: this line and the next")]


def test_a_doubled_row_is_found(tmp_path):
    path = written(tmp_path, 3)
    assert tampered(path, lambda lines: [*lines[:2], lines[1], lines[2]]) == [(3, "row 2 stands here a second time")]


def test_the_record_of_another_experiment_does_not_fit(tmp_path):
    path = written(tmp_path, 2)
    other = path.with_name("pricing.jsonl")
    path.rename(other)
    assert [where for where, _ in broken_lines(other)] == [1]


def test_nothing_is_added_to_a_record_that_was_changed(tmp_path):
    path = written(tmp_path, 3)
    tampered(path, lambda lines: lines[1:])
    before = path.read_bytes()
    with pytest.raises(RecordBroken, match="line 1: row 1 was removed"):
        append(path, "look", "4", {})
    assert path.read_bytes() == before


@settings(max_examples=examples(200))
@given(st.data())
def test_any_changed_byte_is_found_or_leaves_a_torn_row(tmp_path_factory, data):
    """A byte of a row in the middle is found at its line, or, where it is the line break, at the line it makes of two."""
    path = written(tmp_path_factory.mktemp("record"), 3)
    content = bytearray(path.read_bytes())
    first_two = len(b"".join(lines_of(path)[:2]))
    position = data.draw(st.integers(0, first_two - 1))
    new = data.draw(st.integers(0, 255).filter(lambda value: value != content[position]))
    line = bytes(content[:position]).count(b"\n") + 1
    content[position] = new
    path.write_bytes(content)
    assert broken_lines(path)[0][0] == line
