"""What an engine tells of statements before it runs them, and the refusal of what would read more than is allowed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp

from metricdef.errors import OverBudget

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_TABLE = re.compile(r"(?:--[^\n]*\n|\s)*CREATE OR REPLACE TEMPORARY TABLE (\w+) AS\b")
_LEAF = re.compile(r"^[\s:|+-]*(\w*Relation\w*|LogicalRDD)\b.*sizeInBytes=([0-9.]+) (B|[KMGTPE]iB)")
_BINARY = {"B": 1, **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGTPE", 1)}}
_OWN = re.compile(r"(?:^|\.)md_\w+$", re.IGNORECASE)  # a step of the compiled SQL
_UNKNOWN = 2**60  # Spark's size of a table of which it knows none is above this


@dataclass(frozen=True, slots=True)
class Cost:
    """An estimate by the engine.

    Attributes:
        bytes: That are read at most, as the engine keeps them; None where it does not tell.
        told: What else it says, each in the engine's own measure.
    """

    bytes: int | None
    told: Mapping[str, float]

    def words(self) -> str:
        """One line for people."""
        size = "bytes: not told by this engine" if self.bytes is None else f"reads at most {size_words(self.bytes)}"
        return "; ".join([size, *(f"{name}: {number:,.0f}" for name, number in self.told.items())])


def size_words(size: int) -> str:
    """Bytes in the largest unit of which there is one, by thousands."""
    power = min((len(str(size)) - 1) // 3, len(_UNITS) - 1)
    return f"{size / 1000**power:.3g} {_UNITS[power]}" if power else f"{size} B"


def refuse_over(limit: int, cost: Cost, dialect: str) -> None:
    """Raises OverBudget where the cost is above a limit in bytes, and where the engine does not tell it."""
    if cost.bytes is None:
        raise OverBudget(
            f"`max_bytes` is set, and {dialect} does not tell how much this would read",
            ["nothing was run; remove `max_bytes` from project.yml to run it all the same"],
        )
    if cost.bytes > limit:
        raise OverBudget(
            f"this would read up to {size_words(cost.bytes)}, more than `max_bytes` allows ({size_words(limit)})",
            [
                "nothing was run; narrow the dates, or let a `partition` column tell which rows are needed",
                "or raise `max_bytes` in project.yml",
            ],
        )


def named_query(statement: str) -> tuple[str | None, str]:
    """The name and the query of a statement that fills a temporary table; no name for another statement."""
    match = _TABLE.match(statement)
    return (match[1], statement[match.end() :]) if match else (None, statement)


def snowflake_cost(explained: str, query: str) -> tuple[int | None, int]:
    """Bytes and partitions of EXPLAIN USING JSON; no bytes where it leaves out a table that the query names."""
    found = json.loads(explained)
    scans = [op for step in found["Operations"] for op in step if op["operation"] == "TableScan"]
    scanned = {name for op in scans for name in op.get("objects", ()) if not _OWN.search(name)}
    tree = sqlglot.parse_one(query, read="snowflake")
    steps = {cte.alias_or_name for cte in tree.find_all(exp.CTE)}
    named = {t.sql() for t in tree.find_all(exp.Table) if t.name not in steps and not _OWN.search(t.name)}
    stats = found["GlobalStats"]
    return (int(stats["bytesAssigned"]) if len(scanned) >= len(named) else None), int(stats["partitionsAssigned"])


def nodes(plan: Any, below: str) -> Iterator[Mapping[str, Any]]:
    """Every node of a plan in JSON; `below` is what it calls its parts."""
    for node in plan if isinstance(plan, list) else [plan]:
        yield node
        yield from nodes(node.get(below) or [], below)


def spark_bytes(explained: str) -> int | None:
    """Bytes of the tables and files in the optimized plan of EXPLAIN COST; None where one of them is not known."""
    optimized = explained.partition("== Physical Plan ==")[0]
    sizes = [
        float(leaf[2]) * _BINARY[leaf[3]]
        for leaf in map(_LEAF.match, optimized.splitlines())
        if leaf and leaf[1] not in ("LocalRelation", "OneRowRelation")
    ]
    return round(sum(sizes)) if all(size < _UNKNOWN for size in sizes) else None
