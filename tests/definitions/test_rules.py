"""Every rule has a page whose wrong example brings its finding and whose right one brings none."""

from pathlib import Path

import pytest
from rule_shop import write_shop, write_tables

from metricdef.api import Project
from metricdef.definitions.rules import read_rules

RULES = read_rules()
RUN = {name: rule for name, rule in RULES.items() if not rule.by_hand}
# Rules about files that metricdef writes itself, or about rights: where their tests stand.
BY_HAND = {
    "amendment-removed": "tests/governance",
    "lock-after-look": "tests/governance",
    "lock-file": "tests/governance",
    "lock-unrecorded": "tests/governance",
    "lock-gone": "tests/governance",
    "lock-orphan": "tests/governance",
    "record-changed": "tests/governance",
    "unreadable-table": "tests/engines",
}
SAYS = {"unreadable-table": "may not be read"}  # where a test knows the message


@pytest.fixture
def findings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def check(rule, change):
        if rule.locked:
            write_shop(tmp_path, "experiments: {checkout: {status: running}}")
            Project(tmp_path).lock("checkout")
            change = change.replace("checkout: {", "checkout: {status: running, ").replace(
                "checkout:\n", "checkout:\n    status: running\n"
            )
        write_shop(tmp_path, change)
        if rule.live:
            write_tables(tmp_path)
        return Project(tmp_path).check(live=rule.live)

    return check


def test_the_shop_itself_is_fine(findings):
    assert findings(RULES["unknown-table"], "") == ()


@pytest.mark.parametrize("name", RUN)
def test_the_wrong_example_brings_the_finding(findings, name):
    rule = RULES[name]
    found = findings(rule, rule.wrong)
    mine = [d for d in found if d.rule == name]
    assert mine, found
    assert {d.rule for d in found if d.severity == "error"} <= {name}
    assert all(d.place and d.message for d in mine)
    expected = {"off": {"notice", "warning", "error"}, "notice": {"notice", "warning"}}.get(
        rule.severity, {rule.severity}
    )
    assert {d.severity for d in mine} <= expected


@pytest.mark.parametrize("name", RUN)
def test_the_right_example_brings_none(findings, name):
    rule = RULES[name]
    found = findings(rule, rule.right)
    assert not [d for d in found if d.rule == name or d.severity == "error"]


def test_rules_that_no_definition_can_show_are_tested_where_they_arise():
    assert {name for name, rule in RULES.items() if rule.by_hand} == set(BY_HAND)
    root = Path(__file__).resolve().parents[2]
    for name, folder in BY_HAND.items():
        assert any(SAYS.get(name, name) in path.read_text() for path in (root / folder).rglob("*.py")), name


def test_pages_are_short_and_whole():
    for name, rule in RULES.items():
        assert rule.what.strip().endswith("."), name
        assert rule.why.strip().endswith("."), name
        assert len(rule.what) + len(rule.why) < 520, name
        assert rule.wrong != rule.right, name
