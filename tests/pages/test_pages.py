"""Pages in a real browser: quiet, usable by keyboard, accessible, and with the numbers of the document."""

import json
import math
import re

import pytest

from metricdef.reports.page import render_notebook, render_page
from tests.pages import experiments
from tests.pages.reading import check_numbers, numbers_of
from tests.reports import sample

DEPTHS = ("summary", "product", "full")


def show(browser, depth):
    browser.run("document.getElementById('depth-' + arguments[0]).checked = true", depth)


def visible(browser, selector):
    script = "return [...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility()).length"
    return browser.run(script, selector)


def test_the_experiments_are_what_they_are_called(page):
    name, readout, _ = page
    wanted = {"open_bandit": "hold", "actg175": "ship", "open_bandit_men": "ship", "not_computed": "hold"}
    assert readout.decision.recommendation == wanted.get(name, name)
    if name == "not_computed":
        assert {row.verdict for row in readout.estimates} == {"not_computed"}


def test_a_page_is_small_and_opens_without_a_word(browser, page):
    _, _, path = page
    assert path.stat().st_size < 1_500_000
    for size in ("laptop", "phone"):
        browser.size(size)
        browser.open(path)
        for depth in DEPTHS:
            show(browser, depth)
            assert browser.run("return document.documentElement.scrollWidth <= innerWidth"), (size, depth)
        assert [url for url in browser.requests() if not url.startswith("data:")] == [path.resolve().as_uri()]
        assert browser.complaints() == []
    assert browser.run("return document.scripts.length") == 0


def test_every_control_works_by_keyboard(browser, page):
    _, _, path = page
    browser.size("laptop")
    browser.open(path)
    browser.press("tab")
    assert browser.run("return document.activeElement.className") == "skip"
    browser.press("tab")
    assert browser.run("return document.activeElement.id") == "depth-summary"
    assert visible(browser, ".from-product, .from-full") == 0
    browser.press("right")
    assert browser.run("return document.querySelector('input:checked').id") == "depth-product"
    assert visible(browser, ".from-product") > 0
    assert visible(browser, ".from-full") == 0
    browser.press("right")
    assert visible(browser, ".from-full") > 0
    shut = browser.run("return document.querySelectorAll('details').length")
    for _ in range(300):
        browser.press("tab")
        if browser.run("return document.activeElement.tagName") == "SUMMARY":
            browser.press("enter")
        elif browser.run("return document.activeElement === document.body"):
            break
    assert browser.run("return document.querySelectorAll('details[open]').length") == shut


@pytest.mark.parametrize(("size", "dark"), [("laptop", False), ("phone", True)], ids=["laptop-light", "phone-dark"])
def test_axe_finds_nothing_serious(browser, axe, page, size, dark):
    _, _, path = page
    browser.size(size, dark=dark)
    browser.open(path)
    show(browser, "full")
    browser.run("for (const e of document.querySelectorAll('details')) e.open = true")
    browser.run("for (const e of document.querySelectorAll('.effect')) e.style.contentVisibility = 'visible'")
    browser.run(f"{axe}; window.axe = axe")
    script = """
        const done = arguments[0];
        const told = v => [v.id, v.impact, v.nodes.length, v.nodes[0].html, v.nodes[0].failureSummary];
        axe.run().then(r => done(r.violations.map(told)), e => done([['axe itself', 'serious', 0, String(e), '']]));"""
    found = browser.run_async(script)
    assert [violation for violation in found if violation[1] in ("serious", "critical")] == []


def test_the_numbers_are_those_of_the_document(browser, page):
    _, readout, path = page
    browser.size("laptop")
    browser.open(path)
    show(browser, "full")
    document = json.loads(readout.to_json())
    checked = check_numbers(numbers_of(browser), document)
    overall = [i for i, row in enumerate(document["estimates"]) if row["absolute"]]
    assert {f"estimates.{i}.absolute" for i in overall} <= checked
    assert {f"arms.{i}.units" for i in range(len(document["arms"]))} <= checked


