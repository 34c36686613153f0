"""Mistakes made on purpose: each gives one clear, located error and the right exit code.

Golden files in tests/golden/errors/<case>.txt hold what a user sees. Rewrite them with UPDATE_GOLDEN=1 and read the
difference.
"""

import json
import os
import re
from pathlib import Path

import pytest
from projects import write_warehouse

from metricdef.cli.main import main

GOLDEN = Path(__file__).parent / "golden" / "errors"

PROJECT = """\
version: 1
name: shop
entities: [user]
profiles:
  local: {type: duckdb, path: warehouse.duckdb}
"""
SOURCES = """\
sources:
  assignments:
    kind: exposures
    table: assignments
    timestamp: assigned_at
    entities: {user: user_id}
    experiment: experiment
    arm: variant
  orders:
    table: orders
    timestamp: ordered_at
    entities: {user: user_id}
    measures: {net_revenue: amount - discount}
    dimensions: [status]
"""
METRICS = """\
metrics:
  buyers:
    type: proportion
    source: orders
    filter: status = 'paid'
    direction: increase
  revenue_per_user:
    type: mean
    source: orders
    agg: sum
    measure: net_revenue
    direction: increase
  refund_rate:
    type: proportion
    source: orders
    filter: status = 'refunded'
    direction: decrease
"""
EXPERIMENT = """\
experiments:
  checkout:
    owners: [growth]
    status: draft
    hypothesis: Fewer pages sell more.
    exposure: {source: assignments}
    arms:
      control: {share: 50%}
      one_page: {share: 50%}
    start: 2026-01-01
    end: 2026-02-01
    metrics:
      primary:
        buyers: {mde: 2%}
      secondary:
        revenue_per_user:
      guardrail:
        refund_rate: {margin: 0.3pp}
"""
FILES = {"project.yml": PROJECT, "sources.yml": SOURCES, "metrics.yml": METRICS, "experiment.yml": EXPERIMENT}
TABLES = (
    "CREATE TABLE assignments (user_id INTEGER, experiment VARCHAR, variant VARCHAR, assigned_at TIMESTAMP)",
    "CREATE TABLE orders (user_id INTEGER, ordered_at TIMESTAMP, amount DOUBLE, discount DOUBLE, status VARCHAR)",
)

