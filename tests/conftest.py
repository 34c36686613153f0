"""What all tests share."""

import gc
import os
import signal

import pytest
from hypothesis import is_hypothesis_test, settings
from thorough import examples

from metricdef.errors import DefinitionErrors

# Machines are noisy: a slow first call is no fault of the property under test. The same examples are drawn every time,
# so that a change is judged by itself; METRICDEF_EXPLORE=1 draws new ones.
settings.register_profile(
    "metricdef", deadline=None, derandomize=not os.environ.get("METRICDEF_EXPLORE"), max_examples=examples(100)
)
settings.load_profile("metricdef")


# What a shell starts in the background ignores Ctrl-C, and so would every process started here: tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Nothing is kept outside the folders of the tests.
os.environ["METRICDEF_CACHE"] = ""


def pytest_addoption(parser):
    parser.addoption("--reference-dir", help="folder of reference cases (default: tests/reference)")


def pytest_itemcollected(item):
    """Properties have more examples with METRICDEF_THOROUGH=1."""
    if is_hypothesis_test(getattr(item, "obj", None)):
        item.add_marker("thorough")


def pytest_collection_finish():
    """What was imported and collected stays until the end: looking through it again and again takes a tenth of the time."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    gc.unfreeze()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Definition errors say what they are about, also in a test's report."""
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, DefinitionErrors):
        error.args = ("\n".join(f"{d.rule}: {d.message} {d.place}" for d in error.diagnostics),)
    yield
