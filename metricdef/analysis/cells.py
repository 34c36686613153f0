"""The result of the compiled SQL as moments: per arm, mixed units apart, each metric's columns on their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metricdef.compiler.plan import Block, Plan
from metricdef.compiler.stages import capped_values, result_columns
from metricdef.errors import NotComputable, WarehouseError
from metricdef.stats.moments import Moments, empty, from_shifted_sums, merge

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cells:
    """Rows of the result by (arm name, mixed)."""

    plan: Plan
    rows: dict[tuple[str, bool], Row]

    def count(self, name: str, arm: str, *, mixed: bool | None = None) -> int:
        """A count of one arm; of all its units where `mixed` is None."""
        return sum(
            int(row[name] or 0)
            for (found, is_mixed), row in self.rows.items()
            if found == arm and mixed in (None, is_mixed)
        )

    def audit(self, name: str) -> int:
        """A count over the whole experiment."""
        return int(next(iter(self.rows.values()))[f"audit_{name}"] or 0)

    def eligible(self, block: str, arm: str, *, with_mixed: bool) -> int:
        """Units of an arm in a block."""
        return self.count(f"n__{block}", arm, mixed=None if with_mixed else False)

    def centre(self, block_name: str, column: str) -> float:
        """The constant that was taken off a column before its products were summed."""
        position = next(i for i, block in enumerate(self.plan.blocks) if block.name == block_name)
        at = [value.name for value in self.plan.blocks[position].values].index(column)
        return _number(next(iter(self.rows.values()))[f"c__b{position}_{at}"], column)

    def moments(self, block_name: str, columns: Sequence[str], arm: str, *, with_mixed: bool) -> Moments:
        """Moments of some columns of a block in one arm. Raises NotComputable where the warehouse's sums are unusable."""
        position = next(i for i, block in enumerate(self.plan.blocks) if block.name == block_name)
        block = self.plan.blocks[position]
        parts = [
            _moments(self.rows[arm, mixed], position, block, columns)
            for mixed in ((False, True) if with_mixed else (False,))
        ]
        return parts[0] if len(parts) == 1 else merge(parts[0], parts[1])


def read_cells(plan: Plan, table: pa.Table) -> Cells:
    """The result of the last statement. Raises WarehouseError where it is not what the statement returns."""
    names = {arm.code: arm.name for arm in plan.arms}
    rows = {}
    for raw in table.to_pylist():
        row = {key.lower(): value for key, value in raw.items()}
        rows[names.get(int(row["arm"]), ""), bool(row["mixed"])] = row
    wanted = {(arm.name, mixed) for arm in plan.arms for mixed in (False, True)}
    if set(rows) != wanted:
        raise WarehouseError(
            "the result does not have one row per arm", ["run the SQL as `metricdef compile` writes it"]
        )
    missing = sorted(result_columns(plan) - set(next(iter(rows.values()))))
    if missing:
        # An absent sum must not be read as 0.
        raise WarehouseError(
            f"the result lacks columns: {', '.join(missing[:5])}", ["run the SQL as `metricdef compile` writes it"]
        )
    return Cells(plan, rows)


def _moments(row: Row, position: int, block: Block, columns: Sequence[str]) -> Moments:
    names = [value.name for value in block.values]
    at = [names.index(column) for column in columns]
    n = int(row[f"n__{block.name}"] or 0)
    if n == 0:
        return empty(tuple(columns))

    def read(letter: str) -> list[float]:
        return [_number(row[f"{letter}__b{position}_{i}"], names[i]) for i in at]

    capped = {i for i, _ in capped_values(block)}

    products = np.zeros((len(at), len(at)))
    for a, i in enumerate(at):
        for b, j in enumerate(at):
            products[a, b] = _number(row[f"q__b{position}_{min(i, j)}_{max(i, j)}"], names[i])
    return from_shifted_sums(
        tuple(columns),
        n,
        read("c"),
        read("s"),
        products,
        read("k"),
        read("a"),
        [int(x) for x in read("z")],
        [int(row[f"w__b{position}_{i}"] or 0) if i in capped else 0 for i in at],
    )


def _number(value: object, column: str) -> float:
    number = float(value or 0)  # type: ignore[arg-type]  # numbers of any SQL type
    if not math.isfinite(number):
        raise NotComputable("not_finite", f"`{column}` has values that are infinite or not a number")
    return number
