"""Names and values that could end a literal, a comment or a template, in every place where a user writes text."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from oracle.reading import Table
from projects import write_definitions

from metricdef.analysis.cells import Cells, Level, read_cells
from metricdef.api import Project
from metricdef.compiler.render import render
from metricdef.warehouses import connect

from .engine import Engine

TEXTS = (
    "it's",
    'say "hi"',
    "a; SELECT 1; b",
    "x -- y",
    "/* c */",
    "*/ '",
    "back\\slash",
    "\\",
    "\\' OR 1 = 1 --",
    "'; DROP TABLE orders; --",
    "line\nbreak",
    "tab\there",
    "%s %(x)s {x} ${h.x} :p ? $1 @v #h",
    "$$",
    "`tick`",
    "ünï → 😀",
    "null",
    "  spaces  ",
)
START = datetime(2026, 1, 1)
# Columns that are words of SQL somewhere.
SOURCES = {
    "sources": {
        "exposures": {
            "kind": "exposures",
            "table": "exposures",
            "timestamp": "timestamp",
            "entities": {"user": "user"},
            "experiment": "order",
            "arm": "group",
            "dimensions": {"kind": "value"},
        },
        "orders": {
            "table": "orders",
            "timestamp": "timestamp",
            "entities": {"user": "user"},
            "measures": {"amount": '"interval"'},
            "dimensions": {"state": '"select"'},
        },
    }
}


def decoys(text: str) -> list[str]:
    """What a text might be mistaken for."""
    others = [text.replace("'", "''"), text.replace("\\", "\\\\"), text.strip(), text + "!", text.upper(), ""]
    return [other for other in others if other != text]


def tables() -> dict[str, Table]:
    exposures: list[dict[str, Any]] = []
    orders: list[dict[str, Any]] = []
    for position, text in enumerate(TEXTS):
        for i in range(8):
            user = f"{position}/{i}/{text}"
            arm = f"{key(text)}{'AB'[i % 2]}"
            row = {"user": user, "order": key(text), "group": arm, "timestamp": START + timedelta(hours=1)}
            exposures.append({**row, "value": text if i < 5 else "other"})
            states = [text] * (i % 3) + decoys(text)
            at = START + timedelta(hours=2)
            orders += [{"user": user, "timestamp": at, "interval": 1.5 * i, "select": state} for state in states]
        strangers = [{"user": f"x{d}", "order": d, "group": f"{key(text)}A"} for d in decoys(key(text))]
        exposures += [{**row, "timestamp": START + timedelta(hours=1)} for row in strangers]
    kinds = {"user": "text", "timestamp": "timestamp"}
    return {
        "exposures": Table({**kinds, "order": "text", "group": "text", "value": "text"}, exposures),
        "orders": Table({**kinds, "interval": "double", "select": "text"}, orders),
    }


def definitions(text: str) -> list[dict[str, Any]]:
    quoted = text.replace("'", "''")
    metric = {"source": "orders", "filter": f"state = '{quoted}'", "direction": "increase", "description": text}
    metrics = {
        "any": {"type": "proportion", **metric},
        "sum": {"type": "mean", "agg": "sum", "measure": "amount", **metric},
    }
    experiment = {
        "label": text,
        "owners": [text],
        "status": "stopped",
        "hypothesis": text,
        "exposure": {"source": "exposures", "key": key(text)},
        "baseline": "a",
        "arms": {arm.lower(): {"key": f"{key(text)}{arm}", "share": "50%"} for arm in "AB"},
        "start": "2026-01-01",
        "end": "2026-01-02",
        "metrics": {"primary": {"any": {"mde": "1%"}}, "secondary": {"sum": None}},
        "analysis": {"breakdowns": ["kind"]},
    }
    return [SOURCES, {"metrics": metrics}, {"experiments": {"test": experiment}}]


def key(text: str) -> str:
    """Keys of arms and experiments are one line without a tab."""
    return "".join(" " if c in "\n\t" else c for c in text).strip()


def test_texts_stay_texts(engine: Engine, tmp_path: Path) -> None:
    engine.fill(tables())
    for position, text in enumerate(TEXTS):
        project = Project(write_definitions(tmp_path / str(position), *definitions(text)))
        plan = project.plan("test", "2026-02-01")
        with connect(engine.profile()) as warehouse:
            cells = read_cells(plan, warehouse.execute(render(plan, warehouse.dialect).statements))
        try:
            check(cells, text)
        except AssertionError as error:
            raise AssertionError(f"{text!r} on {engine.name}: {error}") from error


def check(cells: Cells, text: str) -> None:
    for arm, first in (("a", 0), ("b", 1)):
        own = range(first, 8, 2)
        assert cells.count("units_assigned", arm) == 4
        want = {"any": sum(i % 3 > 0 for i in own) / 4, "sum": sum((i % 3) * 1.5 * i for i in own) / 4}
        for name, mean in want.items():
            found = cells.moments("all", [name], arm, with_mixed=False)
            assert found.n == 4
            assert found.mean[0] == pytest.approx(mean)
        few = cells.moments("all", ["any"], arm, with_mixed=False, level=Level("kind", text))
        assert few.n == sum(i < 5 for i in own)
    assert [level.value for level in cells.levels("kind")] == sorted([text, "other"])
