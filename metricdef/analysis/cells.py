"""The result of the compiled SQL as moments: per arm, mixed units apart, for all units or one level of a dimension."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from metricdef.compiler.moment_stages import capped_values, key_name
from metricdef.compiler.plan import Block, Plan
from metricdef.compiler.result import EVENT_COUNTS, result_columns
from metricdef.compiler.source_checks import checked_sources, key_columns, row_checks
from metricdef.errors import NotComputable, WarehouseError
from metricdef.stats.moments import Floats, Moments, empty, from_shifted_sums

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a dimension; `value` is its text, None the level of units without one."""

    dimension: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """Units of one arm that moments are summed over. `levels`: per dimension its level, "" where not split by it."""

    arm: str
    mixed: bool
    epoch: int
    levels: tuple[Level | None, ...]
    row: Row


@dataclass(frozen=True, slots=True)
class OrderStatistics:
    """A quantile of `total` values with the values that bound it; of events also counts per unit, summed over units.

    `low` are rows at or below the quantile, `rows` all rows of a unit.
    """

    total: int
    estimate: float
    lower: float
    upper: float
    events: dict[str, float] | None


@dataclass(frozen=True, slots=True)
class DayChange:
    """What one local day adds to the sums of one block in one group; `day` is its start in local microseconds."""

    block: str
    day: int
    group: Group


@dataclass(frozen=True, slots=True)
class Entered:
    """Units of one arm that came on a local day (its start in local microseconds); clusters where those were randomised.

    `again`: units with more than one exposure.
    """

    arm: str
    mixed: bool
    epoch: int
    day: int
    units: int
    again: int
    clusters: int | None


@dataclass(frozen=True, slots=True)
class CheckedDay:
    """Rows of a source on a local day (None: without a time), its newest, and how many break each of its rules."""

    day: int | None
    rows: int
    newest: int | None
    broken: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CheckedSource:
    """A source that declares something of its rows. `repeated`: by key, rows beyond the first with the same value."""

    days: tuple[CheckedDay, ...]
    not_loaded: int
    repeated: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cells:
    """Rows of the result: counts by (arm, mixed, epoch), groups with moments, order statistics, changes and entries by day."""

    plan: Plan
    rows: dict[tuple[str, bool, int], Row]
    groups: tuple[Group, ...]
    quantiles: dict[tuple[str, str, Level | None], OrderStatistics]
    days: tuple[DayChange, ...] = ()
    entered: tuple[Entered, ...] = ()
    sources: Mapping[str, CheckedSource] = field(default_factory=dict)

    def count(self, name: str, arm: str, *, mixed: bool | None = None, epoch: int | None = None) -> int:
        """A count of one arm; of all its units where `mixed` is None."""
        return sum(
            int(row[name] or 0)
            for (found, is_mixed, at), row in self.rows.items()
            if found == arm and mixed in (None, is_mixed) and epoch in (None, at)
        )

    def audit(self, name: str) -> int:
        """A count over the whole experiment."""
        return int(self._any[f"audit_{name}"] or 0)

    @property
    def _any(self) -> Row:
        return next(iter(self.rows.values()))

    def eligible(self, block: str, arm: str, *, with_mixed: bool, level: Level | None = None) -> int:
        """Units (or clusters) of an arm in a block."""
        found = self._select(arm, with_mixed=with_mixed, level=level, epoch=None)
        return sum(int(group.row[f"n__{block}"] or 0) for group in found)

    def units_at(self, arm: str, level: Level) -> int:
        """Units of an arm at a level, mixed ones too: what a person could be found among."""
        return sum(int(g.row["group_rows"]) for g in self._select(arm, with_mixed=True, level=level, epoch=None))

    def centre(self, block_name: str, column: str) -> float:
        """The constant that was taken off a column before its products were summed."""
        position, block = self._block(block_name)
        at = [value.name for value in block.values].index(column)
        return _centre(self._any, position, block, at)

    def slope(self, block_name: str, residual: str) -> float:
        """What was taken off a residual's column for each unit of its other column."""
        _, block = self._block(block_name)
        value = next(v for v in block.values if v.name == residual)
        below = self.centre(block_name, value.minus)
        return self.centre(block_name, value.column) / below if below else 0.0

    def percentile(self, name: str) -> tuple[float | None, float | None]:
        """A limit taken from the data, and the median of the values other than 0; None where there are none."""
        limit, median = (self._any[f"{letter}__{name}"] for letter in "ph")
        return _or_none(limit), _or_none(median)

    def levels(self, dimension: str) -> list[Level]:
        """Levels of a breakdown that some unit has, NULL last."""
        at = self._breakdown(dimension)
        found = {group.levels[at] for group in self.groups} - {None}
        return sorted((x for x in found if x is not None), key=lambda x: (x.value is None, x.value or ""))

    def strata(self) -> list[tuple[Level, ...]]:
        """Every combination of levels of the strata that some unit has, in a fixed order."""
        at = [i for i, d in enumerate(self.plan.dimensions) if d.stratum]
        found = {tuple(level for i in at if (level := group.levels[i])) for group in self.groups}
        return sorted(found, key=lambda levels: [(x.value is None, x.value or "") for x in levels])

    def moments(
        self,
        block_name: str,
        columns: Sequence[str],
        arm: str,
        *,
        with_mixed: bool,
        level: Level | None = None,
        epoch: int | None = None,
    ) -> Moments:
        """Moments of some columns of a block in one arm. Raises NotComputable where the warehouse's sums are unusable.

        Sums of all groups have one centre, so they are added before they become moments: a group far from the centre
        costs no digits.
        """
        position, block = self._block(block_name)
        found = self._select(arm, with_mixed=with_mixed, level=level, epoch=epoch)
        return _moments([group.row for group in found], position, block, columns)

    def stratum_means(
        self,
        block_name: str,
        columns: Sequence[str],
        arm: str,
        *,
        with_mixed: bool,
        level: Level | None = None,
        epoch: int | None = None,
    ) -> dict[tuple[Level, ...], tuple[int, Floats]]:
        """Units of an arm and their means, apart for each combination of levels of the strata."""
        position, block = self._block(block_name)
        names = [value.name for value in block.values]
        at = [i for i, d in enumerate(self.plan.dimensions) if d.stratum]
        rows: dict[tuple[Level, ...], list[Row]] = {}
        for group in self._select(arm, with_mixed=with_mixed, level=level, epoch=epoch):
            rows.setdefault(tuple(x for i in at if (x := group.levels[i])), []).append(group.row)
        found = {}
        for stratum, own in rows.items():
            n = sum(int(row[f"n__{block.name}"] or 0) for row in own)
            if n:
                means = [
                    _centre(own[0], position, block, i)
                    + sum(_number(row[f"s__b{position}_{i}"], column) for row in own) / n
                    for column, i in ((column, names.index(column)) for column in columns)
                ]
                found[stratum] = (n, np.array(means, dtype=np.float64))
        return found

    def _block(self, name: str) -> tuple[int, Block]:
        return next((i, block) for i, block in enumerate(self.plan.blocks) if block.name == name)

    def _select(self, arm: str, *, with_mixed: bool, level: Level | None, epoch: int | None) -> Iterator[Group]:
        """Groups that together are the units asked for, each of them once."""
        at = None if level is None else self._breakdown(level.dimension)
        dimensions = self.plan.dimensions
        wanted = {at} if at is not None and not dimensions[at].stratum else set()
        for group in self.groups:
            if group.arm != arm or (group.mixed and not with_mixed) or epoch not in (None, group.epoch):
                continue
            split = {i for i, x in enumerate(group.levels) if x is not None and not dimensions[i].stratum}
            if split == wanted and (at is None or group.levels[at] == level):
                yield group

    def _breakdown(self, name: str) -> int:
        """The position of what splits units among the dimensions: a breakdown, or the first week."""
        found = enumerate(self.plan.dimensions)
        return next(i for i, d in found if (d.breakdown or not d.stratum) and d.name == name)


