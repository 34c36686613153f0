"""The rows that a unit test of a metric gives: a list of maps or a block of CSV, with types and the place of every cell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import sqlglot
from sqlglot import exp

from metricdef.definitions.expressions import SqlProblem, columns_of, parse_expression
from metricdef.definitions.lookup import column_help, source_columns
from metricdef.definitions.models import Source
from metricdef.definitions.project import Project
from metricdef.definitions.used import sources_of
from metricdef.definitions.yaml_source import Document, Path, plain_value
from metricdef.errors import Diagnostic, Place
from metricdef.metrics import Metric

_FIELD = re.compile(r'[ \t]*(?:"(?P<quoted>(?:[^"]|"")*)"|(?P<plain>[^,"]*?))[ \t]*(?P<end>,|$)')
_OFFSET = re.compile(r"(?:[Zz]|[-+]\d{2}(?::?\d{2})?)$")
TIMES = ("timestamp", "loaded_at", "valid_from", "valid_to")

# The first word that a type's name contains says what it holds. INTERVAL goes before INT.
_FAMILIES = {
    "INTERVAL": "other", "TIMESTAMP": "timestamp", "DATETIME": "timestamp", "DATE": "date", "BOOL": "boolean",
    "INT": "whole", "DECIMAL": "number", "NUMERIC": "number", "NUMBER": "number", "DOUBLE": "number",
    "FLOAT": "number", "REAL": "number", "CHAR": "text", "TEXT": "text", "STRING": "text",
}  # fmt: skip
_EXPECTED = {
    "whole": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date such as 2026-09-01",
    "timestamp": "a time such as 2026-09-01 08:30:00",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One value as written; `text` is None for NULL."""

    text: str | None
    quoted: bool
    place: Place

    @property
    def value(self) -> bool | int | float | str | None:
        """What it stands for."""
        return self.text if self.quoted or self.text is None else plain_value(self.text)


@dataclass(frozen=True, slots=True)
class GivenTable:
    """Typed rows: columns with DuckDB's type (None where no row has a value), values as text."""

    columns: tuple[tuple[str, str | None], ...]
    rows: tuple[tuple[str | None, ...], ...]


