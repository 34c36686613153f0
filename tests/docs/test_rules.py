"""The rule ids in the reference are those that the code can report."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def reported() -> set[str]:
    """First arguments of Diagnostic, SqlProblem and `problem`, second ones of Problem; f-strings are the unknown-* family."""
    found = set()
    for path in (ROOT / "metricdef").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                position = {"Diagnostic": 0, "SqlProblem": 0, "problem": 0, "Problem": 1}.get(node.func.id)
                if position is not None and len(node.args) > position and isinstance(node.args[position], ast.Constant):
                    found.add(node.args[position].value)
                if node.func.id == "unknown":
                    found.add(f"unknown-{node.args[0].value}")
    return found


def test_the_reference_lists_every_rule_and_no_other():
    text = (ROOT / "docs" / "definitions.md").read_text()
    table = text[text.index("The rules:") :]
    listed = set(re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)+)`", table))
    code = reported() | {"unknown-table", "source-query"}
    assert code - listed == set(), "missing from docs/definitions.md"
    assert listed - code == set(), "listed, but nothing reports them"
