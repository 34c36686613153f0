"""The site as files: links, hostile text, the same bytes every time, nothing that a readout or a profile hides."""

import hashlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import PurePosixPath
from urllib.parse import unquote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from metricdef.analysis.health import outcomes
from metricdef.analysis.metric_tests import Difference
from metricdef.api import Project
from metricdef.compiler.dialects import DIALECTS
from metricdef.reports.site.build import build_site
from metricdef.reports.site.slugs import page_path, slug
from metricdef.reports.site.stored_readouts import read_stored
from tests.reports.site_project import EMOJI, HOSTILE, LONG, OWNERS, RIGHT_TO_LEFT, write_project

VOID = {"meta", "link", "input", "br", "img", "hr"}


class Page(HTMLParser):
    """Tags, links, ids and text of a page; raises where tags don't close."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.links, self.ids, self.text, self.attributes = [], [], [], [], [], []
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name) for name, _ in attrs]
        found = dict(attrs)
        self.links += [found[name] for name in ("href", "src") if name in found]
        self.ids += [found["id"]] if "id" in found else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def build(root, folder=None):
    """The whole site of a project, with the readouts of a folder."""
    project = Project(root).definitions
    return dict(build_site(project, read_stored(project, folder or root / "readouts")))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("site")
    write_project(root)
    return root


@pytest.fixture(scope="module")
def site(root):
    return build(root)


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(text) for path, text in site.items() if path.endswith(".html")}


def test_every_link_leads_somewhere(site, pages):
    for path, page in pages.items():
        assert len(page.ids) == len(set(page.ids)), path
        for link in page.links:
            assert not re.match(r"[a-z]+:", link) or link.startswith("data:,"), f"{path}: {link} leaves the site"
            if link.startswith("data:"):
                continue
            file, _, anchor = link.partition("#")
            target = path if not file else os.path.normpath(PurePosixPath(path).parent / unquote(file))
            assert target in site, f"{path}: {link}"
            assert not anchor or anchor in pages[target].ids, f"{path}: {link}"


def test_every_page_can_be_reached(pages):
    seen, ahead = set(), ["index.html"]
    while ahead:
        path = ahead.pop()
        if path in seen:
            continue
        seen.add(path)
        links = [link.partition("#")[0] for link in pages[path].links]
        ahead += [os.path.normpath(PurePosixPath(path).parent / link) for link in links if link.endswith(".html")]
    assert seen == set(pages)


def test_hostile_text_is_text(site, pages):
    allowed = {"script": {"src", "data-root", "defer"}}
    for path, page in pages.items():
        assert "img" not in page.tags, path
        if path.endswith("-readout.html"):
            assert "script" not in page.tags, path
            continue
        assert {name for tag, name in page.attributes if tag == "script"} <= allowed["script"], path
        assert not {name for _, name in page.attributes if name.startswith("on") or name == "style"}, path
    metric = pages[page_path("metrics", "buyers")].words
    assert "\u202e" in RIGHT_TO_LEFT
    assert HOSTILE in metric
    assert "مرحبا \\u202egnp.exe" in metric
    assert LONG in pages[page_path("metrics", "revenue")].words
    assert EMOJI in pages[page_path("experiments", "looking")].words
    assert not [path for path, text in site.items() if "\u202e" in text]
    for owner in OWNERS:
        assert owner.replace("\u202e", "\\u202e") in pages[page_path("owners", owner)].words


def test_the_index_holds_everything_as_data(site, pages):
    text = site["assets/index.js"]
    entries = json.loads(text.removeprefix("window.METRICDEF_INDEX = ").removesuffix(";\n"))
    assert text.isascii()
    assert {page for *_, page in entries} == {
        path for path in pages if not path.endswith(("index.html", "-readout.html"))
    }
    found = {(kind, name): text for kind, name, _, text, _ in entries}
    assert ("owner", HOSTILE) in found
    assert "in the 3 days after first exposure" in found["metric", "buyers"]


def test_equal_input_gives_equal_bytes(root, site, tmp_path):
    script = (
        "import sys, hashlib, pathlib; from tests.reports.test_site import build\n"
        "for path, text in build(pathlib.Path(sys.argv[1])).items(): print(path, hashlib.sha256(text.encode()).hexdigest())"
    )
    command = [sys.executable, "-c", script, str(root)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"})  # fmt: skip
    assert dict(line.split(" ") for line in ran.stdout.splitlines()) == {
        path: hashlib.sha256(text.encode()).hexdigest() for path, text in site.items()
    }


def test_paths_suit_every_file_system(site):
    folded = [path.casefold() for path in site]
    assert len(folded) == len(set(folded))
    assert all(re.fullmatch(r"([a-z]+/)?[a-z0-9_-]+\.(html|js|css)", path) for path in site)


@given(st.lists(st.text(min_size=1, max_size=200), min_size=2, unique=True))
def test_slugs_differ(names):
    slugs = [slug(name) for name in names]
    assert len({s.casefold() for s in slugs}) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_-]{1,64}", s) and s not in ("index", "con", "nul") for s in slugs)


def test_what_a_readout_holds_back_is_nowhere(root, pages):
    looking = pages[page_path("experiments", "looking")].words
    assert "As of 2026-01-11 00:00 UTC" in looking  # the results are those of the recorded look
    assert "look 2 of 4 lies at 2026-01-19" in looking
    early = pages[page_path("experiments", "early")]
    assert "results" not in early.ids
    assert "exposures" in early.ids
    assert "experiments/early-readout.html" not in pages
    assert "2026-01-15" not in pages["experiments/looking-readout.html"].words


def test_a_stricter_protocol_hides_what_an_older_readout_shows(root, tmp_path):
    """The file was written before the hold was declared, or before the design had looks."""
    folder = tmp_path / "readouts"
    folder.mkdir()
    document = json.loads((root / "readouts" / "won.json").read_text())
    assert "zero_denominators" in {row["check"] for row in document["health"]}
    for name, as_of in (("early", "2026-01-04T00:00:00Z"), ("looking", "2026-01-20T00:00:00Z")):
        changed = {**document, "experiment": name, "as_of": as_of}
        (folder / f"{name}.json").write_text(json.dumps(changed))
    site = build(root, folder)
    assert document["decision"]["because"]
    for name in ("early", "looking"):
        words = Page(site[page_path("experiments", name)]).words
        assert "the protocol holds the results of this readout back by now" in words
        assert not [reason for reason in document["decision"]["because"] if reason in words]
        assert "zero_denominators" not in words
        assert "results" not in Page(site[page_path("experiments", name)]).ids, name
        assert f"experiments/{name}-readout.html" not in site
    assert "no results" in Page(site[page_path("metrics", "buyers")]).words
    (folder / "early.json").write_text(json.dumps({**document, "experiment": "early", "as_of": "2026-01-08T00:00:00Z"}))
    site = build(root, folder)
    assert "results" in Page(site[page_path("experiments", "early")]).ids


def test_every_check_that_shows_results_is_known_as_such():
    made = re.findall(r'HealthRow\(\s*"(\w+)"', inspect.getsource(outcomes))
    assert sorted(set(made)) == sorted(outcomes.OUTCOME_CHECKS)


def test_files_that_are_no_readouts_are_named(pages):
    words = pages["index.html"].words
    assert "broken.json is not JSON" in words
    assert "is not a readout of this version: its `schema` is `another`" in words


def test_without_readouts_nothing_is_invented(root, tmp_path):
    site = build(root, tmp_path / "nowhere")
    words = Page(site["index.html"]).words
    assert (
        "No readout on disk has a trusted result of a primary metric of any of the 3 decided experiments: nothing is summarised"
        in words
    )
    assert "%" not in words.partition("What the decided experiments say together")[2]
    assert "There is no readout of it." in Page(site[page_path("experiments", "won")]).words


def test_profiles_are_nowhere(root, tmp_path):
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "metrics" / "project.yml"
    settings = yaml.safe_load(path.read_text())
    settings["profiles"]["prod"] = {"type": "postgres", "host": "db.internal.example", "user": "svc_reader", "password": "${PG_SECRET_NAME}"}  # fmt: skip
    path.write_text(yaml.dump(settings))
    for page, text in build(tmp_path).items():
        for secret in ("db.internal.example", "svc_reader", "PG_SECRET_NAME", str(tmp_path), "ada@example.org"):
            assert secret not in text, page


def test_an_experiment_says_what_was_planned_and_what_became_of_it(root, pages):
    won = pages[page_path("experiments", "won")]
    document = json.loads((root / "readouts" / "won.json").read_text())
    for arm in document["arms"]:
        assert f"{arm['units']:,}" in won.words
    assert "Enrolment from 2026-01-01 until before 2026-02-01" in won.words
    assert "decided on 2026-03-01: treatment" in won.words
    assert "It sells." in won.words
    assert "locked" in won.words
    assert document["provenance"]["protocol"] in won.words
    assert "other protocol" not in won.words
    assert "Not decided yet." in pages[page_path("experiments", "ended")].words
    assert "other protocol" not in pages[page_path("experiments", "ended")].words


def test_a_readout_of_another_protocol_is_marked(root, tmp_path):
    folder = tmp_path / "readouts"
    folder.mkdir()
    document = json.loads((root / "readouts" / "won.json").read_text())
    document["provenance"]["protocol"] = "0" * 16
    (folder / "won.json").write_text(json.dumps(document))
    site = build(root, folder)
    assert "made under another protocol" in Page(site[page_path("experiments", "won")]).words


def test_a_broken_record_is_said_and_stops_nothing(root, tmp_path):
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "metrics" / ".record" / "looking.jsonl"
    path.write_text(path.read_text().replace('"lock"', '"look"', 1))
    words = Page(build(tmp_path)[page_path("experiments", "looking")]).words
    assert "the record of experiment `looking` was changed" in words
    assert "Nothing is recorded." in words


@pytest.mark.parametrize("text", ["{", '{"version": 1, "experiments": {"looking": {"states": []}}}'])
def test_a_broken_lock_file_is_said_and_stops_nothing(root, tmp_path, text):
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    (tmp_path / "metrics" / ".protocol.lock.json").write_text(text)
    words = Page(build(tmp_path)[page_path("experiments", "looking")]).words
    assert "the lock file cannot be used" in words or "was edited by hand" in words


def test_a_metric_has_its_experiments_tests_and_lineage(pages):
    page = pages[page_path("metrics", "orders_per_user")].words
    assert "counts_orders" in page
    assert "Used by 6 experiments" in page
    assert "Part of order_value" in page
    assert "3 days after first exposure" in page
    unused = pages[page_path("metrics", "unused")].words
    assert "as no experiment uses it" in unused
    assert "largest (amount) of rows of orders" in unused
    assert all(dialect in unused for dialect in DIALECTS)


def test_a_segment_and_a_metric_set_have_pages(site, pages):
    segment, money = pages[page_path("segments", "on_the_web")], pages[page_path("sets", "money_back")]
    assert "Units with rows of assignments where platform = 'web', at first exposure." in segment.words
    assert "refunds guardrail margin 1pp" in money.words
    for page in (segment, money):
        assert f"../{page_path('experiments', 'planned')}" in page.links
        assert "2026-01-01 added" in page.words
        assert HOSTILE in page.words
    assert f"../{page_path('segments', 'on_the_web')}" in pages[page_path("sources", "assignments")].links
    assert '["metric set", "money_back"' in site["assets/index.js"]


def test_unit_tests_say_whether_they_ran_and_what_they_gave(root, pages):
    path = page_path("metrics", "orders_per_user")
    assert "As they are defined, not run" in pages[path].words
    project = Project(root)
    (passed,) = project.test()
    other = Difference("arm", "control", "sum", 1.0, 2.0, passed.place, "expect", 0)
    stored = read_stored(project.definitions, root / "nowhere")
    for result, said in (
        (passed, "passed counts_orders"),
        (replace(passed, status="failed", differences=(other,)), "failed counts_orders"),
    ):
        page = Page(dict(build_site(project.definitions, stored, tested=[result]))[path]).words
        assert said in page and "not run" not in page
        assert ("arm control sum 1 2" in page) == (result.status == "failed")


def test_history_comes_from_git(pages):
    refunds = pages[page_path("metrics", "refunds")].words
    assert "2026-01-02 changed: filter" in refunds
    assert "2026-01-03 added" in pages[page_path("metrics", "late")].words
    assert "one more metric" in pages[page_path("metrics", "late")].words
    assert "refunds in a list" not in pages[page_path("metrics", "late")].words


def test_experiments_on_the_same_units_are_not_taken_as_independent(root, pages, tmp_path):
    """The corrections count a population, and a part of it that was picked afterwards, as two experiments."""
    warning = "read the same exposures, so what they found is partly one thing counted twice"
    assert f"kept, won {warning}" in pages["index.html"].words
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "metrics" / "part_2.yml"
    before, after = path.read_text().split("  won:", 1)
    assert "key: test" in after
    path.write_text(f"{before}  won:{after.replace('key: test', 'key: another', 1)}")
    assert warning not in Page(build(tmp_path)["index.html"]).words