@dataclass(frozen=True, slots=True)
class Given:
    """What a test gives: the rows of every source that its metric reads, and the type of the unit's key."""

    tables: Mapping[str, GivenTable]
    unit_type: str
    latest: datetime | None  # no row is later than this, in whatever time zone


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of one source as written: columns by the names the source knows them by."""

    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Cell], ...]


def read_given(project: Project, name: str, metric: Metric, unit: str) -> tuple[Given, list[Diagnostic]]:
    """The rows of test `name`, and what is wrong with them. `unit` is the entity whose keys the exposures have."""
    test = project.tests[name]
    problems: list[Diagnostic] = []
    written: dict[str, _Rows] = {}
    sources = sorted(source for source in sources_of(project, metric) if source in project.sources)
    for source in sources:
        known = source_columns(project, source) or columns_read(project, source, metric)
        written[source] = _Rows((), ())
        if source in test.given:
            written[source], found = _read(project, name, source, known)
            problems += found
    misspelt = bool(problems)
    unit_type = _unit_type(project, name, written, unit)
    tables, times = {}, []
    for source in sources:
        types = _types(project, source, written[source], unit, unit_type)
        rows = written[source]
        if not misspelt:
            problems += list(_missing(project, name, source, rows, unit))
        problems += [
            p for row in rows.rows for key, cell in row.items() if (p := _misfit(source, key, types[key], cell))
        ]
        columns = _all_columns(project, source, metric, rows, types)
        tables[source] = GivenTable(
            tuple(columns.items()),
            tuple(tuple(row[key].text if key in row else None for key in columns) for row in rows.rows),
        )
        times += list(_instants(project.sources[source], rows))
    latest = max(times) + timedelta(days=1) if times else None
    return Given(tables, unit_type, latest), problems


def columns_read(project: Project, name: str, metric: Metric) -> list[str]:
    """Physical columns that a source's definition and a metric's filters name."""
    source = project.sources[name]
    keys = ("timestamp", "loaded_at", "partition", "experiment", "arm", "valid_from", "valid_to")
    found = [*source.entities.values(), *(column for key in keys if (column := getattr(source, key)))]
    texts = [*source.filter, *source.measures.values(), *source.dimensions.values()]
    dimensions = {dimension.casefold() for dimension in source.dimensions}
    for text in texts:
        found += _names(text, source)
    for text in _filters(project, name, metric):
        found += [column for column in _names(text, source) if column.casefold() not in dimensions]
    return list({column.casefold(): column for column in reversed(found)}.values())[::-1]


def _filters(project: Project, source: str, metric: Metric) -> Iterator[str]:
    for part in metric.parts(project.metrics):
        if part.source == source:
            yield from part.filter
        for step in part.funnel.steps if part.funnel else ():
            if step.source == source:
                yield from step.filter


def _names(text: str, source: Source) -> list[str]:
    try:
        return [column for column, _, _ in columns_of(parse_expression(text, source.dialect))]
    except SqlProblem:
        return []  # reported where the expression stands


# --- reading ----------------------------------------------------------------------------------------------------------


def _read(project: Project, name: str, source: str, known: Sequence[str]) -> tuple[_Rows, list[Diagnostic]]:
    """Rows of one source, by the source's own spelling of its columns."""
    document = project.origins["tests", name]
    path: Path = ("tests", name, "given", source)
    given = project.tests[name].given[source]
    found = list(_csv(document, path, given)) if isinstance(given, str) else list(_maps(document, path, given))
    problems = [item for item in found if isinstance(item, Diagnostic)]
    spelling = {column.casefold(): column for column in known}
    used: dict[str, None] = {}
    rows = []
    for item in found:
        if isinstance(item, Diagnostic):
            continue
        row: dict[str, Cell] = {}
        for (column, place), cell in item:
            if column.casefold() in spelling:
                row[spelling[column.casefold()]] = cell
                used[spelling[column.casefold()]] = None
                continue
            what = f"test `{name}`: column `{column}` is not in source `{source}`"
            problem = Diagnostic("sql-column", what, place, (column_help(column, known),))
            problems += [problem] if problem not in problems else []
        rows.append(row)
    return _Rows(tuple(used), tuple(rows)), problems


_Item = list[tuple[tuple[str, Place], Cell]] | Diagnostic


def _maps(document: Document, path: Path, given: Sequence[Mapping[str, Any]]) -> Iterator[_Item]:
    for position, row in enumerate(given):
        cells: list[tuple[tuple[str, Place], Cell]] = []
        for column in row:
            at = (*path, position, column)
            node, place = document.scalars.get(at), document.place(at)
            if node is None:
                what = f"`{column}` must be a single value"
                yield Diagnostic("test-value", what, document.place(at, key=True))
                continue
            quoted = node.style is not None
            text = None if not quoted and plain_value(node.value) is None else node.value
            cells.append(((column, document.place(at, key=True)), Cell(text, quoted, place)))
        yield cells


