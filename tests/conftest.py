"""What all tests share."""

import pytest
from hypothesis import settings

from metricdef.errors import DefinitionErrors

# Machines are noisy: a slow first call is no fault of the property under test.
settings.register_profile("metricdef", deadline=None)
settings.load_profile("metricdef")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Definition errors say what they are about, also in a test's report."""
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, DefinitionErrors):
        error.args = ("\n".join(f"{d.rule}: {d.message} {d.place}" for d in error.diagnostics),)
    yield
