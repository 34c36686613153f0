"""`metricdef explain`: a page for each rule."""

from __future__ import annotations

import argparse
import json
import sys

from metricdef.cli.output import use_color, width
from metricdef.definitions.rules import read_rules
from metricdef.errors import UsageError, suggest
from metricdef.reports.explain import render_rule, render_rules, rule_record


def run(options: argparse.Namespace) -> int:
    """Print the page of a rule, or the list of all of them."""
    rules, color = read_rules(), use_color(sys.stdout, off=options.no_color)
    if options.rule is not None and options.rule not in rules:
        similar = suggest(options.rule, rules, limit=3)
        help_ = (
            f"did you mean {' or '.join(f'`{name}`' for name in similar)}?"
            if similar
            else "`metricdef explain` lists all"
        )
        raise UsageError(f"there is no rule `{options.rule}`", [help_])
    if options.format == "json":
        found = [rule_record(rule) for rule in rules.values() if options.rule in (None, rule.id)]
        print(json.dumps({"version": 1, "rules": found}, indent=2, ensure_ascii=False))
    elif options.rule is None:
        print(render_rules(rules, color))
    else:
        print(render_rule(rules[options.rule], width(), color))
    return 0
