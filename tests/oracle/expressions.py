"""The small menu of SQL expressions the generated cases use, each written a second time in Python.

SQL NULL is None; a condition gives True, False or None (three-valued logic).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

Row = Mapping[str, Any]
Expression = Callable[[Row], Any]


def col(name: str) -> Expression:
    return lambda row: row[name]


def const(value: Any) -> Expression:
    return lambda row: value


def strict(function: Callable[..., Any], *arguments: Expression) -> Expression:
    """NULL in, NULL out."""

    def evaluate(row: Row) -> Any:
        values = [argument(row) for argument in arguments]
        return None if any(value is None for value in values) else function(*values)

    return evaluate


def both(left: Expression, right: Expression) -> Expression:
    def evaluate(row: Row) -> bool | None:
        values = (left(row), right(row))
        if False in values:
            return False
        return None if None in values else True

    return evaluate


def either(left: Expression, right: Expression) -> Expression:
    def evaluate(row: Row) -> bool | None:
        values = (left(row), right(row))
        if True in values:
            return True
        return None if None in values else False

    return evaluate


def invert(part: Expression) -> Expression:
    return strict(operator.not_, part)


def equals(name: str, value: Any) -> Expression:
    return strict(operator.eq, col(name), const(value))


def above(name: str, value: Any) -> Expression:
    return strict(operator.gt, col(name), const(value))


def at_least(name: str, value: Any) -> Expression:
    return strict(operator.ge, col(name), const(value))


def at_most(name: str, value: Any) -> Expression:
    return strict(operator.le, col(name), const(value))


def is_null(name: str) -> Expression:
    return lambda row: row[name] is None


def is_not_null(name: str) -> Expression:
    return lambda row: row[name] is not None


def coalesce(name: str, value: Any) -> Expression:
    return lambda row: value if row[name] is None else row[name]


def only_when(condition: Expression, part: Expression) -> Expression:
    """CASE WHEN condition THEN part END."""
    return lambda row: part(row) if condition(row) is True else None


# --- events: orders ---------------------------------------------------------------------------------------------------
ORDER_MEASURES: dict[str, Expression] = {
    "amount": col("amount"),
    "amount - discount": strict(operator.sub, col("amount"), col("discount")),
    "amount * 2": strict(operator.mul, col("amount"), const(2)),
    "amount - coalesce(discount, 0)": strict(operator.sub, col("amount"), coalesce("discount", 0)),
    "case when status = 'paid' then amount end": only_when(equals("status", "paid"), col("amount")),
    "amount + qty": strict(operator.add, col("amount"), col("qty")),
    "qty": col("qty"),
}
ORDER_LABELS: dict[str, Expression] = {"product": col("product"), "status": col("status")}
ORDER_FILTERS: dict[str, Expression] = {
    "status = 'paid'": equals("status", "paid"),
    "amount > 10": above("amount", 10),
    "not is_test": invert(col("is_test")),
    "status in ('paid', 'open')": either(equals("status", "paid"), equals("status", "open")),
    "status not in ('paid', 'open')": invert(either(equals("status", "paid"), equals("status", "open"))),
    "status is null": is_null("status"),
    "status <> 'paid'": invert(equals("status", "paid")),
    "not (status = 'paid')": invert(equals("status", "paid")),
    "amount is not null": is_not_null("amount"),
    "amount between 0 and 10": both(at_least("amount", 0), at_most("amount", 10)),
    "amount > 10 or status = 'paid'": either(above("amount", 10), equals("status", "paid")),
    "not is_test and status = 'paid'": both(invert(col("is_test")), equals("status", "paid")),
    "qty >= 1 or is_test": either(at_least("qty", 1), col("is_test")),
}
ORDER_KINDS: dict[str, Expression] = {f"status = '{word}'": equals("status", word) for word in ("open", "refunded")}

# --- events: sessions -------------------------------------------------------------------------------------------------
SESSION_MEASURES: dict[str, Expression] = {
    "pages": col("pages"),
    "duration": col("duration"),
    "duration * pages": strict(operator.mul, col("duration"), col("pages")),
}
SESSION_LABELS: dict[str, Expression] = {"device": col("device"), "pages": col("pages")}
SESSION_FILTERS: dict[str, Expression] = {
    "device = 'ios'": equals("device", "ios"),
    "pages > 1": above("pages", 1),
    "device is null": is_null("device"),
    "pages > 1 or device = 'ios'": either(above("pages", 1), equals("device", "ios")),
}

# --- exposures --------------------------------------------------------------------------------------------------------
EXPOSURE_FILTERS: dict[str, Expression] = {
    "platform = 'web'": equals("platform", "web"),
    "not is_bot": invert(col("is_bot")),
    "platform is null": is_null("platform"),
    "platform is not null": is_not_null("platform"),
    "score > 1": above("score", 1),
    "platform = 'web' or score > 1": either(equals("platform", "web"), above("score", 1)),
    "platform = 'web' and not is_bot": both(equals("platform", "web"), invert(col("is_bot"))),
}

# --- attributes -------------------------------------------------------------------------------------------------------
USER_FILTERS: dict[str, Expression] = {
    "not is_employee": invert(col("is_employee")),
    "tier = 'gold'": equals("tier", "gold"),
    "age >= 30": at_least("age", 30),
    "age is null": is_null("age"),
    "tier = 'gold' or age >= 30": either(equals("tier", "gold"), at_least("age", 30)),
}

EXPRESSIONS: dict[str, Expression] = {
    **ORDER_MEASURES,
    **ORDER_LABELS,
    **ORDER_FILTERS,
    **ORDER_KINDS,
    **SESSION_MEASURES,
    **SESSION_LABELS,
    **SESSION_FILTERS,
    **EXPOSURE_FILTERS,
    **USER_FILTERS,
}


def evaluate(sql: str, row: Row) -> Any:
    """The value of one expression of the menu, or of a bare column."""
    if sql in EXPRESSIONS:
        return EXPRESSIONS[sql](row)
    if sql in row:
        return row[sql]
    raise KeyError(f"the oracle's menu has no expression {sql!r}")


def holds(conditions: list[str], row: Row) -> bool:
    """Whether every condition is True: False and NULL both drop the row."""
    return all(evaluate(condition, row) is True for condition in conditions)
