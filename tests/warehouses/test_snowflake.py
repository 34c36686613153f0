"""The Snowflake adapter without a server: what it calls the connector with, and what it makes of answers."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pyarrow as pa
import pytest
from snowflake.connector.constants import QueryStatus
from snowflake.connector.errors import DatabaseError, InterfaceError, OperationalError, ProgrammingError

from metricdef.errors import UsageError, WarehouseError, WarehouseTimeout, WarehouseUnavailable
from metricdef.warehouses import Profile
from metricdef.warehouses import snowflake as adapter
from metricdef.warehouses.snowflake import OPTIONS, SECRETS, SnowflakeWarehouse, _arguments, _message, _plain, _type


def profile(root=Path(), **options):
    return Profile("prod", "snowflake", root, options, {}, options)


def warehouse(connection=None, timeout=None):
    return SnowflakeWarehouse(connection, profile(account="lab"), timeout)


def test_a_pass_phrase_has_another_name_in_the_next_version(tmp_path):
    (tmp_path / "key.p8").touch()
    options = {"account": "lab", "private_key_file": "key.p8", "private_key_file_pwd": "words"}
    old, new = (_arguments(profile(tmp_path, **options), version) for version in (4, 5))
    assert old["private_key_file"] == new["private_key_file"] == str(tmp_path / "key.p8")
    assert old["private_key_file_pwd"] == new["private_key_password"] == "words"
    assert "private_key_password" not in old
    assert "private_key_file_pwd" not in new


def test_an_empty_profile_takes_the_connection_that_other_tools_take(monkeypatch):
    monkeypatch.delenv("SNOWFLAKE_DEFAULT_CONNECTION_NAME", raising=False)
    assert _arguments(profile(role="x"), 5)["connection_name"] == "default"
    monkeypatch.setenv("SNOWFLAKE_DEFAULT_CONNECTION_NAME", "mine")
    assert _arguments(profile(), 5)["connection_name"] == "mine"
    assert "connection_name" not in _arguments(profile(account="lab"), 5)


def test_numbers_may_come_from_variables():
    assert _arguments(profile(account="lab", port="443"), 5)["port"] == 443
    with pytest.raises(UsageError, match="whole number"):
        _arguments(profile(account="lab", login_timeout="soon"), 5)


def test_every_option_that_looks_like_a_secret_is_kept_secret():
    from metricdef.definitions.link import is_literal_secret

    assert {key for key in OPTIONS if is_literal_secret(key, "x")} == {*SECRETS, "passcode_in_password"}
    assert not is_literal_secret("passcode_in_password", True)
    for key in SECRETS:
        text = _message(profile(**{key: "hunter2"}), ValueError("000001 (22000): no hunter2\n here"))
        assert text == "no *** here"


def test_numbers_of_any_width():
    wide = 123456789012345678901234567890
    table = pa.table(
        {
            "SMALL": pa.array([1, None], pa.int8()),
            "WHOLE": pa.array([7, 8], pa.decimal128(38, 0)),
            "WIDE": pa.array([wide, 1], pa.decimal128(38, 0)),
            "Money": pa.array([Decimal("12.34"), None], pa.decimal128(12, 2)),
            "NAME_1": pa.array(["x", None]),
        }
    )
    found = _plain(table)
    assert [str(kind) for kind in found.schema.types] == ["int64", "int64", "double", "double", "string"]
    columns = {"small": [1, None], "whole": [7, 8], "wide": [float(wide), 1.0], "Money": [12.34, None]}
    assert found.to_pydict() == {**columns, "name_1": ["x", None]}


def test_a_type_that_a_later_connector_brings_has_a_name():
    assert _type(SimpleNamespace(type_code=0, precision=12, scale=2)) == "NUMBER(12,2)"
    assert _type(SimpleNamespace(type_code=7, precision=None, scale=None)) == "TIMESTAMP_TZ"
    assert _type(SimpleNamespace(type_code=99, precision=None, scale=None)) == "UNKNOWN"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ProgrammingError("gone", errno=2003, sqlstate="42S02", sfqid="01b2"), WarehouseError, "query history has it as 01b2"),
        (ProgrammingError("no right", errno=3001, sqlstate="42501"), WarehouseError, "CREATE TABLE on the schema"),
        (ProgrammingError("too long", errno=630, sqlstate="57014"), WarehouseTimeout, "query_timeout"),
        (ProgrammingError("by an administrator", errno=604, sqlstate="57014"), WarehouseTimeout, "stopped the query"),
        (ProgrammingError("quota", errno=90073, sqlstate="22000"), WarehouseUnavailable, "no warehouse to run on"),
        (ProgrammingError("token", errno=390114, sqlstate="08001"), WarehouseUnavailable, "was lost"),
        (ProgrammingError("session", errno=390111), WarehouseUnavailable, "was lost"),
        (OperationalError("reset", errno=250003), WarehouseUnavailable, "was lost"),
        (InterfaceError("closed"), WarehouseUnavailable, "was lost"),
        (DatabaseError("broken", errno=250001, sqlstate="08001"), WarehouseUnavailable, "was lost"),
        (ProgrammingError("nowhere", errno=90106, sqlstate="22000"), UsageError, "set `database` and `schema`"),
    ],
)  # fmt: skip
def test_what_a_refusal_means(error, kind, words):
    found = warehouse()._refusal(error)
    assert type(found) is kind
    assert words in " ".join((found.message, *found.help))
    assert error.raw_msg in found.message


def test_a_query_that_nobody_knows_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(adapter, "FIRST_PAUSE", 0.0)
    asked = []

    class Connection:
        def get_query_status(self, query):
            asked.append(query)
            return QueryStatus.NO_DATA if len(asked) % 40 else QueryStatus.RUNNING

        def is_still_running(self, status):
            return True

    with pytest.raises(WarehouseUnavailable, match="says nothing about the query q"):
        warehouse(Connection())._wait("q", Event())
    assert len(asked) < 40
