"""The pages of rules, for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import asdict

from metricdef.definitions.rules import Rule
from metricdef.reports.lines import Pen

WIDEST = 100  # of running text; examples keep their lines
_SEVERITIES = {
    "error": "error, which neither `lint` nor a waiver can lower",
    "warning": "warning; `lint` in project.yml changes that, a comment waives it: # metricdef: ignore[{id}] REASON",
    "notice": "notice; `lint` in project.yml changes that, a comment waives it: # metricdef: ignore[{id}] REASON",
    "off": "off, until project.yml says for example `lint: {{{id}: warning}}`",
}


def render_rule(rule: Rule, width: int, color: bool = False) -> str:
    """What the rule finds, why it matters, and an example without and with the mistake."""
    pen = Pen(color)
    lines = [pen(rule.id, "bold"), *_wrapped(rule.what, width), "", *_wrapped(f"Why: {rule.why}", width), ""]
    lines += _wrapped(f"Severity: {_SEVERITIES[rule.severity].format(id=rule.id)}.", width)
    if rule.live:
        lines += _wrapped("Only the warehouse can tell: `metricdef check --live`.", width)
    lines += ["", pen("wrong", "red"), *_indented(rule.wrong), "", pen("right", "green"), *_indented(rule.right)]
    return "\n".join(lines)


def render_rules(rules: Mapping[str, Rule], color: bool = False) -> str:
    """All rules by group, a line each."""
    pen = Pen(color)
    lines: list[str] = []
    group = ""
    for rule in rules.values():
        if rule.group != group:
            group = rule.group
            lines += ["", pen(group, "bold")] if lines else [pen(group, "bold")]
        kind = "" if rule.severity == "error" else f" ({rule.severity})"
        lines.append(f"  {rule.id}{kind}")
    return "\n".join([*lines, "", "metricdef explain RULE shows what it finds, why, and how to mend it."])


def rule_record(rule: Rule) -> dict[str, object]:
    """The page as data."""
    page = asdict(rule)
    return {
        "rule": page.pop("id"),
        **{key: page[key] for key in ("group", "severity", "what", "why", "wrong", "right")},
    }


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(" ".join(text.split()), min(width, WIDEST), break_on_hyphens=False, break_long_words=False)


def _indented(text: str) -> list[str]:
    return [f"    {line}".rstrip() for line in text.rstrip().splitlines()]
