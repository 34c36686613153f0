"""What SQL in a protocol means, as far as the parser can tell: how it is written, and columns that nothing reads, don't count.

Fingerprints are of the SQL as written (`plain`), so that they don't depend on the parser's version. This is for comparing two
states, both read by the same parser: what is equal here is equal to the warehouse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from sqlglot import exp

from metricdef.compiler.spelling import with_truth_tests
from metricdef.definitions.expressions import PORTABLE, READ_DIALECT, SqlProblem, parse_expression, parse_query
from metricdef.governance.changes import Change
from metricdef.governance.protocol import Tree

# What makes one value of one row. Other functions may make several rows of one (UNNEST), or one of several (COUNT).
_BY_ROW = (
    *PORTABLE,
    exp.Alias,
    exp.Bracket,
    exp.Cast,
    exp.DateTrunc,
    exp.Extract,
    exp.JSONExtract,
    exp.JSONExtractScalar,
    exp.JSONPath,
    exp.JSONPathPart,
    exp.TimestampTrunc,
    exp.TryCast,
)
_COLUMN_KEYS = ("timestamp", "loaded_at", "partition", "experiment", "arm", "valid_from", "valid_to", "grain")


def canonical_tree(tree: Tree) -> Tree:
    """A protocol whose SQL has one spelling; a source's query without the columns that the protocol doesn't read."""
    sources: Mapping[str, Any] = tree.get("sources", {})
    dialects = {name: source.get("dialect") for name, source in sources.items()}
    spelled: Tree = respelled(tree, dialects)
    names = _names_by_source(tree, dialects)
    for name, source in spelled.get("sources", {}).items():
        _drop_columns_themselves(source)
        if "sql" in sources[name]:
            source["sql"] = canonical_query(sources[name]["sql"], dialects[name], frozenset(names.get(name, ())))
    return spelled


def respelled(tree: Any, dialects: Mapping[str, str | None]) -> Any:
    """Any part of a definition with the SQL in it in one spelling; `dialects` are those of the sources."""
    return _spelled(tree, dialects, None)


def real(found: Iterable[Change], before: Tree, after: Tree) -> list[Change]:
    """The changes between two protocols that are more than another spelling."""
    differing = list(found)
    if not differing:
        return []
    one, two = canonical_tree(before), canonical_tree(after)
    return [change for change in differing if _at(one, change.path) != _at(two, change.path)]


@lru_cache(maxsize=4096)
def canonical_condition(text: str, dialect: str | None = None) -> tuple[str, ...]:
    """The conditions that must all hold, sorted. Text that is no SQL stays as it is."""
    try:
        tree = parse_expression(text, dialect)
    except SqlProblem:
        return (text,)
    return tuple(sorted(_written(part, dialect) for part in _conjuncts(tree)))


@lru_cache(maxsize=4096)
def canonical_expression(text: str, dialect: str | None = None) -> str:
    """An expression in the parser's own spelling. Text that is no SQL stays as it is."""
    try:
        tree = parse_expression(text, dialect)
    except SqlProblem:
        return text
    return _written(tree.unnest(), dialect)


@lru_cache(maxsize=1024)
def canonical_query(text: str, dialect: str | None = None, read: frozenset[str] | None = None) -> str:
    """A query in the parser's own spelling; with only the columns in `read` (lower case), where others can be left out."""
    try:
        query = parse_query(text, dialect)
    except SqlProblem:
        return text
    return _written(query if read is None else _pruned(query, read), dialect)


def _drop_columns_themselves(source: Tree) -> None:
    """A dimension that is the column of its name says nothing: without it, the name is that column too."""
    dimensions = {name: text for name, text in source.pop("dimensions", {}).items() if text != name}
    source.update({"dimensions": dimensions} if dimensions else {})


def _pruned(query: exp.Query, read: frozenset[str]) -> exp.Query:
    """Without unread columns of the outermost SELECT, where rows can't depend on them."""
    named = query.named_selects
    hidden = any(name in ("", "*") for name in named) or len({name.casefold() for name in named}) < len(named)
    if not isinstance(query, exp.Select) or query.args.get("distinct") or hidden:
        return query
    if any(query.args.get(key) for key in ("group", "order", "limit", "offset", "qualify")):
        return query  # may name columns by their position
    pruned = query.copy()
    items = {item.alias_or_name.casefold(): _plain_alias(item) for item in query.selects}
    pruned.set("expressions", [])
    elsewhere = _columns(pruned)
    kept = [
        item
        for name, item in sorted(items.items())
        if name in read | elsewhere
        or not all(isinstance(node, _BY_ROW) for node in item.walk())
        or any(name in _columns(other) for own, other in items.items() if own != name)
    ]
    pruned.set("expressions", [item.copy() for item in kept or items.values()])
    return pruned


