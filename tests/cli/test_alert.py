"""`run --fail-on stop`: exit code 1, and one line of JSON for the program that rolls a flag back."""

import json

from projects import METRICS, PROJECT, SOURCES, TABLES, experiment, write_definitions, write_warehouse

from metricdef.cli.main import main

FLAG = {"provider": "openfeature", "key": "checkout", "rollback": "off"}


def write(root, bought, **changes):
    """2,000 units, of which the treatment buys with another rate."""
    protocol = experiment(**{"metrics": {"primary": {"buyers": {"mde": "2%"}}}, **changes})
    write_definitions(root, SOURCES, METRICS, protocol, project=PROJECT)
    write_warehouse(
        root,
        *TABLES,
        "INSERT INTO assignments SELECT 'u' || i, 'test', CASE i % 2 WHEN 0 THEN 'control' ELSE 'treatment' END, "
        "TIMESTAMP '2026-01-05', 'web' FROM range(2000) t(i)",
        f"INSERT INTO orders SELECT user_id, TIMESTAMP '2026-01-06', 1, 'p', 'paid' FROM assignments "
        f"WHERE hash(user_id) % 100 < CASE arm WHEN 'control' THEN 40 ELSE {bought} END",
    )
    return ["--project", str(root), "run", "test", "--as-of", "2026-03-01", "--fail-on", "stop"]


def test_harm_exits_with_1_and_names_the_flag(tmp_path, capsys):
    assert main(write(tmp_path, 20, flag=FLAG)) == 1
    lines = capsys.readouterr().err.splitlines()
    (alert,) = [json.loads(line)["alert"] for line in lines if line.startswith("{")]
    assert (alert["action"], alert["experiment"], alert["arms"]) == ("stop", "test", ["treatment"])
    assert alert["flag"] == FLAG
    assert alert["because"]


def test_the_document_has_the_alert_too(tmp_path, capsys):
    assert main([*write(tmp_path, 20), "--format", "json"]) == 1
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    (line,) = [line for line in shown.err.splitlines() if line.startswith("{")]
    assert json.loads(line)["alert"] == document["alert"]
    assert document["alert"]["flag"] is None


def test_without_harm_there_is_no_alert(tmp_path, capsys):
    assert main(write(tmp_path, 45, flag=FLAG)) == 0
    assert not [line for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
