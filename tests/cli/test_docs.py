"""`metricdef docs` from the command line."""

import json

import pytest
from projects import METRICS, SOURCES, experiment, write_definitions

from metricdef.cli.main import main


@pytest.fixture
def root(tmp_path, monkeypatch):
    write_definitions(tmp_path, SOURCES, METRICS, experiment())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_writes_below_target(root, capsys):
    assert main(["docs"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "open target/docs/index.html" in captured.err
    assert "It works." in (root / "target" / "docs" / "experiments" / "test.html").read_text()
    assert main(["docs", "-q"]) == 0
    assert capsys.readouterr().err == ""


def test_files_that_hold_no_readout_are_named(root, capsys):
    (root / "readouts").mkdir()
    (root / "readouts" / "notes.json").write_text("{}")
    assert main(["docs", "-o", "site", "--format", "json", "-q"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert (document["folder"], document["files"]) == ("site", sum(p.is_file() for p in (root / "site").rglob("*")) - 1)
    assert document["left_out"] == [
        "notes.json is not a readout of this version: it has no `schema`, not `metricdef/readout/1`"
    ]
    assert captured.err.startswith("left out: notes.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "metrics"], "holds something that `metricdef docs` did not write"),
        (["-o", "."], "holds something that `metricdef docs` did not write"),
        (["--readouts", "nowhere"], "nowhere is no folder"),
        (["--serve", "-o", "site"], "`--serve` writes nothing"),
        (["--port", "80"], "`--port` goes with `--serve`"),
    ],
)
def test_what_it_refuses(root, capsys, arguments, message):
    before = sorted(root.rglob("*"))
    assert main(["docs", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert sorted(root.rglob("*")) == before


def test_definitions_with_errors_leave_the_old_site(root, capsys):
    assert main(["docs", "-o", "site", "-q"]) == 0
    before = (root / "site" / "index.html").read_text()
    (root / "metrics" / "part_1.yml").write_text("metrics: {buyers: {type: proportion, source: nowhere}}")
    assert main(["docs", "-o", "site", "-q"]) == 2
    assert "error[" in capsys.readouterr().err
    assert (root / "site" / "index.html").read_text() == before
