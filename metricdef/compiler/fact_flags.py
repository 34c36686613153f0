"""Whether rows pass the filters of values: by a number for their kind, by what they carry anyway, by a flag for the rest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp

from metricdef.compiler.alternatives import Filter, equality
from metricdef.compiler.sql_text import SqlText
from metricdef.definitions.expressions import parse_expression
from metricdef.definitions.models import Source

KIND = "f_kind"
# A few of these cost an engine less to test where a row is added up than to keep the answer with every row.
_CHEAP_NODES = 16
_CHEAP = (
    exp.Column,
    exp.Identifier,
    exp.Literal,
    exp.Boolean,
    exp.Null,
    exp.Neg,
    exp.Paren,
    exp.EQ,
    exp.NEQ,
    exp.GT,
    exp.GTE,
    exp.LT,
    exp.LTE,
    exp.Between,
    exp.In,
    exp.Is,
    exp.And,
    exp.Or,
    exp.Not,
)
# Two of these are equal to no value of any type at once: not as a number, a time or a truth value, whatever the
# collation. `'1' = x` and `'1.0' = x` may both hold.
_WORD = re.compile(r"[a-z][a-z0-9_]*|[A-Za-z]+(?:[ _][A-Za-z]+)*")
# What collations may pass over: capitals (below), spaces and punctuation, zeros before a number.
_PASSED_OVER = re.compile(r"[ _]|(?<![0-9])0+(?=[0-9])")
_TRUTHS = ("true", "false", "yes", "no", "on", "off")  # also shortened
_NO_WORDS = frozenset(["null", "nan", "inf", "infinity", "now", "today", "tomorrow", "yesterday", "epoch", "allballs"])


@dataclass(frozen=True, slots=True)
class Flags:
    """How the filters of a source are tested.

    `kinds` are conditions that compare one column with different words, of which at most one holds for a row: each with
    its number and word. `rest` are the other conditions of every filter, with the column that says whether they hold.
    `carried` are those among them that only ask for columns that rows carry as measures, with their names there: they
    have no column.
    """

    name: str
    source: Source
    kinds: Mapping[str, tuple[int, str]]
    rest: Mapping[Filter, str]
    carried: Mapping[Filter, Mapping[str, str]]

    def tests(self, sql: SqlText, filter_: Filter) -> list[str]:
        """What holds for the rows that a filter accepts."""
        kinds = [self.kinds[text] for text in filter_ if text in self.kinds]
        rest = _rest(filter_, self.kinds)
        tests = [f"{KIND} = {number} /* {word} */" for number, word in kinds]
        if rest in self.carried:
            names = self.carried[rest]
            return tests + [f"({sql.carried_condition(text, self.name, self.source, names)})" for text in rest]
        return tests + ([f"{self.rest[rest]} = 1"] if rest else [])

    def passes(self, sql: SqlText, filter_: Filter) -> str:
        """1 where a filter accepts the row, else 0."""
        tests = self.tests(sql, filter_)
        return f"CASE WHEN {' AND '.join(tests)} THEN 1 ELSE 0 END" if tests else "1"

    def columns(self, sql: SqlText) -> Iterator[dict[str, str]]:
        """The columns that are tested, over the rows of the source."""
        if self.kinds:
            texts = {number: text for text, (number, _) in self.kinds.items()}
            cases = " ".join(
                f"WHEN {sql.conditions((texts[n],), self.name, self.source)} THEN {n}" for n in sorted(texts)
            )
            yield {"name": KIND, "sql": sql.small(f"CASE {cases} ELSE 0 END", max(texts))}
        for texts_, flag in self.rest.items():
            holds = sql.conditions(texts_, self.name, self.source)
            yield {"name": flag, "sql": sql.small(f"CASE WHEN {holds} THEN 1 ELSE 0 END", 1)}


def flags_of(filters: Iterable[Filter], name: str, source: Source, measures: Iterable[str]) -> Flags:
    """Numbers for the words of the column that most filters compare with words, flags for what rows can't tell else.

    `measures`: those that rows carry, as `m_` and their name.
    """
    wanted = sorted(filters)
    texts = sorted({text for filter_ in wanted for text in filter_})
    columns: dict[str, dict[str, str]] = {}
    for text in texts:
        equal = equality(text, source.dialect)
        if equal is not None:
            columns.setdefault(equal[0], {})[text] = equal[1][1:-1]
    found = max((_words(texts) for texts in columns.values()), key=lambda w: len(set(w.values())), default={})
    words = sorted(set(found.values()))
    numbers = {word: number for number, word in enumerate(words, 1)} if len(words) > 1 else {}
    kinds = {text: (numbers[word], word) for text, word in found.items() if word in numbers}
    rests = sorted({_rest(filter_, kinds) for filter_ in wanted} - {()})
    kept = {parse_expression(source.measures[m], source.dialect): f"m_{m}" for m in sorted(measures)}
    names = {rest: _carried(rest, source, kept) for rest in rests}
    carried = {rest: found for rest, found in names.items() if found}
    flagged = [rest for rest in rests if rest not in carried]
    return Flags(name, source, kinds, {rest: f"f_{i}" for i, rest in enumerate(flagged, 1)}, carried)


def _rest(filter_: Filter, kinds: Mapping[str, tuple[int, str]]) -> Filter:
    return tuple(text for text in filter_ if text not in kinds)


def _carried(rest: Filter, source: Source, kept: Mapping[exp.Expr, str]) -> dict[str, str]:
    """What conditions name, in lower case, and the columns that hold the same; empty where they don't tell it all.

    All or nothing: where an earlier condition of a filter is a flag, so are those that it may keep from being asked.
    """
    nodes = [node for text in rest for node in parse_expression(text, source.dialect).walk()]
    columns = {node for node in nodes if isinstance(node, exp.Column)}
    names = {column.name.casefold(): kept[column] for column in columns if column in kept}
    whole = len(names) == len(columns) and not names.keys() & {name.casefold() for name in source.dimensions}
    cheap = len(nodes) <= _CHEAP_NODES and all(isinstance(node, _CHEAP) for node in nodes)
    return names if whole and cheap else {}


def _words(texts: Mapping[str, str]) -> dict[str, str]:
    """The conditions on one column that are with words, no two of which a collation may take for the same."""
    spellings: dict[str, set[str]] = {}
    for word in texts.values():
        spellings.setdefault(_folded(word), set()).add(word)
    return {text: word for text, word in texts.items() if _is_word(word) and len(spellings[_folded(word)]) == 1}


def _folded(word: str) -> str:
    return _PASSED_OVER.sub("", word.casefold())


def _is_word(text: str) -> bool:
    small = text.casefold()
    truth = any(word.startswith(small) for word in _TRUTHS)
    return _WORD.fullmatch(text) is not None and small not in _NO_WORDS and not truth
