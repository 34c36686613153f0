"""`metricdef explain`: every rule has a page, a wrong name gets a suggestion."""

import json

import pytest

from metricdef.cli.main import main
from metricdef.definitions.rules import read_rules


def test_a_page_says_what_why_and_shows_both_examples(capsys):
    assert main(["explain", "shares-not-100"]) == 0
    shown = capsys.readouterr().out
    for part in ("shares-not-100", "don't sum to 100%", "Why: ", "wrong", "share: 40%", "right", "Severity: error"):
        assert part in shown


@pytest.mark.parametrize("name", read_rules())
def test_every_rule_has_a_page(capsys, name):
    assert main(["explain", name]) == 0
    assert capsys.readouterr().out.startswith(f"{name}\n")


def test_without_a_rule_all_are_listed(capsys):
    assert main(["explain"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name}" in shown for name in read_rules())


def test_an_unknown_rule_is_a_usage_error_with_a_suggestion(capsys):
    assert main(["explain", "share-not-100"]) == 2
    assert "did you mean `shares-not-100`" in capsys.readouterr().err


def test_pages_as_data(capsys):
    assert main(["explain", "--format", "json"]) == 0
    rules = json.loads(capsys.readouterr().out)["rules"]
    assert [rule["rule"] for rule in rules] == list(read_rules())
    assert main(["explain", "sql-column", "--format", "json"]) == 0
    assert [rule["rule"] for rule in json.loads(capsys.readouterr().out)["rules"]] == ["sql-column"]
