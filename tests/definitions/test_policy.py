"""Severities and waivers: what a project may lower, and what stays."""

import pytest
from rule_shop import write_shop

from metricdef.api import Project

GOLD = """\
sources:
  people: {kind: attributes, table: people, entities: {user: user_id}, dimensions: [tier]}
segments:
  gold: {source: people, filter: tier = 'gold'}"""


@pytest.fixture
def found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def check(change, lint=""):
        write_shop(tmp_path, change)
        if lint:
            with (tmp_path / "metrics" / "project.yml").open("a") as file:
                file.write(f"lint: {lint}\n")
        return [(d.rule, d.severity) for d in Project(tmp_path).check()]

    return check


def test_a_waiver_on_the_line_or_above_it_silences_a_warning(found):
    assert found(f"{GOLD}  # here") == [("current-value-attribute", "warning")]
    assert found(f"{GOLD}  # metricdef: ignore[current-value-attribute] fixed each January") == []
    above = "# metricdef: ignore[current-value-attribute] fixed each January\n  # and more\n  gold: "
    assert found(GOLD.replace("gold: ", above, 1)) == []


def test_a_waiver_for_several_rules_needs_each(found):
    waiver = "# metricdef: ignore[current-value-attribute, primary-without-mde] fixed each January"
    assert found(f"{GOLD}  {waiver}") == [("waiver-unused", "warning")]


def test_a_waiver_of_another_line_does_nothing(found):
    text = GOLD.replace("segments:", "segments:  # metricdef: ignore[current-value-attribute] fixed")
    assert sorted(found(text)) == [("current-value-attribute", "warning"), ("waiver-unused", "warning")]


def test_a_waiver_without_reason_is_an_error_and_silences_nothing(found):
    rules = found(f"{GOLD}  # metricdef: ignore[current-value-attribute]")
    assert set(rules) == {("current-value-attribute", "warning"), ("waiver-without-reason", "error")}


def test_errors_cannot_be_waived_or_lowered(found):
    text = "segments:\n  phones: {source: assignment, filter: a = 1}  # metricdef: ignore[unknown-source] later"
    assert found(text) == [("unknown-source", "error"), ("error-stays", "error")]
    lowered = found("segments: {phones: {source: assignment, filter: a = 1}}", "{unknown-source: 'off'}")
    assert sorted(lowered) == [("error-stays", "error"), ("unknown-source", "error")]


@pytest.mark.parametrize("comment", ["ignore current-value-attribute x", "ignore[]", "noqa", "ignore[a b"])
def test_a_comment_that_is_meant_as_a_waiver_and_is_none_is_an_error(found, comment):
    assert ("waiver-syntax", "error") in found(f"{GOLD}  # metricdef: {comment}")


def test_text_that_looks_like_a_waiver_is_none(found):
    text = """\
segments:
  phones:
    description: |
      # metricdef: ignore[unknown-source] this is prose
      # metricdef: so is this
    source: assignments
    filter: "platform <> ' # metricdef: no comment'"  # only phones"""
    assert found(text) == []


def test_a_waiver_after_a_text_that_looks_like_one(found):
    text = GOLD.replace("tier = 'gold'}", "\"tier <> 'a # metricdef: b'\"}")
    assert found(text) == [("current-value-attribute", "warning")]
    assert found(f"{text}  # metricdef: ignore[current-value-attribute] fixed each January") == []


@pytest.mark.parametrize(("severity", "seen"), [("off", []), ("notice", ["notice"]), ("error", ["error"])])
def test_lint_sets_the_severity_of_a_warning(found, severity, seen):
    assert found(f"{GOLD}  # x", f"{{current-value-attribute: '{severity}'}}") == [
        ("current-value-attribute", s) for s in seen
    ]


def test_a_warning_that_is_raised_to_an_error_stops_other_verbs_unless_it_is_waived(tmp_path, monkeypatch):
    from metricdef.errors import DefinitionErrors

    monkeypatch.chdir(tmp_path)
    for waiver, stops in (("# x", True), ("# metricdef: ignore[current-value-attribute] fixed", False)):
        write_shop(tmp_path, f"{GOLD}  {waiver}")
        with (tmp_path / "metrics" / "project.yml").open("a") as file:
            file.write("lint: {current-value-attribute: error}\n")
        if stops:
            with pytest.raises(DefinitionErrors):
                Project(tmp_path).compile("checkout", as_of="2026-10-20")
        else:
            assert Project(tmp_path).compile("checkout", as_of="2026-10-20").statements


def test_waivers_reach_findings_about_the_protocol(found, tmp_path):
    (tmp_path / "metrics").mkdir()
    assert found("experiments: {checkout: {status: running}}") == [("not-locked", "warning")]
    path = tmp_path / "metrics" / "experiments.yml"
    path.write_text(path.read_text().replace("checkout:", "checkout:  # metricdef: ignore[not-locked] a pilot"))
    assert Project(tmp_path).check() == ()


def test_unused_waivers_are_not_reported_while_errors_hide_what_they_are_for(found, tmp_path):
    text = f"{GOLD}\n  gone: {{source: nowhere, filter: a = 1}}  # metricdef: ignore[not-locked] a pilot"
    assert found(text) == [("current-value-attribute", "warning"), ("unknown-source", "error")]


def test_fixed_windows_are_named_before_the_end_only(found):
    change = "metrics: {late: {type: proportion, source: orders, window: 60d, direction: increase}}\nexperiments: {checkout: {status: %s, metrics: {primary: {late: {mde: 2%%}}}}}"
    assert found(change % "draft") == [("window-longer-than-experiment", "notice")]
    assert ("window-longer-than-experiment", "notice") not in found(change % "stopped")


def test_a_ring_of_ratios_is_named_with_its_way(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ratio = "{{type: ratio, numerator: {}, denominator: orders_placed, direction: increase}}"
    write_shop(tmp_path, f"metrics: {{a: {ratio.format('b')}, b: {ratio.format('a')}}}")
    found = [d for d in Project(tmp_path).check() if d.rule == "ratio-cycle"]
    assert [d.message for d in found] == [
        "numerator of metric `a` leads back to itself: a → b → a",
        "numerator of metric `b` leads back to itself: b → a → b",
    ]
