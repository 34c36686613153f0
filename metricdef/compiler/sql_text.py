"""Pieces of SQL in one dialect: names, literals and analysts' expressions, rendered from their parsed trees."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlglot import exp, tokenize
from sqlglot.tokens import TokenType

from metricdef.compiler.dialects import DialectTable
from metricdef.definitions.expressions import READ_DIALECT, parse_expression, parse_query
from metricdef.definitions.models import Source
from metricdef.errors import UsageError

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class SqlText:
    """Writes SQL for one dialect. `schemas` maps logical schema names to those of a profile."""

    dialect: DialectTable
    schemas: Mapping[str, str] = field(default_factory=dict)

    def name(self, name: str) -> str:
        """An identifier, quoted only where it must be."""
        return self._identifier(name).sql(dialect=self.dialect.sqlglot)

    def literal(self, value: str) -> str:
        """A string literal that holds exactly `value`."""
        return exp.Literal.string(value).sql(dialect=self.dialect.sqlglot)

    def number(self, value: float) -> str:
        """A double literal that reads back as the same double."""
        return self.double(repr(float(value)))

    def instant_us(self, us: int) -> str:
        """Microseconds as an integer, with the instant beside it for the reader."""
        return f"{us} /* {_moment(us):%Y-%m-%d %H:%M:%S.%f} UTC */"

    def instant(self, us: int) -> str:
        """A timestamp literal, for pruning by the column itself."""
        return self.dialect.instant.format(x=f"{_moment(us):%Y-%m-%d %H:%M:%S.%f}")

    def double(self, sql: str) -> str:
        """A value as a double."""
        return self.dialect.double.format(x=sql)

    def text(self, sql: str) -> str:
        """A value as text."""
        return self.dialect.text.format(x=sql)

    def utc(self, column: str, timezone: str | None) -> str:
        """A timestamp column as a UTC timestamp without zone."""
        if timezone is None:
            return self.dialect.to_utc.format(x=self.name(column))
        return self.dialect.from_zone.format(x=self.name(column), zone=self.literal(timezone))

    def epoch_us(self, utc: str) -> str:
        """A UTC timestamp as microseconds since 1970."""
        return self.dialect.epoch_us.format(x=utc)

    def expression(
        self, text: str, source_name: str, source: Source, rename: Callable[[str], str] | None = None
    ) -> str:
        """An analyst's scalar expression over the source's columns and dimensions.

        `rename` replaces column names, for a filter that is applied to values carried along. Raises UsageError where
        the source declares another dialect.
        """
        self._check_dialect(source_name, source)

        def resolve(node: exp.Expr) -> exp.Expr:
            if isinstance(node, exp.Column):
                if rename is not None:
                    return exp.column(exp.to_identifier(rename(node.name)))
                dimension = source.dimensions.get(node.name)
                if dimension is not None and dimension != node.name:
                    return exp.paren(parse_expression(dimension, source.dialect).copy().transform(resolve_column))
            return resolve_column(node)

        def resolve_column(node: exp.Expr) -> exp.Expr:
            if isinstance(node, exp.Column):
                return exp.column(self._identifier(node.name, quoted=node.this.quoted))
            if isinstance(node, exp.Div) and not (
                isinstance(node.expression, exp.Literal) and float(node.expression.this) != 0
            ):
                # x / 0 is infinite, NULL or an error, by engine: here it is NULL on all of them.
                node.set("expression", exp.func("NULLIF", node.expression.copy(), exp.Literal.number(0)))
            return node

        tree = parse_expression(text, source.dialect).copy().transform(resolve)
        return tree.sql(dialect=self.dialect.sqlglot)

    def conditions(
        self, texts: tuple[str, ...], source_name: str, source: Source, rename: Callable[[str], str] | None = None
    ) -> str:
        """Filters joined by AND."""
        return " AND ".join(f"({self.expression(text, source_name, source, rename)})" for text in texts)

    def relation(self, source_name: str, source: Source) -> str:
        """What stands after FROM for a source."""
        if source.table is not None:
            return self._table(exp.to_table(source.table)).sql(dialect=self.dialect.sqlglot)
        self._check_dialect(source_name, source)
        assert source.sql is not None  # noqa: S101 - dbt models are refused before
        query = parse_query(source.sql, source.dialect).copy()
        for table in query.find_all(exp.Table):
            self._table(table)
        body = query.sql(dialect=self.dialect.sqlglot, pretty=True, comments=False)
        return f"(\n{body}\n) AS source_rows"

    def _table(self, table: exp.Table) -> exp.Table:
        if table.db in self.schemas:
            table.set("db", exp.to_identifier(self.schemas[table.db]))
        for key in ("this", "db", "catalog"):
            part = table.args.get(key)
            if isinstance(part, exp.Identifier):
                table.set(key, self._identifier(part.name, quoted=part.quoted))
        return table

    def _identifier(self, name: str, *, quoted: bool = False) -> exp.Identifier:
        plain = _PLAIN.fullmatch(name) is not None
        if not plain:
            return exp.to_identifier(name, quoted=True)
        if quoted or _is_keyword(name, self.dialect.sqlglot):
            case = {"upper": name.upper(), "lower": name.lower(), "as_is": name}[self.dialect.quoted_case]
            # A name the analyst quoted in mixed case means that case.
            return exp.to_identifier(name if quoted and name not in (name.lower(), name.upper()) else case, quoted=True)
        return exp.to_identifier(name)

    def _check_dialect(self, source_name: str, source: Source) -> None:
        if source.dialect is not None and source.dialect != self.dialect.sqlglot:
            raise UsageError(
                f"source `{source_name}` is written for {source.dialect} and cannot be compiled for {self.dialect.name}",
                [
                    f"write it in the portable subset (without `dialect:`), which is read as {READ_DIALECT} and runs everywhere"
                ],
            )


def _moment(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def _is_keyword(name: str, dialect: str) -> bool:
    tokens = tokenize(name, read=dialect)
    return len(tokens) != 1 or tokens[0].token_type is not TokenType.VAR
