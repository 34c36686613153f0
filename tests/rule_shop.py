"""The catalogue that the pages of rules change: a shop with one experiment, its tables and their columns."""

import json
from pathlib import Path

import yaml
from projects import write_warehouse

from metricdef.definitions.load import KINDS
from metricdef.definitions.yaml_source import parse_yaml

SHOP = """\
version: 1
name: shop
entities: [user, store]
defaults: {unit: user, window: 14d}
profiles:
  local: {type: duckdb, path: warehouse.duckdb}
sources:
  assignments:
    kind: exposures
    table: assignments
    timestamp: assigned_at
    entities: {user: user_id, store: store_id}
    experiment: experiment
    arm: variant
    dimensions: [platform]
  orders:
    table: orders
    timestamp: ordered_at
    entities: {user: user_id, store: store_id}
    measures: {amount: amount, product: product_id}
    dimensions: [status]
  users:
    kind: attributes
    table: users
    valid_from: since
    entities: {user: user_id}
    dimensions: [country, age]
segments:
  web: {source: assignments, filter: platform = 'web'}
metrics:
  buyers: {type: proportion, source: orders, filter: status = 'paid', direction: increase}
  revenue: {type: mean, source: orders, agg: sum, measure: amount, direction: increase}
  orders_placed: {type: mean, source: orders, agg: count, direction: increase}
  refunds: {type: proportion, source: orders, filter: status = 'refunded', direction: decrease}
metric_sets:
  service:
    guardrail: {refunds: {margin: 0.3pp}}
experiments:
  checkout:
    owners: [growth]
    status: draft
    hypothesis: Fewer pages sell more.
    exposure: {source: assignments}
    arms: {control: {share: 50%}, one_page: {share: 50%}}
    start: 2026-09-01
    end: 2026-09-29
    metrics:
      primary: {buyers: {mde: 2%}}
      secondary: {revenue: }
      guardrail: {refunds: {margin: 0.3pp}}
tests:
  an_order_counts:
    metric: orders_placed
    exposures: [{user: 1, arm: control, at: 2026-09-02}]
    given: {orders: [{user_id: 1, ordered_at: 2026-09-03}]}
    expect: [{arm: control, n: 1, sum: 1}]
"""
COLUMNS = {
    "assignments": {
        "user_id": "BIGINT",
        "store_id": "BIGINT",
        "experiment": "VARCHAR",
        "variant": "VARCHAR",
        "assigned_at": "TIMESTAMP",
        "platform": "VARCHAR",
    },
    "orders": {
        "order_id": "BIGINT",
        "user_id": "BIGINT",
        "store_id": "BIGINT",
        "ordered_at": "TIMESTAMP",
        "paid_at": "TIMESTAMP WITH TIME ZONE",
        "amount": "DOUBLE",
        "discount": "DOUBLE",
        "product_id": "VARCHAR",
        "status": "VARCHAR",
    },
    "users": {
        "user_id": "BIGINT",
        "since": "TIMESTAMP",
        "country": "VARCHAR",
        "age": "INTEGER",
        "platform": "VARCHAR",
    },
}


def write_shop(root: Path, change: str = "") -> Path:
    """The shop with a change: keys of its definitions are replaced, new definitions added.

    What a plain reading of the change would lose (a syntax error, a key twice, a comment) goes into a file of its own.
    """
    shop = parse_yaml("shop.yml", SHOP).data
    document = parse_yaml("change.yml", change)
    folder = root / "metrics"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "change.yml").unlink(missing_ok=True)
    is_own_file = bool(change) and (bool(document.diagnostics) or "#" in change)
    if is_own_file:
        (folder / "change.yml").write_text(change, encoding="utf-8")
    for key, value in {} if is_own_file else document.data.items():
        if key not in KINDS:
            shop[key] = value
            continue
        for name, definition in value.items():
            known = shop[key].get(name)
            shop[key][name] = {**known, **definition} if known and isinstance(definition, dict) else definition
    settings = {key: value for key, value in shop.items() if key not in KINDS}
    (folder / "project.yml").write_text(_dump(settings), encoding="utf-8")
    for kind in KINDS:
        (folder / f"{kind}.yml").write_text(_dump({kind: shop[kind]}), encoding="utf-8")
    document = {"version": 1, "sources": COLUMNS}
    (folder / ".schema.json").write_text(json.dumps(document), encoding="utf-8")
    return root


def write_tables(root: Path) -> None:
    """The shop's tables, empty."""
    write_warehouse(
        root,
        *(
            f"CREATE TABLE {table} ({', '.join(f'{name} {kind}' for name, kind in columns.items())})"
            for table, columns in COLUMNS.items()
        ),
    )


def _dump(data: object) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
