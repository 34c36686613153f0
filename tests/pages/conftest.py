"""A browser for the whole room, and the pages it opens. METRICDEF_PAGES=1 makes a missing one a failure."""

import os
from pathlib import Path

import pytest

from metricdef.demo import EXPERIMENTS, install_demo
from metricdef.errors import WarehouseUnavailable
from metricdef.reports.page import render_page
from tests.pages import experiments
from tests.pages.browser import browsing, missing

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
NAMES = (*experiments.WORLDS, *EXPERIMENTS)


def pytest_collection_modifyitems(items):
    """What is shown of one page is one worker's (with --dist=loadgroup), which makes the page once."""
    for item in items:
        if "page" in item.fixturenames and "folder" not in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group(item.callspec.params["page"]))
        elif "folder" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group("site"))


def absent(reason):
    if os.environ.get("METRICDEF_PAGES"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser():
    if reason := missing():
        absent(reason)
    with browsing() as found:
        yield found


@pytest.fixture(scope="session")
def axe():
    if not AXE.is_file():
        absent("axe-core is not installed: tests/pages/install.sh")
    return AXE.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    try:
        install_demo(root, lambda _: None)
    except WarehouseUnavailable as error:
        absent(f"the demo's data cannot be fetched: {error.message}")
    return root


@pytest.fixture(scope="session", params=NAMES)
def page(request, tmp_path_factory):
    """(name, readout, file) of a page."""
    from metricdef.api import Project

    name = request.param
    folder = tmp_path_factory.mktemp(name)
    if name in experiments.WORLDS:
        readout = experiments.run(folder, name)
    else:
        readout = Project(request.getfixturevalue("demo")).run(name, as_of="2020-01-01")
    path = folder / "page.html"
    path.write_text(render_page(readout), encoding="utf-8")
    return name, readout, path
