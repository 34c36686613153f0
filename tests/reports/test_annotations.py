"""Findings as GitHub and SARIF want them."""

import json
import re

import pytest

from metricdef.cli.main import main
from metricdef.definitions.rules import read_rules
from metricdef.errors import Diagnostic, Place
from metricdef.reports.annotations import SARIF_RESULTS, github_commands, sarif

AWKWARD = Diagnostic(
    "mde-kind",
    "100% of `a`,\r\nb: c",
    Place("metrics/a,b:c%.yml", 3, 5, 4, "    mde: 2"),
    ("write `2%`",),
)


def many(number, severity, rule="sql-column"):
    return [Diagnostic(rule, f"m{i}", Place("metrics/a.yml", i + 1, 1), (), severity) for i in range(number)]


def unescape(text):
    return text.replace("%3A", ":").replace("%2C", ",").replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


def test_workflow_commands_are_escaped_and_say_where():
    line = github_commands([AWKWARD], 1).splitlines()[0]
    match = re.fullmatch(r"::(error|warning|notice) ([^:]*)::(.*)", line)
    assert match is not None
    assert match[1] == "error"
    properties = dict(part.split("=", 1) for part in match[2].split(","))
    assert {key: unescape(value) for key, value in properties.items()} == {
        "file": "metrics/a,b:c%.yml",
        "line": "3",
        "endLine": "3",
        "col": "5",
        "endColumn": "9",
        "title": "mde-kind",
    }
    assert unescape(match[3]) == "100% of `a`,\r\nb: c\nhelp: write `2%`"


def test_errors_come_first_ten_of_a_kind_and_the_rest_is_counted():
    shown = github_commands([*many(12, "warning", "primary-without-mde"), *many(11, "error"), *many(2, "notice")], 3)
    lines = shown.splitlines()
    commands = [line.split(" ")[0] for line in lines if line.startswith("::")]
    assert commands == ["::error"] * 10 + ["::warning"] * 10 + ["::notice"] * 2
    assert lines[22:25] == [
        "  metrics/a.yml:11:1: error[sql-column]: m10",
        "  metrics/a.yml:11:1: warning[primary-without-mde]: m10",
        "  metrics/a.yml:12:1: warning[primary-without-mde]: m11",
    ]
    assert lines[-2] == "11 errors, 12 warnings, 2 notices in 1 of 3 files."
    assert lines[-1] == "3 more only in this log: GitHub shows 10 annotations of a kind."


def test_paths_start_at_the_top_of_the_repository():
    assert "file=shop/metrics/a.yml," in github_commands(many(1, "error"), 1, "shop")
    place = Place("../metrics/a.yml", 1, 1)
    assert "file=shop/metrics/a.yml," in github_commands([Diagnostic("x", "m", place)], 1, "shop/tools")


def check_sarif(document):
    """The parts of the SARIF 2.1.0 schema that this document uses."""
    assert document["version"] == "2.1.0"
    assert document["$schema"].endswith("sarif-2.1.0.json")
    assert set(document) == {"$schema", "version", "runs"}
    (run,) = document["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "metricdef"
    rules = driver["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for rule in rules:
        assert set(rule) <= {"id", "shortDescription", "fullDescription", "defaultConfiguration", "help"}
        for key in ("shortDescription", "fullDescription", "help"):
            assert rule.get(key, {"text": "x"})["text"]
        assert rule.get("defaultConfiguration", {"level": "none"})["level"] in {"none", "note", "warning", "error"}
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"none", "note", "warning", "error"}
        assert result["message"]["text"]
        for location in result.get("locations", ()):
            artifact = location["physicalLocation"]["artifactLocation"]
            assert artifact["uriBaseId"] == "%SRCROOT%"
            assert re.fullmatch(r"[\w./%~-]+", artifact["uri"])
            region = location["physicalLocation"]["region"]
            assert region["startLine"] >= 1 and region["startColumn"] >= 1
            assert (region["endLine"], region["endColumn"]) > (region["startLine"], region["startColumn"])
        assert all(isinstance(value, str) for value in result.get("partialFingerprints", {}).values())


def test_sarif_is_whole():
    found = [
        AWKWARD,
        *many(2, "warning", "primary-without-mde"),
        *many(1, "notice", "of-nobody"),
        Diagnostic("x-y", "no place"),
    ]
    document = json.loads(sarif(found, read_rules()))
    check_sarif(document)
    results = document["runs"][0]["results"]
    assert [r["level"] for r in results] == ["error", "error", "warning", "warning", "note"]
    fingerprints = [r["partialFingerprints"]["metricdef/v1"] for r in results if "locations" in r]
    assert len(set(fingerprints)) == len(fingerprints)


def test_a_finding_that_moves_is_the_same_alert():
    def fingerprint(line):
        text = sarif([Diagnostic("sql-column", "m", Place("metrics/a.yml", line, 1))], read_rules())
        return json.loads(text)["runs"][0]["results"][0]["partialFingerprints"]

    assert fingerprint(3) == fingerprint(30)


def test_sarif_stays_below_what_github_takes_and_keeps_the_errors():
    found = [*many(SARIF_RESULTS, "warning", "primary-without-mde"), *many(3, "error")]
    results = json.loads(sarif(found, {}))["runs"][0]["results"]
    assert len(results) == SARIF_RESULTS
    assert [r["level"] for r in results[:4]] == ["error", "error", "error", "warning"]


@pytest.fixture
def broken(tmp_path, monkeypatch):
    from rule_shop import write_shop

    write_shop(tmp_path / "shop", "metrics: {payers: {type: proportion, source: order}}")
    monkeypatch.chdir(tmp_path / "shop")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))


def test_check_prints_both(broken, capsys):
    assert main(["check", "--format", "github", "-q"]) == 1
    assert capsys.readouterr().out.startswith("::error file=shop/metrics/metrics.yml,line=")
    assert main(["check", "--format", "sarif", "-q"]) == 1
    document = json.loads(capsys.readouterr().out)
    check_sarif(document)
    assert [r["ruleId"] for r in document["runs"][0]["results"]] == ["unknown-source"]
    assert main(["--format", "sarif", "check", "-q", "--fail-on", "never"]) == 0


def test_other_verbs_have_no_such_format(broken, capsys):
    for arguments in (["log", "--format", "sarif"], ["--format", "sarif", "log"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        assert "sarif" in capsys.readouterr().err