def read_cells(plan: Plan, table: pa.Table) -> Cells:
    """The result of the last statement. Raises WarehouseError where it is not what the statement returns."""
    names = {arm.code: arm.name for arm in plan.arms}
    found = [{key.lower(): value for key, value in raw.items()} for raw in table.to_pylist()]
    wanted_columns = {"kind", *(column.name for column in result_columns(plan))}
    missing = sorted(wanted_columns - set(found[0] if found else ()))
    if missing:
        # An absent sum must not be read as 0.
        _refuse(f"the result lacks columns: {', '.join(missing[:5])}")
    rows: dict[tuple[str, bool, int], Row] = {}
    groups, quantiles, days, entered = [], {}, [], []
    for row in sorted(found, key=_order):
        kind, _, name = str(row["kind"]).partition(":")
        if kind in ("checked", "source"):
            continue
        arm = names.get(int(row["arm"]), "")
        if kind == "quantile":
            level = next((x for x in _levels(plan, row) if x is not None), None)
            quantiles[name, arm, level] = _order_statistics(row)
            continue
        key = arm, bool(row["mixed"]), int(row["epoch"])
        if kind == "day":
            days.append(DayChange(name, int(row["day_us"]), Group(*key, _levels(plan, row), row)))
            continue
        if kind == "entered":
            clusters = int(row["entered_clusters"]) if plan.cluster else None
            counts = int(row["entered_units"]), int(row["entered_again"]), clusters
            entered.append(Entered(*key, int(row["seen_us"]), *counts))
            continue
        rows[key] = row
        if row["group_rows"] is not None:
            groups.append(Group(*key, _levels(plan, row), row))
    wanted = {(a.name, mixed, e) for a in plan.arms for mixed in (False, True) for e in range(max(1, len(plan.epochs)))}
    if set(rows) != wanted:
        _refuse("the result does not have one row per arm")
    cells = Cells(plan, rows, tuple(groups), quantiles, tuple(days), tuple(entered), _sources(plan, found))
    _check_sums(cells)
    return cells