def _csv(document: Document, path: Path, text: str) -> Iterator[_Item]:
    """The first line names the columns; an empty field is NULL, and quotes keep commas and spaces."""
    header: list[tuple[str, Place]] = []
    start = 0
    for line in text.split("\n"):
        here, start = start, start + len(line) + 1
        if not line.strip():
            continue
        fields = _fields(document, path, line, here)
        whole = document.offset(path, here + len(line) - len(line.lstrip()), len(line.strip()))
        if fields is None:
            yield Diagnostic(
                "test-csv",
                "a quote in this row is not closed, or text stands beside the quotes",
                whole,
                ('quote the whole field, as in `1, "a, b", 3`; a quote inside is written twice',),
            )
        elif not header:
            header = [(cell.text or "", cell.place) for cell in fields]
            for position, (name, place) in enumerate(header):
                if not name or name.casefold() in {other.casefold() for other, _ in header[:position]}:
                    what = f"column `{name}` is named twice" if name else "a column has no name"
                    yield Diagnostic("test-csv", what, place)
        elif len(fields) != len(header):
            what = f"the row has {len(fields)} fields, the header has {len(header)}"
            help_ = f"columns: {', '.join(name for name, _ in header)}; an empty field is NULL"
            yield Diagnostic("test-csv", what, whole, (help_,))
        else:
            yield list(zip(header, fields, strict=True))
    if not header:
        what = "the rows need a first line with the names of the columns"
        yield Diagnostic("test-csv", what, document.place(path, key=True), ("write `[]` for no rows",))


def _fields(document: Document, path: Path, line: str, offset: int) -> list[Cell] | None:
    cells, position = [], 0
    while True:
        match = _FIELD.match(line, position)
        if match is None:
            return None
        kind = "plain" if match["quoted"] is None else "quoted"
        quoted = kind == "quoted"
        place = document.offset(path, offset + match.start(kind), max(1, match.end(kind) - match.start(kind)))
        text = match[kind].replace('""', '"') if quoted else match[kind]
        cells.append(Cell(None if not quoted and plain_value(text) is None else text, quoted, place))
        if not match["end"]:
            return cells
        position = match.end()


# --- types ------------------------------------------------------------------------------------------------------------


def _declared(project: Project, source: str) -> dict[str, str]:
    """Types of a source's columns from the snapshot, as DuckDB spells them."""
    found = {}
    settings = project.settings
    profile = settings.profiles.get(settings.default_profile or next(iter(settings.profiles), ""), {})
    for column, kind in project.schema.get(source, {}).items():
        try:
            found[column] = exp.DataType.build(kind, dialect=str(profile.get("type"))).sql(dialect="duckdb")
        except (sqlglot.errors.SqlglotError, ValueError):
            continue  # unknown to the parser: taken from the values
    return found


def _types(project: Project, source: str, rows: _Rows, unit: str, unit_type: str) -> dict[str, str | None]:
    """Declared where it is, else what the values look like."""
    definition, declared = project.sources[source], _declared(project, source)
    times = {column.casefold() for key in TIMES if (column := getattr(definition, key))}
    found: dict[str, str | None] = {}
    for column in rows.columns:
        cells = [row[column] for row in rows.rows if column in row]
        if column in declared:
            found[column] = declared[column]
        elif column.casefold() == str(definition.entities.get(unit)).casefold():
            found[column] = unit_type
        elif column.casefold() in times:
            aware = any(cell.text and _has_offset(cell.text) for cell in cells) and definition.timezone is None
            found[column] = "TIMESTAMPTZ" if aware else "TIMESTAMP"
        else:
            found[column] = _inferred(cell.value for cell in cells)
    return found


def _inferred(values: Iterable[object]) -> str | None:
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return None
    for wanted, name in (({bool}, "BOOLEAN"), ({int}, "BIGINT"), ({int, float}, "DOUBLE")):
        if kinds <= wanted:
            return name
    return "VARCHAR"


def _unit_type(project: Project, name: str, written: Mapping[str, _Rows], unit: str) -> str:
    """The declared type of the unit's key, else that of all keys together: a text anywhere makes them texts."""
    for source in written:
        column = str(project.sources[source].entities.get(unit)).casefold()
        for declared, declared_type in _declared(project, source).items():
            if declared.casefold() == column:
                return declared_type
    document = project.origins["tests", name]
    values: list[object] = []
    for position, _ in enumerate(project.tests[name].exposures):
        node = document.scalars.get(("tests", name, "exposures", position, unit))
        values.append(node and (node.value if node.style is not None else plain_value(node.value)))
    for source, rows in written.items():
        column = str(project.sources[source].entities.get(unit)).casefold()
        values += [cell.value for row in rows.rows for key, cell in row.items() if key.casefold() == column]
    kind = _inferred(values)
    return "BIGINT" if kind == "BIGINT" else "VARCHAR"


