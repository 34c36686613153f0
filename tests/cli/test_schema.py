"""`metricdef schema`: printed, or written for a project with its names."""

import json

from rule_shop import write_shop

from metricdef.cli.main import main


def test_a_schema_is_printed_without_a_project(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["schema"]) == 0
    assert "metrics" in json.loads(capsys.readouterr().out)["properties"]
    assert main(["schema", "project"]) == 0
    assert "profiles" in json.loads(capsys.readouterr().out)["properties"]


def test_names_of_a_project_are_offered_also_while_it_has_errors(tmp_path, monkeypatch, capsys):
    write_shop(tmp_path, "metrics: {payers: {type: proportion, source: order}}")
    monkeypatch.chdir(tmp_path)
    for arguments in (["schema", "--project"], ["schema", "--project", "."], ["--project", ".", "schema"]):
        assert main(arguments) == 0
        assert '"payers"' in capsys.readouterr().out
    assert main(["schema", "-o", "out"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["definitions.json", "project.json"]


def test_a_project_that_is_not_there_is_a_usage_error(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["schema", "--project", "."]) == 2
    assert "no project here" in capsys.readouterr().err
