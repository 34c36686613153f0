"""`check` and the warehouse: asked, remembered, or missing with a word."""

import json

import pytest
from rule_shop import write_shop, write_tables

from metricdef.cli.main import main

TYPO = "metrics: {payers: {type: proportion, source: orders, filter: sttaus = 'paid', direction: increase}}"


@pytest.fixture
def shop(tmp_path, monkeypatch):
    write_shop(tmp_path)
    write_tables(tmp_path)
    (tmp_path / "metrics" / ".schema.json").unlink()
    monkeypatch.chdir(tmp_path)

    def change(text):
        write_shop(tmp_path, text)
        (tmp_path / "metrics" / ".schema.json").unlink()

    return change


def test_columns_that_nobody_asked_for_are_said_not_to_be_checked(shop, capsys):
    shop(TYPO)
    assert main(["check"]) == 0
    shown = capsys.readouterr()
    assert "sql-column" not in shown.out
    assert "columns of assignments, orders, users were not checked" in shown.err


def test_the_warehouse_is_asked_now(shop, capsys):
    shop(TYPO)
    assert main(["check", "--live", "-q"]) == 1
    assert "error[sql-column]: column `sttaus` is not in source `orders`" in capsys.readouterr().out


def test_a_snapshot_answers_later_without_the_warehouse(shop, capsys, tmp_path):
    assert main(["check", "--refresh-schema", "-q"]) == 0
    columns = json.loads((tmp_path / "metrics" / ".schema.json").read_text())["sources"]["orders"]
    assert columns["amount"] == "DOUBLE"
    (tmp_path / "warehouse.duckdb").unlink()
    snapshot = (tmp_path / "metrics" / ".schema.json").read_text()
    shop(TYPO)
    (tmp_path / "metrics" / ".schema.json").write_text(snapshot)
    capsys.readouterr()
    assert main(["check"]) == 1
    shown = capsys.readouterr()
    assert "did you mean `status`?" in shown.out
    assert "not checked" not in shown.err


@pytest.mark.parametrize("arguments", [["--live"], ["--refresh-schema"]])
def test_a_missing_secret_is_an_error_that_names_it(shop, capsys, monkeypatch, arguments):
    monkeypatch.delenv("SHOP_PASSWORD", raising=False)
    profile = "{type: postgres, host: db.example, user: u, password: '${SHOP_PASSWORD}'}"
    shop(f"profiles: {{local: {profile}}}")
    assert main(["check", "-q"]) == 0  # offline nothing is needed
    capsys.readouterr()
    assert main(["check", "-q", *arguments]) == 2
    shown = capsys.readouterr()
    assert "SHOP_PASSWORD" in shown.err and "error" in shown.err
    assert "No problems" not in shown.out


def test_a_warehouse_that_is_not_there_is_an_error(shop, capsys, tmp_path):
    (tmp_path / "warehouse.duckdb").unlink()
    assert main(["check", "--live", "-q"]) == 2
    assert "there is no file warehouse.duckdb" in capsys.readouterr().err
