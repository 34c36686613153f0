"""`metricdef test`: what it prints, writes and returns."""

import json
import re
import shutil
from pathlib import Path

import pytest

from metricdef.cli.main import main

ROOT = Path(__file__).resolve().parents[2]

PROJECT = """\
version: 1
name: shop
entities: [user]
profiles:
  local: {type: duckdb, path: none.duckdb}
"""
DEFINITIONS = """\
sources:
  assignments: {kind: exposures, table: assignments, timestamp: at, entities: {user: user_id}, experiment: experiment, arm: arm}
  orders:
    table: orders
    timestamp: ordered_at
    entities: {user: user_id}
    measures: {net: amount - discount}
    dimensions: [status]
metrics:
  revenue: {type: mean, source: orders, agg: sum, measure: net, window: 7d}
  buyers: {type: proportion, source: orders, filter: status = 'paid', window: 7d}
  checkout:
    type: funnel
    steps:
      - {name: cart, source: orders, filter: status = 'cart'}
      - {name: paid, source: orders, filter: status = 'paid'}
    window: 7d
  wait: {type: quantile, source: orders, measure: net, quantile: p50, of: events, window: 7d}
  recent: {type: mean, source: orders, agg: count, window: last 7d}
"""
TESTS = """\
# What revenue means.
tests:
  revenue_counts_after_exposure:
    metric: revenue
    exposures: [{user: 1, arm: control, at: 2026-09-02}]
    given:
      orders: |
        user_id, ordered_at, amount, discount
        1,       2026-09-01, 50,     0
        1,       2026-09-03, 30,     5
    expect: [{arm: control, n: 1, sum: 25, sum_squares: 625}]   # 30 - 5, once

  paid_orders_make_buyers:
    metric: buyers
    exposures:
      - {user: 1, arm: control, at: 2026-09-02}
      - {user: 2, arm: "1 page", at: 2026-09-02}
    given:
      orders: [{user_id: 1, ordered_at: 2026-09-03, status: paid}]
    expect:
      - {arm: control, n: 1, sum: 1}
      - arm: 1 page
        sum: 0
    # the end
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "metrics" / "tests").mkdir(parents=True)
    (tmp_path / "metrics" / "project.yml").write_text(PROJECT)
    (tmp_path / "metrics" / "shop.yml").write_text(DEFINITIONS)
    path = tmp_path / "metrics" / "tests" / "shop.yml"
    path.write_text(TESTS)
    return path


def test_no_warehouse_is_needed_and_passing_is_one_line_a_test(shop, capsys):
    assert main(["check", "-q"]) == 0
    capsys.readouterr()
    assert main(["test"]) == 0
    assert capsys.readouterr().out == (
        "passed  revenue_counts_after_exposure (revenue)\npassed  paid_orders_make_buyers (buyers)\n2 tests passed.\n"
    )
    assert main(["test", "-q"]) == 0
    assert capsys.readouterr().out == "2 tests passed.\n"


def test_a_failure_shows_the_cells_that_differ_at_their_places(shop, capsys):
    shop.write_text(
        TESTS.replace("sum: 25, sum_squares: 625", "sum: 75, sum_squares: 3125").replace("sum: 0", "sum: null")
    )
    assert main(["test", "-q"]) == 1
    assert capsys.readouterr().out == (
        "failed  revenue_counts_after_exposure (revenue)\n"
        "  metrics/tests/shop.yml:11:40:  arm control  sum          expected 75    actual 25\n"
        "  metrics/tests/shop.yml:11:57:  arm control  sum_squares  expected 3125  actual 625\n"
        "failed  paid_orders_make_buyers (buyers)\n"
        "  metrics/tests/shop.yml:23:14:  arm 1 page  sum  expected null  actual 0\n"
        "2 failed of 2 tests.\n"
    )
    assert main(["test", "--format", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["summary"] == {"passed": 0, "failed": 2, "error": 0}
    assert document["tests"][0]["differences"][0] == {
        "where": {"arm": "control"}, "figure": "sum", "expected": 75, "actual": 25.0, "file": "metrics/tests/shop.yml", "line": 11, "column": 40,
    }  # fmt: skip


@pytest.mark.parametrize("words", [["paid_orders_make_buyers"], ["buyers"], ["buy*"], ["*_buyers", "buyers"]])
def test_select_names_tests_or_metrics(shop, words, capsys):
    assert main(["test", *words]) == 0
    assert capsys.readouterr().out == "passed  paid_orders_make_buyers (buyers)\n1 test passed.\n"


def test_selecting_nothing_is_a_mistake(shop, capsys):
    assert main(["test", "buyer"]) == 2
    assert "did you mean `buyers`?" in capsys.readouterr().err


def test_missing_lists_metrics_without_a_test(shop, capsys):
    assert main(["test", "--missing"]) == 0
    assert capsys.readouterr().out == "checkout\nwait\nrecent\n"
    assert main(["test", "--missing", "--fail-on", "missing"]) == 1
    assert main(["test", "--missing", "revenue", "buyers", "--fail-on", "missing"]) == 0
    assert main(["test", "-q", "--fail-on", "missing"]) == 1
    assert main(["test", "--missing", "--format", "json", "w*"]) == 0
    assert capsys.readouterr().out.endswith('{\n  "version": 1,\n  "untested": [\n    "wait"\n  ]\n}\n')


# --- recording --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_record_changes_figures_and_nothing_else(shop, newline, capsys):
    right = TESTS.replace("\n", newline)
    wrong = right.replace("sum: 25,", "sum: 999.5,").replace("        sum: 0", "        sum:")
    shop.write_bytes(wrong.encode())
    assert main(["test", "-q"]) == 1
    capsys.readouterr()
    assert main(["test", "--record"]) == 0
    assert "wrote metrics/tests/shop.yml" in capsys.readouterr().err
    assert shop.read_bytes() == right.encode()
    assert main(["test", "--record"]) == 0
    assert "nothing to record" in capsys.readouterr().err
    assert not [path for path in shop.parent.iterdir() if path != shop]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_record_writes_the_expectations_of_a_test_that_has_none(shop, newline):
    text = TESTS.replace("    expect: [{arm: control, n: 1, sum: 25, sum_squares: 625}]   # 30 - 5, once\n", "")
    text = text.replace(
        "    expect:\n      - {arm: control, n: 1, sum: 1}\n      - arm: 1 page\n        sum: 0\n    # the end\n", ""
    )
    shop.write_bytes(text.replace("\n", newline).encode())
    assert main(["test"]) == 2  # expects nothing
    assert main(["test", "--record"]) == 0
    first = "    expect:\n      - {arm: control, n: 1, sum: 25, sum_squares: 625, mean: 25}\n"
    second = (
        "    expect:\n      - {arm: control, n: 1, sum: 1, sum_squares: 1, mean: 1}\n"
        "      - {arm: '1 page', n: 1, sum: 0, sum_squares: 0, mean: 0}\n"
    )
    whole = text.replace("30,     5\n", f"30,     5\n{first}") + second
    assert shop.read_bytes() == whole.replace("\n", newline).encode()
    assert main(["test", "-q"]) == 0


def test_record_keeps_the_mode_of_the_file_and_a_last_line_without_an_end(shop):
    text = TESTS.split("    expect:\n", maxsplit=1)[0].rstrip("\n")
    shop.write_bytes(("\ufeff" + text).encode())
    shop.chmod(0o600)
    assert main(["test", "--record"]) == 0
    assert shop.read_bytes().startswith(("\ufeff" + text).encode() + b"\n    expect:\n")
    assert shop.stat().st_mode & 0o777 == 0o600


def test_record_refuses_what_it_cannot_write_without_touching_the_file(shop, capsys):
    text = "tests:\n  t: {metric: revenue, exposures: [{user: 1, arm: control, at: 2026-09-02}]}\n"
    shop.write_text(text)
    assert main(["test", "--record"]) == 2
    assert "block style" in capsys.readouterr().err
    assert shop.read_text() == text


# --- mistakes ---------------------------------------------------------------------------------------------------------

BUYERS = "[{user_id: 1, ordered_at: 2026-09-03, status: paid}]"
MISTAKES = {
    "column": (BUYERS, "[{user_id: 1, ordered_at: 2026-09-03, statu: paid}]", "19:53", "sql-column", "did you mean `status`?"),
    "time": (BUYERS, "[{user_id: 1, status: paid}]", "19:16", "test-column", "add `ordered_at`"),
    "entity": ("- {user: 1, arm", "- {usr: 1, arm", "16:10", "unknown-entity", "did you mean `user`?"),
    "no_unit": ("- {user: 1, arm", "- {arm", "16:9", "test-exposures", "write one of user"),
    "twice": ("user: 2, arm", "user: 1, arm", "17:16", "test-unit", "exposed twice"),
    "ragged": ("1,       2026-09-01, 50,     0\n", "1,       2026-09-01, 50\n", "9:9", "test-csv", "3 fields, the header has 4"),
    "quote": ("1,       2026-09-01, 50,     0\n", '1,       2026-09-01, "50,     0\n', "9:9", "test-csv", "not closed"),
    "header": ("ordered_at, amount,", "ordered_at, user_id,", "8:30", "test-csv", "named twice"),
    "value": ("1,       2026-09-01, 50", "1,       2026-09-31, 50", "9:18", "test-value", "not a time"),
    "rows": (BUYERS, "5", "19:15", "invalid-value", "write for example"),
    "nested": ("status: paid}]", "status: [paid]}]", "19:53", "test-value", "single value"),
    "after_a_blank_line": ("user_id, ordered_at, amount, discount\n", "\n        user_id, ordered_at, amount, discounted\n", "9:38", "sql-column", "did you mean `discount`?"),
    "arm": ("- arm: 1 page", "- arm: 2 page", "22:14", "unknown-arm", "did you mean `1 page`?"),
    "arm_twice": ("- arm: 1 page", "- arm: control", "22:14", "test-expect", "twice"),
    "no_arm": ("- arm: 1 page\n        sum", "- sum", "22:9", "test-expect", "names no arm"),
    "figure": ("n: 1, sum: 25", "n: 1, sun: 25", "11:35", "unknown-figure", "did you mean `sum`?"),
    "text": ("n: 1, sum: 25", "n: 1, sum: much", "11:40", "test-expect", "must be a number"),
    "nothing": ("{arm: control, n: 1, sum: 25, sum_squares: 625}", "{arm: control}", "11:14", "test-expect", "expects nothing"),
    "step": ("metric: revenue", "metric: checkout", None, "unknown-figure", "figures: cart, n, paid"),
    "unit": ("sum_squares: 625}]", "sum_squares: 625}]\n    expect_units: [{user: 3, value: 1}]", "12:27", "test-unit", "exposed: 1"),
    "unit_figure": ("sum_squares: 625}]", "sum_squares: 625}]\n    expect_units: [{user: 1, sum: 1}]", "12:30", "unknown-figure", "figures: value"),
    "events": ("metric: revenue", "metric: wait", None, "unknown-figure", "quantile"),
    "source": ("      orders: |", "      order: |", "7:7", "unknown-source", "did you mean `orders`?"),
    "not_read": ("      orders: [", "      assignments: [", "19:7", "test-given", "it reads orders"),
    "as_of": ("metric: buyers", "metric: recent", "13:3", "test-as-of", "add `as_of"),
    "metric": ("metric: revenue", "metric: revenues", "4:13", "unknown-metric", "did you mean `revenue`?"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(shop, name, capsys):
    old, new, at, rule, words = MISTAKES[name]
    assert TESTS.count(old) == 1
    shop.write_text(TESTS.replace(old, new))
    assert main(["check", "-q"]) == 1
    shown = capsys.readouterr().out
    found = re.findall(r"^metrics/tests/shop\.yml:(\d+:\d+): error\[([a-z0-9-]+)\]", shown, re.MULTILINE)
    if at is None:
        assert {r for _, r in found} == {rule}
    else:
        assert found == [(at, rule)], shown
    assert words in shown
    assert main(["test"]) == 2
    assert rule in capsys.readouterr().err


def test_the_demo_project_passes_from_another_folder(tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "metrics", tmp_path / "demo" / "metrics")
    monkeypatch.chdir(tmp_path)
    assert main(["--project", "demo", "test", "-q"]) == 0
    assert re.fullmatch(r"\d+ tests passed\.\n", capsys.readouterr().out)
