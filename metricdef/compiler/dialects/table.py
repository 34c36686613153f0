"""The record that describes one SQL dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class OpenAsOf:
    """How SQL learns its as-of when it runs, and reads it where it is needed. `{x}` is in microseconds.

    A text that is not exactly YYYY-MM-DD, a date, is an error of the engine, never another date: engines also read a time
    with it, a year of two digits or a month of one.
    """

    given: str  # midnight of the date {date} as if it were UTC
    declare: str  # the statement that keeps as-of {x}, or the date {date}
    value: str  # as-of, kept or {x}
    timestamp: str  # a timestamp as `instant` writes them
    text: str  # YYYY-MM-DDTHH:MM:SS.ffffffZ
    check: str | None = None  # a statement after it that fails for what is no date, where {given} doesn't
    once: str = "{x}"  # an expression that is computed once, not for every row


@dataclass(frozen=True, slots=True)
class Overwrite:
    """How rows of an earlier run are replaced in one statement, where plain tables have no DELETE."""

    kept_table: str  # creates the table {name} in parts, one for every value of {columns}
    session: str  # so that only those parts are replaced of which there are rows
    insert: str  # the start of the statement, in place of INSERT INTO {name}
    part: str  # the same for one part alone, where {column} is {x}: also by no rows, after `named`
    named: str  # so that the parts are replaced that the statement names, whatever the format of the table


@dataclass(frozen=True, slots=True)
class Staging:
    """How a job's file keeps rows for its later statements in tables, where a temporary one keeps the query behind them.

    Every run has tables of its own, whose names nobody else has: two runs of one file don't meet.
    """

    declare: str  # draws the names; the text {x} is how they begin
    create: str  # creates table number {n} of this run, with the rows of a query
    show: tuple[str, ...]  # shows it to the session as {name}
    drop: str


@dataclass(frozen=True, slots=True)
class DialectTable:
    """Spellings of one engine. Formats take `{x}`, `{zone}` for `from_zone`, `{q}` for `quantile`, `{y}` for two operands.

    Timestamps become microseconds since 1970 in UTC as soon as they are read: from there on all time arithmetic is
    exact integer arithmetic, the same on every engine.
    """

    name: str
    sqlglot: str  # the name sqlglot knows it by
    to_utc: str  # any timestamp to a timestamp without zone, in UTC, given a session in UTC
    from_zone: str  # a timestamp without zone, read as local time of {zone}, to UTC; the later of two
    epoch_us: str  # a UTC timestamp without zone to microseconds
    instant: str  # the literal of a UTC timestamp, {x} as YYYY-MM-DD HH:MM:SS.ffffff
    double: str
    text: str
    numbered: str  # tells the rows apart that differ in {x}: by a number where that is cheap, in whatever order
    integer: str  # 64 bits
    # Aggregate: the exact quantile {q} of {x}, linear between neighbours (type 7). None: there is none that may stand
    # beside others, so that values are ranked instead.
    quantile: str | None
    smallest: str  # aggregate: the smallest non-NULL value of any type, booleans too
    quoted_case: Literal["upper", "lower", "as_is"]  # the case of an unquoted name once it must be quoted
    materialises_ctes: bool  # a CTE read twice is computed once
    temporary_table: str  # creates a session-local table {name}, replacing one left by an earlier run
    session: tuple[str, ...]  # statements a job must run first
    kept_table: str = "CREATE TABLE IF NOT EXISTS {name}"  # creates a table that stays
    # Names of the types double, integer and text in such a table, where it must name them; None: a query has them.
    column_types: Mapping[str, str] | None = None
    kept_from_query: bool = True  # such a table may take its columns from a query; else from a temporary table
    replaces_temporary: bool = True  # where `temporary_table` names one of this session
    overwrite: Overwrite | None = None  # None: rows of an earlier run are deleted
    staging: Staging | None = None  # None: files have temporary tables
    # Has a row where this role may use the schema whose name is the text {x}. None: to list its tables fails elsewhere.
    schema_seen: str | None = (
        "SELECT schema_name FROM information_schema.schemata WHERE LOWER(schema_name) = LOWER({x})"
    )
    # Lists the tables of the schema {name}, the text {x}, in a column table_name or tableName.
    tables_of_schema: str = "SELECT table_name FROM information_schema.tables WHERE LOWER(table_schema) = LOWER({x})"
    now: str = "CURRENT_TIMESTAMP"
    begin: str = "BEGIN"  # of a transaction that sees one state of the tables throughout
    transactions: bool = True  # DELETE and INSERT between BEGIN and COMMIT take effect together
    md5: str = "MD5({x})"  # of a text, as hexadecimal digits in lower case
    number: str | None = None  # the literal of a double, {x} as Python writes it; None: a number like any other
    small: str = "{x}"  # a whole number below 128 or NULL, in less space where rows are kept as they are
    date: str = "CAST('{x}' AS DATE)"  # the literal of a day, {x} as YYYY-MM-DD, beside a column of days or timestamps
    remainder: str = "{x} % {y}"  # of positive integers
    trims_whitespace: bool = False  # TRIM takes more than spaces
    rounds_quotients: bool = False  # the quotient of two exact numbers has few decimals: 1 / 3 is 0.333333
    failure: str = "CAST({x} AS BIGINT)"  # fails, and the message holds the text {x}
    largest: str = "MAX({x})"  # aggregate, also over a window: the largest double; not a number where one is none
    is_not_a_number: str = "{x} = CAST('NaN' AS DOUBLE)"  # of a double
    strict_unions: bool = False  # UNION ALL wants one type: no integers above doubles, none without sign above others
    in_ignores_null: bool = False  # IN passes over NULL in its list, also after NOT
    # That a source may read, in lower case; None: all, as the engine refuses those that reach outside.
    table_functions: frozenset[str] | None = None
    as_of: OpenAsOf | None = None  # None: only files of one date can be written
    statement_end: str = ""  # what every statement ends with
    # Of portable expressions that sqlglot's text gives another meaning, by its key; LN of 0 and less fails or is no
    # finite number: never NULL, which would be passed over.
    spellings: Mapping[str, str] = field(default_factory=dict)
