"""Engines start once a process. Where METRICDEF_ENGINES names one, its absence is a failure, elsewhere a skip."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import ModuleType

import pytest

from . import postgres
from .engine import Engine

ENGINES: dict[str, tuple[ModuleType, str]] = {"postgres": (postgres, "Postgres")}
REQUIRED = {name for name in os.environ.get("METRICDEF_ENGINES", "").split(",") if name}


def pytest_configure() -> None:
    unknown = REQUIRED - set(ENGINES)
    if unknown:
        raise pytest.UsageError(f"METRICDEF_ENGINES names engines that there are not: {', '.join(sorted(unknown))}")


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine in turn."""
    name = request.param
    module, kind = ENGINES[name]
    reason = module.missing()
    if reason is not None:
        if name in REQUIRED:
            pytest.fail(f"{name}: {reason}")
        pytest.skip(f"{name}: {reason}")
    started = getattr(module, kind)()
    yield started
    started.stop()