def _plain_alias(item: exp.Expr) -> exp.Expr:
    """`a AS a` is `a`."""
    bare = item.this if isinstance(item, exp.Alias) else None
    return bare if isinstance(bare, exp.Column) and not bare.table and bare.name == item.alias else item


def _columns(tree: exp.Expr) -> set[str]:
    return {column.name.casefold() for column in tree.find_all(exp.Column)}


def _written(tree: exp.Expr, dialect: str | None) -> str:
    written = dialect or READ_DIALECT
    return with_truth_tests(tree.copy(), written).sql(dialect=written, comments=False)


def _conjuncts(tree: exp.Expr) -> Iterator[exp.Expr]:
    inner = tree.unnest()
    if isinstance(inner, exp.And):
        yield from _conjuncts(inner.this)
        yield from _conjuncts(inner.expression)
    else:
        yield inner


def _spelled(value: Any, dialects: Mapping[str, str | None], dialect: str | None) -> Any:
    if isinstance(value, list):
        return [_spelled(item, dialects, dialect) for item in value]
    if not isinstance(value, dict):
        return value
    named = value.get("dialect") or dialects.get(str(value.get("source"))) or dialect
    own, fields = named if isinstance(named, str) else None, _fields_of_sql(value)
    return {
        key: _field(key, item, own) if key in fields else _spelled(item, dialects, own) for key, item in value.items()
    }


def _fields_of_sql(value: Tree) -> tuple[str, ...]:
    """Which keys hold SQL: of a source, and of what reads one. An arm or metric may be called `filter` or `measures` too."""
    has_rows = any(isinstance(value.get(key), str) for key in ("table", "sql", "dbt_model"))
    if has_rows and isinstance(value.get("entities"), dict):
        return ("filter", "measures", "dimensions", "sql")
    return ("filter",) if isinstance(value.get("source"), str) and isinstance(value.get("filter"), list) else ()


def _field(key: str, value: Any, dialect: str | None) -> Any:
    if key == "filter":
        return sorted({part for text in value for part in canonical_condition(text, dialect)})
    if key == "sql":
        return canonical_query(value, dialect)
    return {name: canonical_expression(text, dialect) for name, text in value.items()}


def _names_by_source(tree: Any, dialects: Mapping[str, str | None]) -> dict[str, set[str]]:
    """The names that are read of each source, in lower case: columns, and dimensions in conditions."""
    found: dict[str, set[str]] = {}
    for name, source in tree.get("sources", {}).items():
        columns = [source[key] for key in _COLUMN_KEYS if key in source] + list(source.get("entities", {}).values())
        expect = source.get("expect", {})
        columns += [*expect.get("not_null", ()), *expect.get("unique", ()), *_accepted(expect)]
        texts = [
            *source.get("filter", ()),
            *source.get("measures", {}).values(),
            *source.get("dimensions", {}).values(),
        ]
        found[name] = {column.casefold() for column in columns} | _names(texts, dialects.get(name))
    for source, texts in _conditions(tree):
        found.setdefault(source, set()).update(_names(texts, dialects.get(source)))
    return found


def _accepted(expect: Mapping[str, Any]) -> list[str]:
    accepted = expect.get("accepted", {})
    return list(accepted) if isinstance(accepted, dict) else []


def _conditions(value: Any) -> Iterator[tuple[str, list[str]]]:
    """Every `filter` that stands beside a `source`."""
    if isinstance(value, dict):
        if isinstance(value.get("source"), str) and isinstance(value.get("filter"), list):
            yield value["source"], value["filter"]
        for item in value.values():
            yield from _conditions(item)
    elif isinstance(value, list):
        for item in value:
            yield from _conditions(item)


def _names(texts: Iterable[str], dialect: str | None) -> set[str]:
    found: set[str] = set()
    for text in texts:
        try:
            found |= _columns(parse_expression(text, dialect))
        except SqlProblem:
            continue  # reported where it stands
    return found


def _at(tree: Any, path: Iterable[str]) -> Any:
    for step in path:
        tree = tree.get(step) if isinstance(tree, dict) else None
    return tree
