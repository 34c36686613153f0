"""`metricdef report`: a readout's file as a page, as Markdown, as text, as a picture."""

import io
import sys

import pytest

from metricdef import read_readout
from metricdef.cli.main import main
from metricdef.reports.page import render_page
from tests.projects import METRICS, SOURCES, TABLES, experiment, write_definitions, write_warehouse
from tests.reports.sample import readout


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "readout.json"
    path.write_text(readout().to_json(), encoding="utf-8")
    return path


def test_a_page_is_printed_or_written(file, capsys):
    assert main(["report", str(file)]) == 0
    assert capsys.readouterr().out == render_page(readout())
    target = file.with_suffix(".html")
    assert main(["report", str(file), "-o", str(target)]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"wrote {target}\n")
    assert target.read_text(encoding="utf-8") == render_page(readout())


def test_formats(file, capsys):
    assert main(["report", str(file), "--format", "markdown"]) == 0
    assert capsys.readouterr().out.startswith("### Hold: New checkout")
    assert main(["--format", "text", "report", str(file)]) == 0
    assert "DECISION  HOLD" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["report", str(file), "--format", "json"])


def test_a_document_from_standard_input(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(readout().to_json()))
    assert main(["report", "-", "--format", "markdown"]) == 0
    assert "New checkout" in capsys.readouterr().out


def test_a_picture(file, capsys):
    target = file.with_suffix(".svg")
    assert main(["report", str(file), "--plot", str(target)]) == 0
    assert capsys.readouterr().out == ""
    assert target.read_text(encoding="utf-8").startswith("<svg")


def test_a_page_does_not_flood_a_terminal(file, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["report", str(file)]) == 2
    assert f"report {file} -o {file.with_suffix('.html')}" in capsys.readouterr().err


@pytest.mark.parametrize(("content", "message"), [(b"{}", "has no `schema`"), (b"\xff\xfe", "is not a text file")])
def test_what_is_no_readout_is_refused(tmp_path, capsys, content, message):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    assert main(["report", str(path)]) == 2
    assert message in capsys.readouterr().err


def test_no_such_file(tmp_path, capsys):
    assert main(["report", str(tmp_path / "no.json")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_a_page_is_of_one_experiment(tmp_path, capsys):
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/project.yml").write_text(
        "version: 1\nname: p\nentities: [user]\nprofiles: {d: {type: duckdb, path: x}}\n"
    )
    assert main(["--project", str(tmp_path), "run", "--all", "--format", "html"]) == 2
    assert "one experiment" in capsys.readouterr().err


def test_a_run_prints_what_its_file_is_reported_as(tmp_path, capsys):
    write_definitions(tmp_path, SOURCES, METRICS, experiment())
    write_warehouse(tmp_path, *TABLES)
    file, again = tmp_path / "r.json", ["--as-of", "2026-03-01", "-q"]
    for name in ("html", "markdown"):
        assert main(["--project", str(tmp_path), "run", "test", *again, "--format", name, "-o", str(file)]) == 0
        ran = capsys.readouterr().out
        assert main(["report", str(file), "--format", name]) == 0
        assert capsys.readouterr().out == ran
    assert read_readout(file).to_json() == file.read_text(encoding="utf-8")