def test_intervals_are_drawn_where_the_axis_says(browser, page):
    """Each interval's ends, read in pixels between two ticks whose words say where they are."""
    _, readout, path = page
    browser.size("laptop")
    browser.open(path)
    show(browser, "full")
    browser.run("for (const e of document.querySelectorAll('details')) e.open = true")
    browser.run("for (const e of document.querySelectorAll('.effect')) e.style.contentVisibility = 'visible'")
    drawn = browser.run("""
        const middle = e => { const b = e.getBoundingClientRect(); return b.left + b.width / 2; };
        return [...document.querySelectorAll('.effect')].filter(c => c.querySelector('.axis')).map(c => ({
            relative: c.querySelector('thead th:nth-child(2)').textContent.includes('relative'),
            ticks: [...c.querySelectorAll('.axis .tick')].map((t, i) => [middle(t), c.querySelectorAll('.axis text')[i].textContent]),
            bars: [...c.querySelectorAll('tr[data-row]')].filter(r => r.querySelector('.interval')).map(r => {
                const b = r.querySelector('.interval').getBoundingClientRect();
                return [Number(r.dataset.row), b.left, b.right, middle(r.querySelector('.point')), r.querySelectorAll('.arrow').length];
            }),
        }));""")
    seen = 0
    for card in drawn:
        ticks = [(x, float(re.sub(r"[^\d.\-]", "", text.replace("−", "-")) or 0)) for x, text in card["ticks"]]
        (x0, v0), (x1, v1) = ticks[0], ticks[-1]
        for place, left, right, dot, cut in card["bars"]:
            row = readout.estimates[place]
            found = row.relative if card["relative"] else row.absolute
            factor = 100 if card["relative"] or row.is_share or row.format == "percent" else 1
            wanted = [found.lower * factor, found.upper * factor, found.estimate * factor]
            shown = [v0 + (x - x0) / (x1 - x0) * (v1 - v0) for x in (left, right, dot)]
            pixel = abs((v1 - v0) / (x1 - x0))
            for want, got in list(zip(wanted, shown, strict=True))[2 if cut else 0 :]:
                assert math.isclose(want, got, abs_tol=2 * pixel), (place, want, got)
            seen += 1
    assert seen == sum(1 for row in readout.estimates if row.absolute and row.relative)


def test_hostile_words_are_text(browser, page):
    name, _, path = page
    if name not in experiments.WORLDS:
        pytest.skip("the demo has no hostile words")
    browser.size("laptop")
    browser.open(path)
    show(browser, "full")
    assert browser.run("return document.querySelectorAll('script, img, b[onerror]').length") == 0
    shown = browser.run("return document.body.textContent")
    for text in experiments.HOSTILE[:3]:
        assert text in shown
    assert "{{ 7 * 7 }}" in shown
    assert "\u202e" not in shown


def test_a_page_of_200_metrics_5_arms_and_30_segments_stays_usable(browser, tmp_path):
    path = tmp_path / "large.html"
    path.write_text(render_page(experiments.large()), encoding="utf-8")
    assert path.stat().st_size < 1_500_000
    browser.size("laptop")
    browser.open(path)
    assert browser.run("return document.querySelectorAll('tr[data-row]').length") >= 800
    assert "more comparisons are not drawn here" in browser.run("return document.body.textContent")
    for depth in DEPTHS:
        show(browser, depth)
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth"), depth


def test_the_frame_of_a_notebook_shows_the_page(browser, tmp_path):
    path = tmp_path / "notebook.html"
    frame = render_notebook(sample.readout())
    path.write_text(
        f"<!doctype html><meta charset='utf-8'><link rel=icon href='data:,'><title>n</title>{frame}", encoding="utf-8"
    )
    browser.size("laptop")
    browser.open(path)
    browser.enter_frame()
    assert "New checkout" in browser.run("return document.querySelector('h1').textContent")
    show(browser, "full")
    assert visible(browser, ".from-full") > 0
    assert browser.complaints() == []
