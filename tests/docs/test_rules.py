"""Every rule that the code can report has a page, every page a rule, and the list in the documents is whole."""

import ast
import re
from pathlib import Path

from metricdef.definitions.rules import read_rules

ROOT = Path(__file__).resolve().parents[2]
CALLS = {"Diagnostic": 0, "SqlProblem": 0, "problem": 0, "Problem": 1, "_finding": 1}


def calls():
    """What stands in the place of a rule id in every call that makes a finding; f-strings are the unknown-* family."""
    for path in (ROOT / "metricdef").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                position = CALLS.get(node.func.id)
                if position is not None and len(node.args) > position:
                    yield node.args[position]
                if node.func.id == "unknown":
                    yield ast.Constant(f"unknown-{node.args[0].value}")


def texts():
    """Every text in the code."""
    for path in (ROOT / "metricdef").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_every_rule_has_a_page_and_every_page_a_rule():
    reported = {node.value for node in calls() if isinstance(node, ast.Constant)}
    assert reported - set(read_rules()) == set(), "without a page in metricdef/definitions/rule_pages"
    assert set(read_rules()) - reported - set(texts()) == set(), "a page, but nothing reports it"


def test_the_documents_list_every_rule_and_no_other():
    text = (ROOT / "docs" / "checking.md").read_text()
    table = text[text.index("## The rules") :]
    assert set(re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)+)`", table)) == set(read_rules())
