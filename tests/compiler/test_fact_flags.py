"""How a row is tested: by what it carries anyway where that says the same, else by a flag of its own."""

import pytest
from semantics.world import COUNT, SUM, changed, exposure, order, see

from metricdef.compiler.fact_flags import flags_of
from metricdef.definitions.models import Source

ORDERS = {
    "table": "orders",
    "timestamp": "at",
    "entities": {"user": "user_id"},
    "measures": {"amount": "amount", "large": '"Total"', "small": '"total"', "net": "amount - tax"},
}


def flags(condition, *measures, **fields):
    return flags_of({(condition,)}, "orders", Source(**{**ORDERS, **fields}), measures)


@pytest.mark.parametrize(
    "condition",
    ["amount > 3", "amount BETWEEN 1 AND 3", "amount IS NOT NULL", "NOT (amount IN (1, 2) OR amount <= -4)"],
)
def test_a_condition_over_carried_measures_is_tested_on_them(condition):
    found = flags(condition, "amount")
    assert (found.carried, found.rest) == ({(condition,): {"amount": "m_amount"}}, {})


@pytest.mark.parametrize(
    ("condition", "measures"),
    [
        ("amount > 3", ["net"]),  # not carried by itself
        ("amount > tax", ["amount"]),
        ("Amount > 3", ["amount"]),  # on some engines and in some tables another column
        ('"Total" > "total"', ["large", "small"]),
        ("ABS(amount) > 3", ["amount"]),  # a function may cost more than a flag
        ("amount LIKE '%3'", ["amount"]),
        ("TRUE", ["amount"]),
        (f"amount IN ({', '.join(map(str, range(30)))})", ["amount"]),
    ],
)
def test_other_conditions_have_a_flag(condition, measures):
    found = flags(condition, *measures)
    assert (found.carried, found.rest) == ({}, {(condition,): "f_1"})


def test_a_condition_that_guards_another_is_tested_before_it():
    """`kind` says in which rows `amount` is a number: engines that turn text into numbers fail on the others."""
    filter_ = ("kind = 'price'", "amount > 3")
    found = flags_of({filter_}, "orders", Source(**ORDERS), ["amount"])
    assert (found.carried, found.rest) == ({}, {filter_: "f_1"})


def test_a_dimension_is_not_the_column_of_its_name():
    assert flags("amount > 3", "amount", dimensions={"amount": "amount / 100"}).carried == {}


AMOUNTS = (None, 1.0, 2.0, 4.0, 8.0, float("inf"))


@pytest.mark.parametrize("dimensions", [["status"], {"status": "status", "amount": "amount / 4"}])
@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("amount >= 2", lambda x: x is not None and x >= 2),
        ("amount <> 2", lambda x: x is not None and x != 2),
        ("amount IS NULL OR amount = 1", lambda x: x is None or x == 1),
        ("NOT (amount > 1)", lambda x: x is not None and not x > 1),
    ],
)
def test_rows_counted_are_those_that_the_condition_holds_for(tmp_path, condition, holds, dimensions):
    kinds = [(s, p) for s in ("paid", "open") for p in ("x", "y")]
    rows = [order("a", amount=x, status=s, product=p) for x in AMOUNTS for s, p in kinds]
    metrics = {
        "all": {**COUNT, "filter": condition},
        "paid": {**COUNT, "filter": [condition, "status = 'paid'"]},
        "open": {**COUNT, "filter": [condition, "status = 'open'"]},
        "named": {**COUNT, "filter": [condition, "product <> 'x'"]},
        "finite": {**SUM, "filter": "amount < 100"},
    }
    sources = changed("orders", dimensions=dimensions)
    seen = see(tmp_path, metrics, [exposure("a"), exposure("t", "treatment")], orders=rows, sources=sources)
    meant = [x if isinstance(dimensions, list) or x is None else x / 4 for x in AMOUNTS]
    counted = sum(map(holds, meant))
    finite = 4 * sum(x for x, y in zip(AMOUNTS, meant, strict=True) if y is not None and y < 100)
    assert [seen.value(metric=name) for name in metrics] == [4 * counted, *[2 * counted] * 3, finite]