# name: (file, text to replace, replacement, extra arguments of `check`)
MISTAKES = {
    "key_typo": ("metrics.yml", "    filter: status = 'paid'", "    fliter: status = 'paid'", ()),
    "metric_typo": ("experiment.yml", "refund_rate:", "refund_rat:", ()),
    "column_typo": ("metrics.yml", "status = 'paid'", "statsu = 'paid'", ("--live",)),
    "subquery_in_filter": ("metrics.yml", "status = 'paid'", "user_id in (select user_id from staff)", ()),
    "drop_table": ("metrics.yml", "status = 'paid'", "status = 'paid'; DROP TABLE orders", ()),
    "duplicate_key": ("metrics.yml", "    agg: sum\n", "    agg: sum\n    agg: count\n", ()),
    "shares_90": ("experiment.yml", "one_page: {share: 50%}", "one_page: {share: 40%}", ()),
    "unit_missing": ("experiment.yml", "{mde: 2%}", "{mde: 2}", ()),
    "missing_table": ("sources.yml", "table: orders", "table: order", ("--live",)),
    "empty_file": ("metrics.yml", METRICS, "", ()),
    "invalid_yaml": ("metrics.yml", "filter: status = 'paid'", "filter: 'paid' = status", ()),
    "jinja": ("metrics.yml", "filter: status = 'paid'", 'filter: "status = {{ status }}"', ()),
    "jinja_unquoted": ("metrics.yml", "filter: status = 'paid'", "filter: {{ status }}", ()),
    "comment_in_filter": ("metrics.yml", "status = 'paid'", "status = 'paid' -- only paid", ()),
    "aggregate_in_measure": ("sources.yml", "amount - discount", "sum(amount)", ()),
    "function_not_portable": ("metrics.yml", "status = 'paid'", "date_trunc('day', ordered_at) > '2026-01-01'", ()),
    "measure_in_filter": ("metrics.yml", "status = 'paid'", "net_revenue > 0", ("--live",)),
    "unknown_source": ("metrics.yml", "    source: orders\n    agg", "    source: order\n    agg", ()),
    "unknown_measure": ("metrics.yml", "measure: net_revenue", "measure: net_revenu", ()),
    "agg_avg": ("metrics.yml", "agg: sum", "agg: avg", ()),
    "no_direction": ("metrics.yml", "    filter: status = 'paid'\n    direction: increase\n", "    filter: status = 'paid'\n", ()),
    "guardrail_without_margin": ("experiment.yml", "refund_rate: {margin: 0.3pp}", "refund_rate:", ()),
    "baseline": ("experiment.yml", "      control: {share", "      legacy: {share", ()),
    "points_on_a_mean": ("experiment.yml", "revenue_per_user:\n", "revenue_per_user: {mde: 1pp}\n", ()),
    "date": ("experiment.yml", "start: 2026-01-01", "start: 2026-13-01", ()),
    "end_before_start": ("experiment.yml", "end: 2026-02-01", "end: 2025-02-01", ()),
    "yaml_on": ("experiment.yml", "owners: [growth]", "owners: [growth]\n    on: true", ()),
    "flow_comma": ("metrics.yml", "    source: orders\n    filter: status = 'paid'\n", "    source: orders\n    covariates: {lookback: 7d, extra: [a], filter: status in ('a', 'b')}\n", ()),
    "anchor": ("metrics.yml", "  buyers:\n", "  buyers: &b\n", ()),
    "secret": ("project.yml", "path: warehouse.duckdb", "path: warehouse.duckdb, password: hunter2", ()),
    "type_is_an_aggregate": ("metrics.yml", "type: mean", "type: count", ()),
    "name_in_capitals": ("metrics.yml", "  refund_rate:", "  Refund-Rate:", ()),
    "cap_without_braces": ("metrics.yml", "    measure: net_revenue\n", "    measure: net_revenue\n    cap: 500\n", ()),
    "one_space_too_many": ("metrics.yml", "    agg: sum\n", "     agg: sum\n", ()),
    "and_as_ampersands": ("metrics.yml", "status = 'paid'", "status = 'paid' && amount > 0", ()),
    "text_in_double_quotes": ("metrics.yml", "status = 'paid'", 'status = "paid"', ("--live",)),
    "target_without_braces": ("experiment.yml", "buyers: {mde: 2%}", "buyers: 2%", ()),
    "status_of_their_own": ("experiment.yml", "status: draft", "status: ended", ()),
    "unit_typo": ("experiment.yml", "owners: [growth]", "owners: [growth]\n    unit: users", ()),
    "not_indented": ("experiment.yml", EXPERIMENT, "experiments:\n" + EXPERIMENT.partition("\n")[2].replace("\n  ", "\n").removeprefix("  "), ()),
    "list_without_brackets": ("project.yml", "entities: [user]", "entities: user, store", ()),
    "cap_on_a_proportion": ("metrics.yml", "    filter: status = 'paid'\n", "    filter: status = 'paid'\n    cap: {upper: p99}\n", ()),
    "unknown_metric_type": ("metrics.yml", "type: mean", "type: average", ()),
    "no_owners": ("experiment.yml", "    owners: [growth]\n", "", ()),
    "colon_missing": ("experiment.yml", "hypothesis: Fewer", "hypothesis Fewer", ()),
    "merge_conflict": ("experiment.yml", "    status: draft\n", "<<<<<<< HEAD\n    status: draft\n=======\n    status: running\n>>>>>>> main\n", ()),
    "text_without_quotes": ("metrics.yml", "status = 'paid'", "status = paid", ("--live",)),
    "several_keys_missing": ("metrics.yml", "    type: mean\n    source: orders\n    agg: sum\n    measure: net_revenue\n", "    type: mean\n", ()),
    "word_processor_quotes": ("metrics.yml", "status = 'paid'", "status = ‘paid’", ()),
    "equal_to_null": ("metrics.yml", "status = 'paid'", "status != null", ()),
    "where_in_a_filter": ("metrics.yml", "status = 'paid'", "WHERE status = 'paid'", ()),
    "expression_as_measure": ("metrics.yml", "measure: net_revenue", "measure: amount - discount", ()),
    "brace_missing": ("experiment.yml", "buyers: {mde: 2%}", "buyers: {mde: 2%", ()),
    "metric_defined_in_the_experiment": ("experiment.yml", "revenue_per_user:\n", "revenue_per_user: {type: mean, source: orders, agg: sum}\n", ()),
    "column_as_numerator": ("metrics.yml", "type: proportion\n    source: orders\n    filter: status = 'refunded'\n", "type: ratio\n    format: percent\n    numerator: orders.amount\n    denominator: buyers\n", ()),
    "variable": ("metrics.yml", "status = 'paid'", "status = '${STATUS}'", ()),
    "margin_with_a_sign": ("experiment.yml", "{margin: 0.3pp}", "{margin: -0.3pp}", ()),
    "fraction_as_a_size": ("experiment.yml", "{mde: 2%}", "{mde: 0.02}", ()),
}  # fmt: skip


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    folder = tmp_path / "metrics"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    write_warehouse(tmp_path, *TABLES)
    return folder


