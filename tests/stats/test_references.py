"""Every reference case that lies in --reference-dir, one test a case, from sufficient statistics alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from .reference import FOLDER, name
from .references import winsorised


def checks(topic: str) -> dict[str, Callable[[Any], None]]:
    found: dict[str, Callable[[Any], None]] = import_module(f"{__package__}.references.{topic}").CHECKS
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "reference_case" in metafunc.fixturenames:
        folder = Path(metafunc.config.getoption("--reference-dir") or FOLDER)
        files = sorted(folder.glob("*.json"))
        found = [(path.stem, case) for path in files for case in json.loads(path.read_text(encoding="utf-8"))]
        if not found:
            raise pytest.UsageError(f"no reference cases in {folder}")
        metafunc.parametrize(("topic", "reference_case"), found, ids=[f"{t}:{name(case)}" for t, case in found])


def test_reference(topic: str, reference_case: Any) -> None:
    method = reference_case["method"]
    # Winsorised comparisons belong to no one topic.
    check = winsorised.check if method.startswith("winsor") else checks(topic).get(method)
    assert check is not None, f"nothing checks the method {method} of {topic}"
    check(reference_case)
