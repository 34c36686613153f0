"""Engines start once a process. Where METRICDEF_ENGINES names one, its absence is a failure, elsewhere a skip."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from . import clickhouse, duckdb, postgres, snowflake, spark
from .engine import Engine

ENGINES: dict[str, tuple[ModuleType, str]] = {
    "postgres": (postgres, "Postgres"),
    "snowflake": (snowflake, "Snowflake"),
    "spark": (spark, "Spark"),
    "clickhouse": (clickhouse, "ClickHouse"),
}
REFERENCE = "duckdb"  # what the others are compared with: tests run on it where their module names it
MODULES = {**ENGINES, REFERENCE: (duckdb, "DuckDB")}
SLOW_TO_START = {"spark"}  # one worker has it (with --dist=loadgroup)
CASES, CHUNK = int(os.environ.get("METRICDEF_ENGINE_CASES", "0")), 20  # of every engine, where set
REQUIRED = {name for name in os.environ.get("METRICDEF_ENGINES", "").split(",") if name}


def pytest_configure() -> None:
    unknown = REQUIRED - set(ENGINES)
    if unknown:
        raise pytest.UsageError(f"METRICDEF_ENGINES names engines that there are not: {', '.join(sorted(unknown))}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests run on every engine, or on those that their module names; generated cases as many as it has time for."""
    if "seeds" in metafunc.fixturenames:
        metafunc.parametrize(("engine", "seeds"), [*_generated()], indirect=["engine"])
    elif "engine" in metafunc.fixturenames:
        only = getattr(metafunc.module, "ENGINE", None)
        named = getattr(metafunc.module, "ENGINES", ENGINES)
        metafunc.parametrize("engine", [only] if only else named, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        name = (
            item.callspec.params.get("engine")
            if isinstance(item, pytest.Function) and hasattr(item, "callspec")
            else None
        )
        if name in SLOW_TO_START:
            item.add_marker(pytest.mark.xdist_group(name))


def _generated() -> Iterator[Any]:
    for name, (module, kind) in ENGINES.items():
        cases = CASES or getattr(module, kind).cases
        for start in range(0, cases, CHUNK):
            yield pytest.param(name, range(start, min(start + CHUNK, cases)), id=f"{name}-{start}")


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine in turn."""
    name = request.param
    module, kind = MODULES[name]
    reason = module.missing()
    if reason is not None:
        if name in REQUIRED:
            pytest.fail(f"{name}: {reason}")
        pytest.skip(f"{name}: {reason}")
    started = getattr(module, kind)()
    yield started
    started.stop()