def test_the_project_itself_is_fine(shop, capsys):
    assert main(["check", "--live", "-q"]) == 0
    assert main(["run", "checkout", "--as-of", "2026-03-01", "-q"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(shop, name, capsys):
    file, old, new, arguments = MISTAKES[name]
    text = FILES[file]
    assert text.count(old) == 1, "the mistake must be made in one place"
    (shop / file).write_text(text.replace(old, new))
    code = main(["check", "-q", *arguments])
    shown = capsys.readouterr()
    assert code == 1, shown
    assert re.search(r"^metrics/\S+\.yml:\d+:\d+: error\[[a-z0-9-]+\]: ", shown.out, re.MULTILINE)
    assert shown.out.count(": error[") == 1, shown.out
    assert "hunter2" not in shown.out + shown.err
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(shown.out)
    assert shown.out == golden.read_text()


@pytest.mark.parametrize("name", ["key_typo", "missing_table"])
def test_other_verbs_stop_with_2_and_the_same_message(shop, name, capsys):
    file, old, new, _ = MISTAKES[name]
    (shop / file).write_text(FILES[file].replace(old, new))
    assert main(["run", "checkout", "--as-of", "2026-03-01", "-q"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    first = (GOLDEN / f"{name}.txt").read_text().splitlines()[0]
    assert first in shown.err


def test_a_metric_that_the_warehouse_refuses_is_named_with_its_place_and_the_rest_runs(shop, capsys):
    file, old, new, _ = MISTAKES["column_typo"]
    (shop / file).write_text(FILES[file].replace(old, new))
    assert main(["run", "checkout", "--as-of", "2026-03-01", "-q", "--format", "json"]) == 0
    rows = {row["metric"]: row for row in json.loads(capsys.readouterr().out)["estimates"]}
    assert rows["buyers"]["reason"] == "sql_refused"
    assert "`statsu` is not in source `orders` (metrics/metrics.yml:5:13)" in rows["buyers"]["message"]
    assert rows["revenue_per_user"]["reason"] != "sql_refused"
    assert main(["run", "checkout", "--as-of", "2026-03-01", "-q", "--fail-on", "not_computed"]) == 1


def test_usage_errors_name_what_exists(shop, capsys):
    assert main(["run", "chekout"]) == 2
    assert "did you mean `checkout`?" in capsys.readouterr().err
    assert main(["run", "checkout", "--profile", "prod"]) == 2
    assert "profiles: local" in capsys.readouterr().err
    assert main(["run", "checkout", "--as-of", "yesterday"]) == 2
    assert "2026-09-01" in capsys.readouterr().err
    assert main(["compile", "checkout", "--dialect", "oracle"]) == 2
    assert "duckdb" in capsys.readouterr().err


def test_a_missing_project_and_a_missing_warehouse_are_configuration_errors(tmp_path, shop, capsys, monkeypatch):
    (tmp_path / "warehouse.duckdb").unlink()
    assert main(["run", "checkout"]) == 2
    assert "there is no file warehouse.duckdb" in capsys.readouterr().err
    (shop / "project.yml").unlink()
    assert main(["check"]) == 2
    assert "metrics/project.yml is missing" in capsys.readouterr().err
