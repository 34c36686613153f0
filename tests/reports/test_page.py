"""A readout as a page, as Markdown and as a picture: what they say, without a browser (tests/pages has one)."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

import metricdef.api  # noqa: F401 - lets readouts show themselves
from metricdef.analysis.readout import DecisionRow, Headline, Interval, RelativeInterval
from metricdef.errors import UsageError
from metricdef.reports import remarks
from metricdef.reports.lead import lead
from metricdef.reports.limits import limits, window_words
from metricdef.reports.page import page_of, render_page
from metricdef.reports.plot_file import plot_bytes, render_svg
from metricdef.reports.plots import round_step, strip_of
from metricdef.reports.readout_markdown import escaped, render_markdown
from metricdef.reports.text import render_text
from tests.reports.sample import (
    ALIKE,
    DIFFERS,
    FAILED,
    FUNNEL,
    LATENCY,
    PLAIN,
    REFUNDS,
    REVENUE,
    levels,
    outcome_of,
    readout,
    row,
)
from tests.reports.test_text import broken_down, clustered, interim, invalid, several_arms, triggered

READOUTS = {
    "plain": readout(), "interim": interim(), "invalid": invalid(), "several arms": several_arms(),
    "broken down": broken_down(), "triggered": triggered(), "clusters": clustered(),
    "nothing": readout(estimates=()), "no health": readout(health=()), "failed": readout(row(), health=FAILED),
}  # fmt: skip
HOSTILE = "<script>alert('x')</script>\"|`@here` :fire: http://x.y *b* [a](b) \u202e"


class Text(HTMLParser):
    """The words of a page, those of styles apart."""

    def __init__(self):
        super().__init__()
        self.words, self.stack, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in ("meta", "link", "input", "br"):
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack, tag
        assert self.stack.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        if self.stack and self.stack[-1] != "style":
            self.words.append(data)


def read(page):
    parser = Text()
    parser.feed(page)
    assert parser.stack == []
    return " ".join(" ".join(parser.words).split()), parser.tags


@pytest.mark.parametrize("found", READOUTS.values(), ids=READOUTS)
@pytest.mark.parametrize("render", [render_page, render_markdown])
def test_words(found, render):
    text = render(found)
    text = read(text)[0] if render is render_page else text
    assert not re.search(r"\b(nan|NaN|inf)\b|\bNone\b(?! (is|was|are) )|[Ss]ignificant", text)
    # A difference of shares is in points, never in percent of a percentage.
    assert not re.search(r"[+−]\d[\d.]*% \([^)]*pp", text)
    assert not re.search(r"\{[{%]|[%}]\}", text)


def test_the_decision_comes_first_and_in_words():
    found = readout(row(), REFUNDS, decision=DecisionRow("ship", "new", ("new: primary conversion superior",)))
    text, _ = read(render_page(found))
    assert text.index("stopped, as of 2026-10-12 06:30 UTC") < text.index("The rule for shipping is met")
    assert text.index("Ship new") < text.index("Can it be trusted?") < text.rindex("Primary metrics")
    assert "conversion: better. From 10.00% to 11.00%: +1.00 percentage points (+0.30 to +1.70)" in text
    assert "No guardrail was harmed by more than its margin." in text


def test_the_lead_names_harm_and_what_is_not_known():
    worse = replace(REVENUE, verdict="inferior", reason=None)
    said = " ".join(lead(readout(row(), worse, REFUNDS, LATENCY)))
    assert "Worse: Revenue per user." in said
    assert "Harm is not ruled out on: errors." in said
    assert "No guardrail" not in said


def test_after_a_stop_the_lead_has_the_estimate_to_quote():
    quoted = row(headline=Headline("median_unbiased", 0.0085, 0.085))
    said = " ".join(lead(readout(quoted, decision=DecisionRow("ship", "new", (), {"new": "ship"}))))
    assert "To quote, now that the test has stopped: +0.85 percentage points; an early stop overstates." in said
    assert "To quote" not in " ".join(lead(readout(quoted)))  # the experiment goes on


def test_harm_names_its_arms_and_what_is_not_equivalent_says_so():
    test = outcome_of("equivalence", 0.2, rejected=False, procedure="none", null=0.02)
    same = row(verdict="inconclusive", tests=(test,), equivalence="2pp")
    found = [
        replace(r, arm=arm, verdict=verdict)
        for arm, verdict in (("new", "inferior"), ("newer", "inconclusive"))
        for r in (REFUNDS,)
    ]
    said = list(
        lead(
            readout(
                same,
                replace(same, arm="newer"),
                *found,
                decision=DecisionRow("hold", None, (), {"new": "stop", "newer": "hold"}),
            )
        )
    )
    assert said[0].startswith(
        "conversion with new: no clear difference, and not shown to be equivalent within ±2 percentage points. From"
    )
    assert said[2:] == ["Worse: Refund rate with new.", "Harm is not ruled out on: Refund rate with newer."]


def test_stopping_one_arm_rolls_nothing_else_back():
    """The page said to turn the flag off, which would have ended the other arms as well."""
    alert = {
        "arms": ["new"],
        "whole_experiment": False,
        "flag": {"provider": "openfeature", "key": "one_page", "rollback": "off"},
    }
    found = readout(row(), decision=DecisionRow("hold", None, (), {"new": "stop", "newer": "hold"}), alert=alert)
    assert remarks.rollback(found) == ["To stop: take new out of flag one_page (openfeature)"]
    assert (
        remarks.recommendation(found)[1] == "the rule for shipping is not met; new is to be stopped, the others go on"
    )


def test_a_stop_names_the_flag_to_roll_back():
    """The page showed the reasons a second time, as a list of the programming language."""
    alert = {
        "action": "stop", "experiment": "e", "as_of": "2026-02-01T00:00:00Z", "arms": ["new"], "whole_experiment": True,
        "because": ["primary conversion deteriorated"], "authority": [],
        "flag": {"provider": "openfeature", "key": "one_page", "rollback": "off"},
    }  # fmt: skip
    stopped = readout(
        row(verdict="inferior"), decision=DecisionRow("stop", "new", ("primary conversion deteriorated",)), alert=alert
    )
    for text in (read(render_page(stopped))[0], render_text(stopped), render_markdown(stopped)):
        assert "To roll back: flag one_page (openfeature) to off" in text
        assert text.count("primary conversion deteriorated") == 1
        assert "['" not in text
    no_flag = replace(stopped, alert={**alert, "flag": None})
    assert "roll back" not in render_page(no_flag)


def test_an_invalid_experiment_leads_with_the_failed_check_and_no_effect():
    said = " ".join(lead(invalid()))
    assert "sample ratio of those analysed" in said
    assert "10.0%" not in said


def test_limits_say_what_was_not_tested():
    said = " ".join(limits(readout()))
    assert "first exposed within 28 days" in said
    assert "Not computed, and so unknown: errors (new)." in said
    assert "No breakdown was computed" in said
    assert "Nothing is tested yet" in " ".join(limits(interim()))
    assert "decide nothing" in " ".join(limits(broken_down()))


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ("7d", "up to 7 days after first exposure"),
        ("1h", "up to 1 hour after first exposure"),
        ("7d..14d", "from 7 days to 14 days after first exposure"),
        ("last 4w", "over the last 4 weeks"),
        ("experiment", "until the experiment ends"),
    ],
)
def test_windows_in_words(window, words):
    assert window_words(window, "first exposure") == words


def test_a_planned_effect_in_another_unit_is_drawn_by_the_baseline():
    sizes = {
        "practical": {"text": "1pp", "kind": "points", "value": 0.01},
        "mde": {"text": "5%", "kind": "relative", "value": 0.05},
    }
    strip = strip_of([row()], sizes)
    drawn = {mark.kind: (mark.text, value_at(strip, mark.at)) for mark in strip.marks}
    assert drawn["practical"] == ("", pytest.approx(1.0, abs=1e-3))
    assert drawn["mde"] == ("0.50pp", pytest.approx(0.5, abs=1e-3))  # 5% of 10%
    page = render_page(
        readout(row(), design={"metrics": {"conversion": {"type": "proportion", "windows": [], "sizes": sizes}}})
    )
    assert "planned effect (MDE) 5% (relative) ≈ 0.50pp" in page


def test_steps_of_a_funnel_are_a_table():
    text, _ = read(render_page(readout(FUNNEL, replace(FUNNEL, arm="newer"))))
    assert re.search(
        r"reached\s+control\s+new\s+newer\s+cart\s+52\.0%\s+51\.3%\s+51\.3%\s+paid\s+10\.4%\s+9\.5%\s+9\.5%", text
    )
    assert "steps reached" not in text


def test_plots_of_levels_wait_unless_they_say_something_or_are_of_a_primary_metric():
    """46 plots without a clear level hid the two with one."""
    clear = levels("clear", DIFFERS, ("web", 0.001, "superior"), ("app", 0.6, "inconclusive"), role="secondary")
    quiet = levels("quiet", ALIKE, ("web", 0.6, "inconclusive"), ("app", 0.9, "inconclusive"), role="secondary")
    primary = levels("first", ALIKE, ("web", 0.6, "inconclusive"), ("app", 0.9, "inconclusive"))
    found = page_of(readout(row(), *clear, *quiet, *primary))["breakdowns"][0]
    assert [group.metric for group in found["groups"]] == ["clear", "first"]
    assert [group.metric for group in found["quiet"]] == ["quiet"]


# --- names from definitions and data ----------------------------------------------------------------------------------


def hostile():
    rows = [row(HOSTILE, label=HOSTILE, arm=HOSTILE), *levels("m", None, (HOSTILE, 0.2, "inconclusive"))]
    decision = DecisionRow("hold", HOSTILE, (HOSTILE,), {HOSTILE: "hold"})
    return readout(*rows, label=HOSTILE, hypothesis=HOSTILE, experiment=HOSTILE, decision=decision)


def test_hostile_names_are_text_on_a_page():
    page = render_page(hostile())
    text, tags = read(page)
    assert "script" not in tags
    plain = render_page(readout(row(), *levels("m", None, ("x", 0.2, "inconclusive"))))
    assert page.count("<a ") == plain.count("<a ")
    assert "<script>alert('x')</script>" in text
    assert "\u202e" not in text


def test_hostile_names_are_text_in_markdown():
    shown = render_markdown(hostile())
    for active in ("<script", "`", "@here", ":fire:", "http://", "*b*", "[a]", "\u202e"):
        assert active not in shown, active
    table = [line for line in shown.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1


@pytest.mark.parametrize("text", ["a_b 1.5 (2)", "+0.09pp", "0.52%", "baseline → arm", "f: g"])
def test_markdown_leaves_plain_words_alone(text):
    assert escaped(text) == text


def test_hostile_names_are_text_in_a_picture():
    tree = ET.fromstring(render_svg(hostile()))
    assert not [e for e in tree.iter() if e.tag.endswith("script")]
    assert any("<script>" in (e.text or "") for e in tree.iter() if e.tag.endswith("text"))


# --- plots ------------------------------------------------------------------------------------------------------------

SHARE = {"margin": {"text": "0.3pp", "kind": "points", "value": 0.003}}
RELATIVE = {"mde": {"text": "5%", "kind": "relative", "value": 0.05}}


def value_at(strip, at):
    return (at - 50) / 50 * strip.half


def test_places_are_the_readouts_numbers():
    (bar,) = (strip := strip_of([row()], {})).bars
    assert not strip.relative
    assert value_at(strip, bar.at) == pytest.approx(1.0, abs=1e-3)
    assert value_at(strip, bar.lower) == pytest.approx(0.3, abs=1e-3)
    assert value_at(strip, bar.upper) == pytest.approx(1.7, abs=1e-3)
    for tick in strip.ticks:
        assert value_at(strip, tick.at) == pytest.approx(float(tick.text.strip("p").replace("−", "-")), abs=1e-3)


def test_the_axis_is_that_of_the_declared_sizes():
    strip = strip_of([row()], RELATIVE)
    assert strip.relative
    assert value_at(strip, strip.bars[0].at) == pytest.approx(10, abs=1e-2)
    assert value_at(strip, strip.marks[0].at) == pytest.approx(5, abs=1e-2)
    unbounded = replace(row(), relative=RelativeInterval(None, None, None, "fieller", "unbounded", None))
    assert not strip_of([unbounded], RELATIVE).relative


def test_margins_stand_on_the_side_of_harm():
    for found, place in ((REFUNDS, 0.3), (row(role="guardrail"), -0.3)):
        strip = strip_of([found], SHARE)
        assert value_at(strip, strip.marks[0].at) == pytest.approx(place, abs=1e-3)


def test_an_interval_far_wider_than_others_is_cut_with_an_arrow():
    wide = row(arm="wide", absolute=Interval(0.1, 1.0, -3.0, 5.0))
    strip = strip_of([row(), row(arm="b"), wide], {})
    assert strip.bars[2].cut_lower
    assert strip.bars[2].cut_upper
    assert (strip.bars[2].lower, strip.bars[2].upper) == (0, 100)
    assert not strip.bars[0].cut_upper


def test_rows_without_an_interval_have_no_bar():
    assert strip_of([LATENCY], {}) is None
    assert strip_of([row(), replace(LATENCY, is_share=True)], {}).bars[1] is None


@pytest.mark.parametrize(("size", "step"), [(1.0, 1.0), (0.7, 0.5), (26.0, 25.0), (0.0024, 0.002), (999.0, 500.0)])
def test_steps_are_round(size, step):
    assert round_step(size) == pytest.approx(step)


def test_a_picture_says_the_numbers_of_its_axis():
    shown = render_svg(readout(row(), replace(REVENUE, estimator=PLAIN)))
    assert "conversion · primary · higher is better · difference" in shown
    assert "higher is better · relative to the baseline" in shown
    assert "+1.00pp (+0.30 to +1.70)" in shown
    assert "+1.4% (+0.1 to +2.7)" in shown  # relative, as drawn


def test_a_picture_of_nothing_and_of_another_kind_is_refused(tmp_path):
    with pytest.raises(UsageError, match="nothing to draw"):
        render_svg(readout(LATENCY))
    with pytest.raises(UsageError, match=r"\.svg or \.png"):
        plot_bytes(readout(), tmp_path / "x.pdf")


# --- Python -----------------------------------------------------------------------------------------------------------


def test_a_readout_shows_itself():
    found = readout()
    assert found.to_html() == render_page(found)
    frame = found._repr_html_()
    assert frame.startswith("<iframe")
    assert "<!doctype" not in frame  # inside an attribute, escaped


def test_series_and_looks_are_drawn():
    days = tuple(
        {"metric": "conversion", "day": f"2026-09-{d:02}", "as_of": f"2026-09-{d + 1:02}T00:00:00Z", "arm": "new", "units": (100 * d, 101 * d),
         "baseline_value": 0.1, "arm_value": 0.11, "absolute": {"estimate": 0.01, "std_error": 0.01 / d, "lower": 0.01 - 0.02 / d, "upper": 0.01 + 0.02 / d},
         "relative": None, "estimator": "unadjusted", "interval_kind": "anytime", "reason": None}
        for d in range(1, 15)
    )  # fmt: skip
    result = {
        "metric": "conversion",
        "arm": "new",
        "units": 2_000,
        "estimate": 0.01,
        "lower": 0.001,
        "upper": 0.02,
        "meaning": "a",
    }
    record = {"as_of": "2026-09-14T00:00:00Z", "results": [result]}
    earlier = [
        {"as_of": "2026-09-07T00:00:00Z", "results": [result | {"lower": -0.01}]},
        {"as_of": "2026-09-03T00:00:00Z", "results": [result | {"meaning": "another"}]},
    ]
    look = {"method": "group_sequential", "number": 2, "of": 2, "fraction": 1.0, "final": True, "next": None, "replay": False,
            "planned": True, "differences": [], "record": record, "earlier": earlier}  # fmt: skip
    page = render_page(readout(row(tests=(outcome_of(kind="sequential"),)), series=days, look=look))
    text, _ = read(page)
    assert page.count('<line class="day"') == 14
    assert page.count('class="bracket"') == 2  # not the one that was defined otherwise
    assert (
        "leaves 0 aside has crossed a boundary that holds on all days together. No day decides: tests are made at looks."
        in text
    )
    assert "look as of 2026-09-07 2,000 +1.0pp (−1.0 to +2.0)" in text
    assert "2026-09-03 2,000" not in text


def test_days_of_a_guardrail_are_held_against_its_margin():
    day = {"metric": "refund_rate", "day": "2026-09-01", "as_of": "2026-09-02T00:00:00Z", "arm": "new", "units": (9, 9), "baseline_value": 0.02,
           "arm_value": 0.02, "absolute": {"estimate": 0.0, "std_error": 0.001, "lower": -0.002, "upper": 0.002}, "relative": None,
           "estimator": "unadjusted", "interval_kind": "anytime", "reason": None}  # fmt: skip
    design = {"metrics": {"refund_rate": {"type": "proportion", "windows": [], "sizes": SHARE}}}
    page = render_page(readout(REFUNDS, series=(day,), design=design))
    assert (
        "leaves 0, of a guardrail its margin, aside has crossed a boundary that holds on all days together. No day decides: tests are made at the planned end."
        in page
    )
    at_end = {**day, "interval_kind": "marginal", "day": "2026-09-02", "as_of": "2026-09-03T00:00:00Z"}
    said = read(render_page(readout(REFUNDS, series=(day, at_end), design=design)))[0]
    assert "Before the planned end they hold at any time, and are wider for it" in said
    assert "hold at any time" not in render_page(readout(REFUNDS, series=(at_end,), design=design))
    zero = float(re.search(r'<line class="zero" x1="0" x2="100%" y1="([\d.]+)"', page)[1])
    margin = float(re.search(r'<line class="mark margin" x1="0" x2="100%" y1="([\d.]+)"', page)[1])
    upper = float(re.search(r'<line class="day"[^>]*y1="([\d.]+)"', page)[1])
    assert (zero - margin) / (zero - upper) == pytest.approx(
        1.5, abs=0.01
    )  # 0.3 over 0.2 points, above 0 where less is better


def test_whether_an_effect_lasts_is_said_or_named_as_not_tested():
    slope = {"estimate": -0.001, "std_error": 0.0003, "lower": -0.0016, "upper": -0.0004}
    found = {"metric": "conversion", "arm": "new", "days": 14, "slope": slope, "p_value": 0.001, "course": "fades", "reason": None}  # fmt: skip
    text, _ = read(render_page(readout(row(), novelty=(found,))))
    assert "it fades; the daily effect changes by −0.100pp a day (−0.160 to −0.040), p = 0.0010" in text
    assert "(novelty) was not tested" not in text
    assert "(novelty) was not tested" in read(render_page(readout(row())))[0]