def _all_columns(
    project: Project, source: str, metric: Metric, rows: _Rows, types: Mapping[str, str | None]
) -> dict[str, str | None]:
    """The given columns, and every other one of the source without a value."""
    columns = dict(types)
    declared = _declared(project, source)
    seen = {column.casefold() for column in columns}
    for column in [*(source_columns(project, source) or ()), *columns_read(project, source, metric)]:
        if column.casefold() not in seen:
            seen.add(column.casefold())
            columns[column] = declared.get(column)
    empty = {
        column for column in columns if not any(row[column].text is not None for row in rows.rows if column in row)
    }
    return {column: declared.get(column) if column in empty else kind for column, kind in columns.items()}


def _missing(project: Project, name: str, source: str, rows: _Rows, unit: str) -> Iterator[Diagnostic]:
    """A row without a unit or a time never counts: who means that writes a NULL."""
    definition, document = project.sources[source], project.origins["tests", name]
    listed = not isinstance(project.tests[name].given.get(source), str)
    for what, column in ((f"unit `{unit}`", definition.entities.get(unit)), ("time", definition.timestamp)):
        for position, row in enumerate(rows.rows):
            if column is None or column.casefold() in {key.casefold() for key in row}:
                continue
            path = ("tests", name, "given", source)
            place = document.place((*path, position)) if listed else document.place(path, key=True)
            message = f"test `{name}`: the rows of `{source}` have no `{column}`, the column of its {what}"
            yield Diagnostic("test-column", message, place, (f"add `{column}`, with null where there is none",))
            break


def _misfit(source: str, column: str, kind: str | None, cell: Cell) -> Diagnostic | None:
    """A value that its column's type cannot hold: a conversion might round or cut it silently."""
    family = type_family(kind)
    if cell.text is None or _fits(cell, family, kind or ""):
        return None
    what = f"`{column}` of source `{source}` is {kind}: `{cell.text}` is not {_EXPECTED[family]}"
    if family == "timestamp" and _has_offset(cell.text):
        what = f"`{column}` of source `{source}` is {kind}, which has no time zone"
        return Diagnostic("test-value", what, cell.place, ("write the time without a zone, as the table holds it",))
    return Diagnostic("test-value", what, cell.place)


def type_family(kind: str | None) -> str:
    """What a SQL type holds: whole, number, text, boolean, date, timestamp or other."""
    upper = (kind or "").upper()
    return next((family for word, family in _FAMILIES.items() if word in upper), "other")


def _fits(cell: Cell, family: str, kind: str) -> bool:
    text, value = cell.text or "", plain_value(cell.text or "")
    match family:
        case "whole":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "date":
            return _parsed(date.fromisoformat, text)
        case "timestamp":
            aware = "TZ" in kind.upper() or "WITH TIME ZONE" in kind.upper()
            return _parsed(datetime.fromisoformat, text) and (aware or not _has_offset(text))
    return True


def _parsed(parse: Any, text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _has_offset(text: str) -> bool:
    return len(text) > len("2026-09-01") and _OFFSET.search(text) is not None


def _instants(source: Source, rows: _Rows) -> Iterator[datetime]:
    """Times of the rows, as if all were UTC."""
    columns = {column.casefold() for key in ("timestamp", "loaded_at") if (column := getattr(source, key))}
    for row in rows.rows:
        for column, cell in row.items():
            if column.casefold() in columns and cell.text and _parsed(datetime.fromisoformat, cell.text):
                yield datetime.fromisoformat(cell.text).replace(tzinfo=None)