def _sources(plan: Plan, rows: Sequence[Row]) -> dict[str, CheckedSource]:
    found = {}
    for name in checked_sources(plan):
        days = [row for row in rows if row["kind"] == f"checked:{name}"]
        whole = [row for row in rows if row["kind"] == f"source:{name}"]
        if len(whole) != 1:
            _refuse(f"the result does not have one row of source `{name}`")
        checks, keys = range(len(row_checks(plan, name))), range(len(key_columns(plan.sources[name])))
        found[name] = CheckedSource(
            tuple(
                CheckedDay(
                    None if row["seen_us"] is None else int(row["seen_us"]),
                    int(row["checked_rows"] or 0),
                    None if row["checked_newest_us"] is None else int(row["checked_newest_us"]),
                    tuple(int(row[f"checked_{i}"] or 0) for i in checks),
                )
                for row in sorted(days, key=lambda row: (row["seen_us"] is None, row["seen_us"]))
            ),
            int(whole[0]["source_not_loaded"] or 0),
            tuple(int(whole[0][f"source_repeated_{i}"] or 0) for i in keys),
        )
    return found


def _refuse(message: str) -> None:
    raise WarehouseError(message, ["run the SQL as `metricdef compile` writes it"])


def _check_sums(cells: Cells) -> None:
    """The groups of every arm must hold all its units: a row that got lost on the way would be a silent bias."""
    plan = cells.plan
    if not any(block.values for block in plan.blocks):
        return
    counted = "clusters_in_population" if plan.cluster else "units_in_population"
    for arm in plan.arms:
        whole = sum(int(row[counted] or 0) for (name, _, _), row in cells.rows.items() if name == arm.name)
        splits = [None, *(d.name for d in plan.dimensions if not d.stratum)]
        for split in splits:
            levels = [None] if split is None else cells.levels(split)
            total = 0
            for level in levels:
                groups = cells._select(arm.name, with_mixed=True, level=level, epoch=None)  # noqa: SLF001 - same module
                total += sum(int(group.row["group_rows"]) for group in groups)
            if total != whole and not (plan.cluster and split is not None):
                _refuse(f"the groups of arm `{arm.name}` hold {total:,} units, not {whole:,}")


def _order(row: Row) -> tuple[str, ...]:
    return tuple(
        "" if row.get(k) is None else str(row[k])
        for k in ("kind", "arm", "mixed", "epoch", "day_us", "seen_us", *sorted(k for k in row if k.startswith("k_")))
    )


def _levels(plan: Plan, row: Row) -> tuple[Level | None, ...]:
    found = []
    for i, dimension in enumerate(plan.dimensions):
        text = row[key_name(i)]
        found.append(
            None if text is None else Level(dimension.name, str(text)[1:] if str(text).startswith("v") else None)
        )
    return tuple(found)


def _order_statistics(row: Row) -> OrderStatistics:
    events = None
    if row.get("quantile_rows_here") is not None:
        events = {name: float(row[f"quantile_{name}"]) for name in EVENT_COUNTS}
    total, estimate, lower, upper = (row[f"quantile_{n}"] for n in ("total", "estimate", "lower", "upper"))
    return OrderStatistics(int(total), float(estimate), float(lower), float(upper), events)


def _moments(rows: Sequence[Row], position: int, block: Block, columns: Sequence[str]) -> Moments:
    names = [value.name for value in block.values]
    at = [names.index(column) for column in columns]
    used = [row for row in rows if int(row[f"n__{block.name}"] or 0)]
    if not used:
        return empty(tuple(columns))

    def read(letter: str) -> list[list[float]]:
        return [[_number(row[f"{letter}__b{position}_{i}"], names[i]) for row in used] for i in at]

    def total(letter: str) -> list[float]:
        return [sum(values) for values in read(letter)]

    capped = {i for i, _ in capped_values(block)}
    products = np.zeros((len(at), len(at)))
    for a, i in enumerate(at):
        for b, j in enumerate(at):
            name = f"q__b{position}_{min(i, j)}_{max(i, j)}"
            products[a, b] = sum(_number(row[name], names[i]) for row in used)
    return from_shifted_sums(
        tuple(columns),
        sum(int(row[f"n__{block.name}"]) for row in used),
        [_centre(used[0], position, block, i) for i in at],
        total("s"),
        products,
        total("k"),
        [max(values) for values in read("a")],
        [int(x) for x in total("z")],
        [sum(int(row[f"w__b{position}_{i}"] or 0) for row in used) if i in capped else 0 for i in at],
    )


def _centre(row: Row, position: int, block: Block, at: int) -> float:
    """The constant taken off a column; a residual has none of its own."""
    value = block.values[at]
    return 0.0 if value.presence == "residual" else _number(row[f"c__b{position}_{at}"], value.name)


def _or_none(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _number(value: object, column: str) -> float:
    number = float(value or 0)  # type: ignore[arg-type]  # numbers of any SQL type
    if not math.isfinite(number):
        raise NotComputable("not_finite", f"`{column}` has values that are infinite or not a number")
    return number
