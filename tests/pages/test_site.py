"""The catalogue's site in a real browser: quiet, from disk, usable by keyboard, accessible, and alive when served."""

import json
import threading
import time
from pathlib import Path
from urllib.parse import unquote

import pytest

from metricdef.api import Project
from metricdef.reports.site.build import build_site
from metricdef.reports.site.folder import write_site
from metricdef.reports.site.rendering import asset
from metricdef.reports.site.server import Site, make_server
from metricdef.reports.site.slugs import page_path
from metricdef.reports.site.stored_readouts import read_stored
from tests.pages.browser import SIZES
from tests.reports.site_project import EMOJI, HOSTILE, OWNERS, write_project

PAGES = [
    "index.html", "experiments/index.html", "metrics/index.html", "sources/index.html", "owners/index.html", "tags/index.html",
    *(page_path("experiments", name) for name in ("looking", "early", "won", "planned")),
    *(page_path("metrics", name) for name in ("buyers", "revenue", "order_value", "orders_per_user", "steps", "unused")),
    page_path("segments", "on_the_web"), page_path("sets", "money_back"), page_path("sources", "orders"), page_path("owners", OWNERS[0]), page_path("tags", HOSTILE), page_path("tags", EMOJI),
]  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("catalogue")
    write_project(root)
    return root


@pytest.fixture(scope="module")
def folder(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "site"
    project = Project(root).definitions
    write_site(folder, build_site(project, read_stored(project, root / "readouts")))
    return folder


@pytest.fixture(scope="module")
def pages(browser, axe, folder):
    return browser, axe, folder


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_from_disk_without_a_word(pages, page):
    browser, _, folder = pages
    for size in SIZES:
        browser.size(size)
        browser.open(folder / page)
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth"), size
        assert browser.run("return document.styleSheets.length") == 1
        asked = [unquote(url) for url in browser.requests() if not url.startswith("data:")]
        assert {Path(url.removeprefix("file://")).name for url in asked} == {Path(page).name, "site.css", "search.js"}
        assert all(
            url.startswith(folder.resolve().as_uri()) for url in browser.requests() if not url.startswith("data:")
        )
        assert browser.complaints() == []
        assert browser.run("return window.alerted") is None


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_axe_finds_nothing(pages, page, dark):
    browser, axe, folder = pages
    browser.size("laptop", dark=dark)
    browser.open(folder / page)
    browser.run("document.querySelectorAll('details').forEach(d => { d.open = true })")
    browser.run(axe)
    found = browser.run_async("const done = arguments[0]; axe.run().then(r => done(r.violations))")
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found] == []


def search(browser, words):
    browser.press("/")
    assert browser.run("return document.activeElement.id") == "search"
    browser.press(*words)
    wait(lambda: browser.run("return document.querySelectorAll('#found li').length"))
    return browser.run("return [...document.querySelectorAll('#found li bdi')].map(e => e.textContent)")


def wait(test):
    deadline = time.monotonic() + 20
    while not test():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def selected(browser):
    return browser.run(
        "const box = document.getElementById('search'), item = document.getElementById(box.getAttribute('aria-activedescendant'));"
        "return item && item.getAttribute('aria-selected') === 'true' ? item.querySelector('bdi').textContent : null"
    )


def test_search_by_keyboard(pages):
    browser, _, folder = pages
    browser.size("laptop")
    browser.open(folder / page_path("experiments", "won"))
    found = search(browser, "orders")
    assert found[:2] == ["orders", "orders_per_user"]
    assert selected(browser) == "orders"
    browser.press("down")
    assert selected(browser) == "orders_per_user"
    assert browser.run("return document.getElementById('found-count').textContent").endswith(" found")
    browser.press("enter")
    wait(
        lambda: (
            browser.run("return location.href") == (folder / page_path("metrics", "orders_per_user")).resolve().as_uri()
        )
    )
    assert browser.complaints() == []
    assert not [url for url in browser.requests() if not url.startswith(("file:", "data:"))]


def test_search_closes_and_finds_by_all_that_is_known(pages):
    browser, _, folder = pages
    browser.open(folder / "index.html")
    assert search(browser, "refunded") == ["refunds"]  # it stands in the sentence only
    browser.run("document.getElementById('search').value = ''")
    browser.press(*"nothing like this")
    wait(lambda: browser.run("return document.getElementById('found-count').textContent") == "0 found")
    assert browser.run("return document.getElementById('found').hidden")
    browser.press("\ue00c")
    assert browser.run("return document.getElementById('search').value") == ""


def test_hostile_names_are_found_and_shown_as_text(pages):
    browser, _, folder = pages
    browser.open(folder / "index.html")
    browser.run("window.alert = () => { window.alerted = true }")
    assert HOSTILE in search(browser, "<script>")
    assert browser.run("return document.querySelectorAll('#found script, #found img').length") == 0
    assert browser.run("return window.alerted") is None


def test_numbers_are_those_of_the_readout(pages, root):
    browser, _, folder = pages
    document = json.loads((root / "readouts" / "won.json").read_text())
    browser.open(folder / page_path("experiments", "won"))
    rows = browser.run(
        "return [...document.querySelectorAll('[aria-labelledby=exposures] tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    assert [(arm, int(units.replace(",", ""))) for arm, units, *_ in rows] == [
        (a["arm"], a["units"]) for a in document["arms"]
    ]
    results = browser.run(
        "return [...document.querySelectorAll('[aria-labelledby=results] tbody tr')].map(r => [...r.cells].map(c => c.innerText.trim()))"
    )
    for shown, row in zip(results, document["estimates"], strict=True):
        relative = float(shown[4].partition("%")[0].replace("−", "-").replace(",", ""))
        assert relative == pytest.approx(100 * row["relative"]["estimate"], abs=0.5)
        low, high = shown[4].partition("(")[2].rstrip(")").split(" to ")
        assert float(low.replace("−", "-")) == pytest.approx(100 * row["relative"]["lower"], abs=0.5)
        assert float(high.replace("−", "-")) == pytest.approx(100 * row["relative"]["upper"], abs=0.5)


def test_an_open_page_follows_the_server(browser):
    files = {"index.html": live("one"), "assets/live.js": asset("site/live.js").encode()}
    site = Site()
    site.rebuild(lambda: files)
    server = make_server(site, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/"
    with server:
        browser.requests()  # those of other pages
        browser._call("POST", "/url", {"url": address})
        assert browser.run("return document.querySelector('h1').textContent") == "one"
        time.sleep(1)  # the page has asked for the state that it shows
        site.rebuild(lambda: {**files, "index.html": live("two")})
        wait(lambda: browser.run("return document.querySelector('h1').textContent") == "two")
        site.problem = "<b>broken</b>"
        wait(lambda: browser.run("return document.getElementById('problem')?.textContent") == "<b>broken</b>")
        assert all(url.startswith((address, "data:")) for url in browser.requests())
        server.shutdown()


def live(words):
    return f'<!doctype html><html lang="en"><title>t</title><script src="assets/live.js" data-root="" defer></script><h1>{words}</h1>'.encode()
