"""A shop whose definitions are kept in git, with an experiment of every status, and pull requests to it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from metricdef.api import Project

FILES = {
    "project.yml": """\
version: 1
name: shop
entities: [user, store]
defaults:
  unit: user
  window: 14d
  covariates: {lookback: 14d}
lint: {not-locked: 'off'}
profiles:
  local: {type: duckdb, path: shop.duckdb}
""",
    "sources/shop.yml": """\
# Where the rows are.
sources:
  assignments:
    kind: exposures
    table: assignments
    timestamp: assigned_at
    entities: {user: user_id, store: store_id}
    experiment: experiment
    arm: arm
    dimensions: [platform, city]
  orders:
    description: Order lines.
    table: orders
    timestamp: ordered_at
    entities: {user: user_id}
    filter: not is_test
    measures:
      net: amount - discount
      product: product_id
    dimensions:
      status: status
      is_paid: case when status = 'paid' then 1 else 0 end
  visits:
    sql: |
      select user_id, started_at, page, seconds, device
      from sessions
      where not is_bot
    timestamp: started_at
    entities: {user: user_id}
    measures: {seconds: seconds}
  users:
    kind: attributes
    table: users
    entities: {user: user_id}
    valid_from: recorded_at
    dimensions: [age]
segments:
  adults: {source: users, filter: age >= 18}
""",
    "metrics/shop.yml": """\
metrics:
  conversion:
    description: Placed a paid order.
    type: proportion
    source: orders
    filter: is_paid = 1
    direction: increase
  revenue:
    type: mean
    source: orders
    agg: sum
    measure: net
    cap: {upper: p99.5}
    direction: increase
  order_count: {type: mean, source: orders, agg: count, direction: increase}
  order_value:
    type: ratio
    numerator: revenue
    denominator: order_count
    direction: increase
  refund_rate:
    type: ratio
    numerator: {source: orders, agg: count, filter: "status = 'refunded'"}
    denominator: order_count
    direction: decrease
    format: percent
  page_views: {type: mean, source: visits, agg: count, direction: increase}
  long_visits:
    type: threshold
    source: visits
    agg: sum
    measure: seconds
    at_least: 60
    window: 7d
    direction: increase
  searches:
    type: mean
    source: visits
    agg: count
    filter: [page = 'search', seconds > 5]
    direction: increase
  products: {type: mean, source: orders, agg: count_distinct, measure: product, direction: increase}
  visit_days: {type: mean, source: visits, agg: active_days, direction: increase}
metric_sets:
  health:
    guardrail:
      refund_rate: {margin: 0.5pp}
""",
    "experiments/checkout.yml": """\
experiments:
  checkout:
    label: One page
    owners: [growth]
    status: running
    hypothesis: One page instead of three.
    exposure:
      source: assignments
      trigger: {source: visits, filter: page = 'cart'}
    population: [adults]
    arms:
      control: {share: 50%}
      one_page: {share: 50%}
    start: 2026-01-01
    end: 2026-02-01
    validation: {hold: 3d}
    metrics:
      primary:
        conversion: {mde: 2%}
        revenue: {mde: 3%}
      secondary:
        order_value:
        page_views:
      sets: [health]
""",
    "experiments/search.yml": """\
experiments:
  search:
    owners: [growth]
    status: draft
    hypothesis: Suggestions help.
    exposure: {source: assignments}
    arms: {control: {share: 50%}, suggest: {share: 50%}}
    start: 2026-03-01
    end: 2026-04-01
    metrics:
      primary:
        searches: {mde: 5%}
""",
    "experiments/banner.yml": """\
experiments:
  banner:
    owners: [brand]
    status: decided
    hypothesis: A banner is seen.
    exposure: {source: assignments}
    arms: {control: {share: 50%}, banner: {share: 50%}}
    start: 2025-11-01
    end: 2025-12-01
    metrics:
      primary:
        page_views: {mde: 5%}
      secondary:
        visit_days:
    outcome: {decided: 2025-12-20, arm: control}
""",
    "experiments/ranking.yml": """\
experiments:
  ranking:
    owners: [search]
    status: running
    hypothesis: Newer first.
    exposure: {source: assignments}
    arms: {control: {share: 50%}, newest: {share: 50%}}
    start: 2026-01-01
    end: 2026-02-01
    metrics:
      primary:
        long_visits: {mde: 5%}
    analysis:
      covariates: off
      sequential: {method: group_sequential, spending: obrien_fleming, looks: [21d, 38d]}
""",
    "tests/shop.yml": """\
tests:
  one_order:
    metric: conversion
    exposures: [{user: 1, arm: control, at: 2026-01-02}]
    given:
      orders: [{user_id: 1, ordered_at: 2026-01-03, status: paid, is_test: false}]
    expect: [{arm: control, n: 1, sum: 1}]
""",
}


def git(root: Path, *arguments: str) -> str:
    """What a git command prints, with an author and without anybody's own settings."""
    options = ("-c", "user.name=An Analyst", "-c", "user.email=analyst@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", str(root), *options, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def write_repository(root: Path) -> Path:
    """The shop, `ranking` locked, committed on main; a branch is checked out."""
    for name, text in FILES.items():
        path = root / "metrics" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert not Project(root).loaded.errors, Project(root).loaded.errors
    Project(root).lock("ranking")
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "the shop")
    git(root, "checkout", "--quiet", "-b", "change")
    return root


class Change:
    """Edits to the work tree; what is to be replaced must be there, once unless said otherwise."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def edit(self, name: str, old: str, new: str, times: int = 1) -> Change:
        """Replace text in a file below metrics."""
        path = self.root / "metrics" / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == times, (name, old, text.count(old))
        path.write_text(text.replace(old, new), encoding="utf-8")
        return self

    def write(self, name: str, text: str | None) -> Change:
        """A file below metrics as a whole; None removes it."""
        path = self.root / "metrics" / name
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return self
