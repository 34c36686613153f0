"""`metricdef init` without the demo: a project that loads, and what an editor needs."""

import json

from metricdef.cli.main import main
from metricdef.definitions.yaml_source import parse_yaml


def test_a_new_project_has_schemas_and_settings_for_an_editor(tmp_path, capsys):
    assert main(["init", str(tmp_path)]) == 0
    assert main(["--project", str(tmp_path), "check", "-q"]) == 0
    settings = json.loads((tmp_path / ".vscode" / "settings.json").read_text())
    for schema, globs in settings["yaml.schemas"].items():
        assert (tmp_path / schema).is_file()
        assert all(glob.startswith("metrics/") for glob in globs)
    text = (tmp_path / "metrics" / "project.yml").read_text()
    name = text.splitlines()[0].partition("$schema=")[2]
    assert (tmp_path / "metrics" / name).is_file()
    assert parse_yaml("project.yml", text).diagnostics == []


def test_settings_that_are_there_stay(tmp_path, capsys):
    (tmp_path / ".vscode").mkdir()
    (tmp_path / ".vscode" / "settings.json").write_text("{}")
    assert main(["init", str(tmp_path)]) == 0
    assert (tmp_path / ".vscode" / "settings.json").read_text() == "{}"
    assert "left as it is" in capsys.readouterr().err
