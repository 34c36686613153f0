"""Typical pull requests to a shop's definitions: the class of each, the experiments it reaches, and the exit code.

No change of spelling may count as a change of results, and none of results may be missed: what is expected was written down by
hand, and beside it the compiled SQL of every experiment is compared.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from metricdef.api import Project
from metricdef.cli.main import main
from metricdef.definitions.load import load_project
from metricdef.review.revisions import find_revision, load_revision
from metricdef.review.sql_changes import sql_changes
from tests.review.shop_repository import Change, git, write_repository

META, ADDS, RENAME, RESULTS = "metadata", "additive", "rename", "result-changing"
DEVIATES, BREAKS = "protocol deviation", "breaking"

SHOP, SOURCES = "metrics/shop.yml", "sources/shop.yml"
CHECKOUT, SEARCH, BANNER, RANKING = (f"experiments/{name}.yml" for name in ("checkout", "search", "banner", "ranking"))
ORDERS_READERS = ("primary conversion", "primary revenue", "secondary order_value", "guardrail refund_rate")
ALL = "all"
ANYTHING: dict = {"anything": ""}


@dataclass
class PullRequest:
    """What is edited, and what is expected: classes of definitions, experiments with what is touched, the exit code."""

    name: str
    edit: Callable[[Change], object]
    change: str | None
    items: dict[str, str] = field(default_factory=dict)
    experiments: dict[str, tuple[str, str | tuple[str, ...]]] = field(default_factory=dict)
    exit_code: int = 0
    missing: tuple[str, ...] = ()  # amendments that nobody wrote
    note: str = ""
    same_sql: bool = True  # of experiments that are not reached; a query is in the SQL of all that read its source


def amended(change: Change, what: str, name: str = CHECKOUT) -> Change:
    path = change.root / "metrics" / name
    entry = f"    amendments:\n      - {{on: 2026-01-10, by: me, what: '{what}', why: Agreed.}}\n"
    path.write_text(path.read_text() + entry)
    return change


def renamed(change: Change, declare: bool = True, references: bool = True) -> Change:
    old = "renamed_from: conversion\n    " if declare else ""
    change.edit(SHOP, "  conversion:\n    ", f"  purchase:\n    {old}")
    if references:
        change.edit(CHECKOUT, "conversion: {mde", "purchase: {mde")
        change.edit("tests/shop.yml", "metric: conversion", "metric: purchase")
    return change


CAP = "metrics.revenue.cap.upper p99.5 -> p99"
MARGIN = "experiment.metrics.guardrail.refund_rate.margin 0.5pp -> 1pp"
VISITS = "select user_id, started_at, page, seconds, device\n      from sessions\n      where not is_bot"
NEW_EXPERIMENT = """\
experiments:
  badges:
    owners: [growth]
    status: draft
    hypothesis: Badges help.
    exposure: {source: assignments}
    arms: {control: {}, badges: {}}
    start: 2026-05-01
    end: 2026-06-01
    metrics:
      primary:
        order_count: {mde: 5%}
"""

PULL_REQUESTS = [
    # --- nothing that means anything
    PullRequest("comments and blank lines", lambda c: c.edit(SHOP, "  order_value:\n", "\n  # Per order.\n  order_value:\n"), None),
    PullRequest(
        "order of keys",
        lambda c: c.edit(SHOP, "    type: mean\n    source: orders\n    agg: sum\n    measure: net\n", "    measure: net\n    agg: sum\n    source: orders\n    type: mean\n"),
        None,
    ),
    PullRequest("quotes and flow style", lambda c: c.edit(SHOP, "  page_views: {type: mean, source: visits, agg: count, direction: increase}\n", "  page_views:\n    type: 'mean'\n    source: \"visits\"\n    agg: count\n    direction: increase\n"), None),
    PullRequest("a duration in weeks", lambda c: c.edit(SHOP, "window: 7d", "window: 1w"), None),
    PullRequest("a default written out", lambda c: c.edit(CHECKOUT, "    start:", "    unit: user\n    baseline: control\n    start:"), META, {"experiment checkout": META}),
    PullRequest("a condition as a list", lambda c: c.edit(SHOP, "filter: [page = 'search', seconds > 5]", "filter: seconds > 5 AND page = 'search'"), None, same_sql=False),
    PullRequest("SQL of an expression reformatted", lambda c: c.edit(SOURCES, "case when status = 'paid' then 1 else 0 end", "CASE WHEN status='paid'  THEN 1 ELSE 0 END"), None),
    PullRequest(
        "SQL of a source reformatted",
        lambda c: c.edit(SOURCES, VISITS, "-- people only\n      SELECT\n        user_id, started_at,\n        page, seconds,\n        device\n      FROM sessions WHERE NOT is_bot;"),
        None,
    ),
    PullRequest("laid out by fmt", lambda c: main(["fmt", "--project", str(c.root), "--quiet"]), None),
    PullRequest("a file moved", lambda c: c.write("metrics/all/old.yml", (c.root / "metrics" / SHOP).read_text()).write(SHOP, None), None),
    PullRequest("a file split", lambda c: c.edit(SHOP, "metric_sets:\n  health:\n    guardrail:\n      refund_rate: {margin: 0.5pp}\n", "").write("sets.yml", "metric_sets:\n  health:\n    guardrail:\n      refund_rate: {margin: 0.5pp}\n"), None),
    # --- words
    PullRequest("a description", lambda c: c.edit(SHOP, "Placed a paid order.", "Paid for something."), META, {"metric conversion": META}),
    PullRequest("label, owner and tags", lambda c: c.edit(SHOP, "  revenue:\n", "  revenue:\n    label: Revenue\n    owner: finance\n    tags: [money]\n"), META, {"metric revenue": META}),
    PullRequest("the owner of a running experiment", lambda c: c.edit(CHECKOUT, "owners: [growth]", "owners: [checkout-team]"), META, {"experiment checkout": META}),
    PullRequest("an experiment starts", lambda c: c.edit(SEARCH, "status: draft", "status: running"), META, {"experiment search": META}, note="search: draft before, running now"),
    PullRequest(
        "an experiment is decided",
        lambda c: c.edit(CHECKOUT, "status: running", "status: decided\n    outcome: {decided: 2026-03-01, arm: one_page}"),
        META,
        {"experiment checkout": META},
    ),
    PullRequest("an outage noted as an amendment", lambda c: amended(c, "Logging was down on 5 January."), META, {"experiment checkout": META}),
    PullRequest("a profile", lambda c: c.edit("project.yml", "profiles:\n", "profiles:\n  prod: {type: duckdb, path: '${SHOP}'}\n"), META, {"project.yml": META}),
    PullRequest("a test of a metric", lambda c: c.edit("tests/shop.yml", "sum: 1}", "sum: 2}"), META, {"test one_order": META}),
    PullRequest("a metric that nothing uses is removed", lambda c: c.edit(SHOP, "  products: {type: mean, source: orders, agg: count_distinct, measure: product, direction: increase}\n", ""), META, {"metric products": META}),
    PullRequest("a draft is removed", lambda c: c.write(SEARCH, None), META, {"experiment search": META}, {"search": (META, ALL)}),
    # --- new things
    PullRequest("a new metric", lambda c: c.edit(SHOP, "metric_sets:", "  units: {type: mean, source: orders, agg: count, direction: increase}\nmetric_sets:"), ADDS, {"metric units": ADDS}),
    PullRequest("a new experiment", lambda c: c.write("experiments/badges.yml", NEW_EXPERIMENT), ADDS, {"experiment badges": ADDS}, {"badges": (ADDS, ALL)}),
    PullRequest(
        "a guardrail on a draft",
        lambda c: c.edit(SEARCH, "searches: {mde: 5%}\n", "searches: {mde: 5%}\n      guardrail:\n        conversion: {margin: 1%}\n"),
        ADDS,
        {"experiment search": ADDS},
        {"search": (ADDS, ("guardrail conversion",))},
    ),
    PullRequest("a breakdown on a draft", lambda c: c.edit(SEARCH, "    metrics:\n", "    analysis: {breakdowns: [platform]}\n    metrics:\n"), ADDS, {"experiment search": ADDS}, {"search": (ADDS, ALL)}),
    PullRequest("a new measure", lambda c: c.edit(SOURCES, "      net: amount - discount\n", "      net: amount - discount\n      gross: amount\n"), ADDS, {"source orders": ADDS}),
    PullRequest("a new column of a query", lambda c: c.edit(SOURCES, "seconds, device", "seconds, device, referrer"), ADDS, {"source visits": ADDS}, same_sql=False),
    PullRequest("a column of a query that nothing reads", lambda c: c.edit(SOURCES, "seconds, device", "seconds, lower(device) as device"), ADDS, {"source visits": ADDS}, same_sql=False),
    PullRequest("a measure that nothing uses", lambda c: c.edit(SHOP, "  products: {type: mean, source: orders, agg: count_distinct, measure: product, direction: increase}\n", "").edit(SOURCES, "product: product_id", "product: sku"), META, {"metric products": META, "source orders": META}),
    PullRequest("a dimension that is the column of its name", lambda c: c.edit(SOURCES, "    measures: {seconds: seconds}\n", "    measures: {seconds: seconds}\n    dimensions: [page, device]\n"), ADDS, {"source visits": ADDS}),
    # --- names
    PullRequest("a metric renamed", renamed, RENAME, {"metric purchase": RENAME, "test one_order": META}, same_sql=False),
    PullRequest("renamed without saying so", lambda c: renamed(c, declare=False), BREAKS, {"metric conversion": BREAKS, "metric purchase": ADDS, "test one_order": META, "experiment checkout": DEVIATES}, {"checkout": (DEVIATES, ALL)}, 1, missing=("experiment.metrics.primary.conversion {mde: 2%} -> none", "experiment.metrics.primary.purchase none -> {mde: 2%}", "metrics.conversion", "metrics.purchase")),
    PullRequest("renamed, and still named by its old name", lambda c: renamed(c, references=False), BREAKS, {"metric purchase": BREAKS}, {"checkout": (BREAKS, ALL)}, 1),
    PullRequest(
        "renamed and changed",
        lambda c: renamed(c).edit(SHOP, "filter: is_paid = 1", "filter: is_paid = 0"),
        DEVIATES,
        {"metric purchase": DEVIATES, "test one_order": META},
        {"checkout": (DEVIATES, ("primary purchase",))},
        1,
        missing=("metrics.purchase.filter [is_paid = 1] -> [is_paid = 0]",),
    ),
    PullRequest("a locked metric renamed", lambda c: c.edit(SHOP, "  long_visits:\n", "  stays:\n    renamed_from: long_visits\n").edit(RANKING, "long_visits:", "stays:"), RENAME, {"metric stays": RENAME}, same_sql=False),
    # --- numbers
    PullRequest(
        "the cap of a running primary",
        lambda c: c.edit(SHOP, "p99.5", "p99"),
        DEVIATES,
        {"metric revenue": DEVIATES},
        {"checkout": (DEVIATES, ("primary revenue", "secondary order_value"))},
        1,
        missing=(CAP,),
    ),
    PullRequest("the cap, amended", lambda c: amended(c.edit(SHOP, "p99.5", "p99"), CAP), DEVIATES, {"metric revenue": DEVIATES, "experiment checkout": META}, {"checkout": (DEVIATES, ("primary revenue", "secondary order_value"))}),
    PullRequest(
        "the cap, and an amendment of something else",
        lambda c: amended(c.edit(SHOP, "p99.5", "p99"), "metrics.revenue.cap.upper p99.5 -> p98"),
        DEVIATES,
        {"metric revenue": DEVIATES, "experiment checkout": META},
        {"checkout": (DEVIATES, ("primary revenue", "secondary order_value"))},
        1,
        missing=(CAP,),
        note="checkout: an amendment names `metrics.revenue.cap.upper p99.5 -> p98`, which is no change made here",
    ),
    PullRequest("a secondary metric of a decided experiment", lambda c: c.edit(SHOP, "agg: active_days,", "agg: active_days, per: day,"), RESULTS, {"metric visit_days": RESULTS}, {"banner": (RESULTS, ("secondary visit_days",))}),
    PullRequest(
        "the primary of a decided experiment",
        lambda c: c.edit(SHOP, "  page_views: {type: mean, source: visits,", "  page_views: {type: mean, source: visits, filter: seconds > 0,"),
        DEVIATES,
        {"metric page_views": DEVIATES},
        {"banner": (DEVIATES, ("primary page_views",)), "checkout": (RESULTS, ("secondary page_views",))},
        1,
        missing=("metrics.page_views.filter none -> [seconds > 0]",),
    ),
    PullRequest("the metric of a draft", lambda c: c.edit(SHOP, "seconds > 5]", "seconds > 9]"), RESULTS, {"metric searches": RESULTS}, {"search": (RESULTS, ALL)}),
    PullRequest("a metric that no experiment uses", lambda c: c.edit(SHOP, "measure: product, ", "measure: product, window: 7d, "), RESULTS, {"metric products": RESULTS}),
    PullRequest(
        "a shared measure",
        lambda c: c.edit(SOURCES, "net: amount - discount", "net: amount"),
        DEVIATES,
        {"source orders": DEVIATES},
        {"checkout": (DEVIATES, ("primary revenue", "secondary order_value"))},
        1,
        missing=("sources.orders.measures.net amount - discount -> amount",),
    ),
    PullRequest("a dimension that a filter names", lambda c: c.edit(SOURCES, "case when status = 'paid' then 1", "case when status = 'open' then 1"), DEVIATES, {"source orders": DEVIATES}, {"checkout": (DEVIATES, ("primary conversion",))}, 1, missing=("sources.orders.dimensions.is_paid",)),
    PullRequest("the filter of a source", lambda c: c.edit(SOURCES, "filter: not is_test", "filter: [not is_test, amount > 0]"), DEVIATES, {"source orders": DEVIATES}, {"checkout": (DEVIATES, ORDERS_READERS)}, 1, missing=("sources.orders.filter",)),
    PullRequest(
        "the query of a source",
        lambda c: c.edit(SOURCES, "where not is_bot", "where not is_bot and seconds > 0"),
        DEVIATES,
        {"source visits": DEVIATES},
        {"checkout": (DEVIATES, ALL), "banner": (DEVIATES, ALL), "ranking": (DEVIATES, ALL), "search": (RESULTS, ALL)},
        1,
        missing=("sources.visits.sql",) * 3,
    ),
    PullRequest(
        "a column of a query that one metric reads",
        lambda c: c.edit(SOURCES, "page, seconds,", "page, seconds / 2 as seconds,"),
        DEVIATES,
        {"source visits": DEVIATES},
        {"ranking": (DEVIATES, ALL), "search": (RESULTS, ALL)},
        1,
        missing=("sources.visits.sql",),
        same_sql=False,
    ),
    PullRequest("the window of a locked primary", lambda c: c.edit(SHOP, "window: 7d", "window: 14d"), DEVIATES, {"metric long_visits": DEVIATES}, {"ranking": (DEVIATES, ALL)}, 1, missing=("metrics.long_visits.window 7d -> 14d",)),
    PullRequest(
        "the project's window",
        lambda c: c.edit("project.yml", "window: 14d", "window: 21d"),
        DEVIATES,
        {"project.yml": DEVIATES},
        {"checkout": (DEVIATES, ALL), "banner": (DEVIATES, ALL), "search": (RESULTS, ALL)},
        1,
        missing=("project.defaults.window 14d -> 21d",) * 2,
    ),
    PullRequest(
        "the project's covariates",
        lambda c: c.edit("project.yml", "lookback: 14d", "lookback: 28d"),
        DEVIATES,
        {"project.yml": DEVIATES},
        {"checkout": (DEVIATES, ALL), "banner": (DEVIATES, ALL), "search": (RESULTS, ALL)},
        1,
        missing=("experiment.analysis.covariates.lookback 14d -> 28d",) * 2,
    ),
    PullRequest(
        "the project's time zone",
        lambda c: c.edit("project.yml", "  unit: user\n", "  unit: user\n  timezone: Europe/Berlin\n"),
        DEVIATES,
        {"project.yml": DEVIATES},
        {"checkout": (DEVIATES, ALL), "banner": (DEVIATES, ALL), "ranking": (DEVIATES, ALL), "search": (RESULTS, ALL)},
        1,
        missing=("project.defaults.timezone UTC -> Europe/Berlin",) * 3,
    ),
    PullRequest("the unit of a source", lambda c: c.edit(SOURCES, "    table: orders\n    timestamp: ordered_at\n    entities: {user: user_id}", "    table: orders\n    timestamp: ordered_at\n    entities: {user: buyer_id}"), DEVIATES, {"source orders": DEVIATES}, {"checkout": (DEVIATES, ORDERS_READERS)}, 1, missing=("sources.orders.entities.user user_id -> buyer_id",)),
    PullRequest("a segment", lambda c: c.edit(SOURCES, "age >= 18", "age >= 21"), DEVIATES, {"segment adults": DEVIATES}, {"checkout": (DEVIATES, ALL)}, 1, missing=("segments.adults.filter [age >= 18] -> [age >= 21]",)),
    # --- protocols
    PullRequest("shares after the start", lambda c: c.edit(CHECKOUT, "control: {share: 50%}\n      one_page: {share: 50%}", "control: {share: 20%}\n      one_page: {share: 80%}"), DEVIATES, {"experiment checkout": DEVIATES}, {"checkout": (DEVIATES, ALL)}, 1, missing=("experiment.arms.control.share 50% -> 20%", "experiment.arms.one_page.share 50% -> 80%")),
    PullRequest("no population any more", lambda c: c.edit(CHECKOUT, "    population: [adults]\n", ""), DEVIATES, {"experiment checkout": DEVIATES}, {"checkout": (DEVIATES, ALL)}, 1, missing=("experiment.population [adults] -> none", "segments {adults:", "sources.users")),
    PullRequest("a population of a draft", lambda c: c.edit(SEARCH, "    arms:", "    population: [adults]\n    arms:"), RESULTS, {"experiment search": RESULTS}, {"search": (RESULTS, ALL)}),
    PullRequest("shares of a draft", lambda c: c.edit(SEARCH, "control: {share: 50%}, suggest: {share: 50%}", "control: {share: 20%}, suggest: {share: 80%}"), RESULTS, {"experiment search": RESULTS}, {"search": (RESULTS, ALL)}),
    PullRequest("a guardrail while it runs", lambda c: c.edit(CHECKOUT, "      sets: [health]", "      guardrail:\n        order_count: {margin: 1%}\n      sets: [health]"), DEVIATES, {"experiment checkout": DEVIATES}, {"checkout": (DEVIATES, ("guardrail order_count",))}, 1, missing=("experiment.metrics.guardrail.order_count none -> {margin: 1%}",)),
    PullRequest("a margin in a set", lambda c: c.edit(SHOP, "margin: 0.5pp", "margin: 1pp"), DEVIATES, {"metric set health": DEVIATES}, {"checkout": (DEVIATES, ("guardrail refund_rate",))}, 1, missing=(MARGIN,)),
    PullRequest("a metric moves from a set to the experiment", lambda c: c.edit(CHECKOUT, "      sets: [health]", "      guardrail:\n        refund_rate: {margin: 0.5pp}"), META, {"experiment checkout": META}),
    PullRequest("the end", lambda c: c.edit(CHECKOUT, "end: 2026-02-01", "end: 2026-02-15"), DEVIATES, {"experiment checkout": DEVIATES}, {"checkout": (DEVIATES, ALL)}, 1, missing=("experiment.end 2026-02-01 -> 2026-02-15",)),
    PullRequest("the hold", lambda c: c.edit(CHECKOUT, "hold: 3d", "hold: 1d"), DEVIATES, {"experiment checkout": DEVIATES}, {"checkout": (DEVIATES, ALL)}, 1, missing=("experiment.validation.hold 3d -> 1d",)),
    PullRequest("the looks", lambda c: c.edit(RANKING, "[21d, 38d]", "[10d, 21d, 38d]"), DEVIATES, {"experiment ranking": DEVIATES}, {"ranking": (DEVIATES, ALL)}, 1, missing=("experiment.analysis.sequential.looks [21d, 38d] -> [10d, 21d, 38d]",)),
    PullRequest("back to a draft, and other shares", lambda c: c.edit(CHECKOUT, "status: running", "status: draft").edit(CHECKOUT, "one_page: {share: 50%}", "one_page: {share: 20%}").edit(CHECKOUT, "control: {share: 50%}", "control: {share: 80%}"), DEVIATES, {"experiment checkout": DEVIATES}, {"checkout": (DEVIATES, ALL)}, 1, missing=("experiment.arms.control.share 50% -> 80%", "experiment.arms.one_page.share 50% -> 20%")),
    PullRequest("an amended look plan, locked again", lambda c: Project(amended(c.edit(RANKING, "[21d, 38d]", "[14d, 38d]"), "experiment.analysis.sequential.looks [21d, 38d] -> [14d, 38d]", RANKING).root).lock("ranking"), DEVIATES, {"experiment ranking": DEVIATES}, {"ranking": (DEVIATES, ALL)}),
    PullRequest("an entry of the lock file removed", lambda c: c.write(".protocol.lock.json", None), None, {}, {}, 1),
    # --- broken
    PullRequest("a metric removed that is in use", lambda c: c.edit(SHOP, "  order_count: {type: mean, source: orders, agg: count, direction: increase}\n", ""), BREAKS, {"metric order_count": BREAKS}, {"checkout": (BREAKS, ALL)}, 1),
    PullRequest("a source removed that is in use", lambda c: c.edit(SOURCES, "  users:\n    kind: attributes\n    table: users\n    entities: {user: user_id}\n    valid_from: recorded_at\n    dimensions: [age]\n", ""), BREAKS, {"source users": BREAKS}, {"checkout": (BREAKS, ALL)}, 1),
    PullRequest("a running experiment removed", lambda c: c.write(CHECKOUT, None), BREAKS, {"experiment checkout": BREAKS}, {"checkout": (BREAKS, ALL)}, 1),
    PullRequest("a metric that does not load", lambda c: c.edit(SHOP, "agg: count_distinct", "agg: distinct"), BREAKS, {"metric products": BREAKS}, {}, 1),
    PullRequest("a condition that is no SQL", lambda c: c.edit(SHOP, "filter: is_paid = 1", "filter: is_paid = = 1"), DEVIATES, {"metric conversion": DEVIATES}, {"checkout": (DEVIATES, ("primary conversion",))}, 1, missing=("metrics.conversion.filter", "sources.orders.dimensions.is_paid")),
    PullRequest("a threshold without its limit", lambda c: c.edit(SHOP, "    at_least: 60\n", ""), BREAKS, {"metric long_visits": BREAKS}, {"ranking": (BREAKS, ALL)}, 1),
    PullRequest("a ratio of itself", lambda c: c.edit(SHOP, "    numerator: revenue\n", "    numerator: order_value\n"), BREAKS, {"metric order_value": BREAKS}, {"checkout": (BREAKS, ALL)}, 1),
    PullRequest("everything gone but the settings", lambda c: [c.write(name, None) for name in (SHOP, SOURCES, CHECKOUT, SEARCH, BANNER, RANKING, "tests/shop.yml")], BREAKS, ANYTHING, ANYTHING, 1),
]  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return write_repository(tmp_path_factory.mktemp("shop") / "repository")


@pytest.fixture
def repository(shop, tmp_path):
    return shutil.copytree(shop, tmp_path / "repository")


def planned(root, capsys, *options: str) -> tuple[int, dict]:
    code = main(["plan", "--project", str(root), "--format", "json", "--quiet", *options])
    return code, json.loads(capsys.readouterr().out)


def key(found: dict) -> str:
    return "project.yml" if found["kind"] == "project" else f"{found['kind']} {found['name']}"


@pytest.mark.parametrize("pull_request", PULL_REQUESTS, ids=[p.name for p in PULL_REQUESTS])
def test_a_pull_request(repository, capsys, pull_request):
    pull_request.edit(Change(repository))
    assert git(repository, "status", "--porcelain"), "nothing was edited"
    capsys.readouterr()  # what other commands printed
    before = git(repository, "status", "--porcelain")
    code, found = planned(repository, capsys)
    touched = {
        e["experiment"]: (e["class"], ALL if e["whole"] else tuple(f"{m['role']} {m['metric']}" for m in e["metrics"]))
        for e in found["experiments"]
    }
    missing = [d["what"] for e in found["experiments"] for d in e["deviations"] if not d["covered"]]
    if pull_request.items is not ANYTHING:
        assert {key(item): item["class"] for item in found["changes"]} == pull_request.items
        assert touched == pull_request.experiments
    assert (found["class"], code, found["blocked"]) == (pull_request.change, pull_request.exit_code, bool(code))
    assert len(missing) == len(pull_request.missing), missing
    assert all(
        what.startswith(start) for what, start in zip(sorted(missing), sorted(pull_request.missing), strict=True)
    )
    assert pull_request.note in " ".join(found["notes"])
    assert git(repository, "status", "--porcelain") == before
    if pull_request.same_sql:
        reached = {name for name, (change, _) in touched.items() if change in (ADDS, RESULTS, DEVIATES)}
        assert experiments_with_other_sql(repository) - reached == set()


def experiments_with_other_sql(repository) -> set[str]:
    """The compiler as a witness: another SQL is another result."""
    after = load_project(repository)
    if after.errors:
        return set()
    with load_revision(repository, find_revision(repository, None)) as base:
        assert base is not None
        assert base.project is not None
        assert after.project is not None
        return {c.experiment for c in sql_changes(base.project, after.project, base.project.experiments, "duckdb", {})}


def test_there_are_enough_pull_requests():
    assert len(PULL_REQUESTS) >= 60
    assert len({p.name for p in PULL_REQUESTS}) == len(PULL_REQUESTS)


# --- the base -------------------------------------------------------------------------------------------------------------


def test_a_base_whose_definitions_did_not_load_is_said(repository, capsys):
    change = Change(repository).edit(SHOP, "agg: count_distinct", "agg: distinct")
    git(repository, "commit", "--quiet", "-am", "broken")
    git(repository, "branch", "--force", "main", "change")
    change.edit(SHOP, "agg: distinct", "agg: count_distinct")
    code, found = planned(repository, capsys)
    assert code == 0
    assert "have 1 error (metrics/metrics/shop.yml:" in found["notes"][0]
    assert [(key(item), item["class"], item["why"]) for item in found["changes"]] == [
        ("metric products", RESULTS, "did not load at the base")
    ]


@pytest.mark.parametrize(
    ("broken", "edit", "what"),
    [
        ("type: threshold", ("spending: obrien_fleming", "spending: pocock"), "experiment.analysis.sequential.spending obrien_fleming -> pocock"),
        ("type: threshold", ("newest: {share: 50%}", "newest: {share: 50%, key: new}"), "experiment.arms.newest.key newest -> new"),
        ("numerator: revenue", None, None),
    ],
)  # fmt: skip
def test_a_base_whose_metric_did_not_load_frees_no_protocol(repository, capsys, broken, edit, what):
    """The lock at the base, and the experiment's own file there, hold also where its results could not be computed."""
    change = Change(repository).edit(SHOP, broken, "type: nothing")
    git(repository, "commit", "--quiet", "-am", "broken")
    git(repository, "branch", "--force", "main", "change")
    change.edit(SHOP, "type: nothing", broken)
    if edit:
        change.edit(RANKING, *edit)
    else:
        change.edit(CHECKOUT, "one_page: {share: 50%}", "one_page: {share: 50%, key: new}")
        what = "experiment.arms.one_page.key one_page -> new"
    code, found = planned(repository, capsys)
    (deviation,) = [d for e in found["experiments"] for d in e["deviations"]]
    assert (code, deviation["what"], deviation["covered"]) == (1, what, False)


def test_a_base_that_cannot_be_read_at_all_blocks(repository, capsys):
    Change(repository).edit("project.yml", "version: 1", "version: [")
    git(repository, "commit", "--quiet", "-am", "broken")
    git(repository, "branch", "--force", "main", "change")
    Change(repository).edit("project.yml", "version: [", "version: 1")
    code, found = planned(repository, capsys)
    assert (code, found["blocked"]) == (1, True)
    assert "can't be read (metrics/project.yml:" in found["blockers"][0]
    assert main(["plan", "--project", str(repository), "--quiet", "--fail-on", "never"]) == 0
    assert capsys.readouterr().out.startswith("blocked: the definitions before can't be read")


def test_a_project_that_is_new(repository, capsys):
    tree = git(repository, "hash-object", "-w", "-t", "tree", "/dev/null")
    empty = git(repository, "commit-tree", tree, "-m", "nothing yet")
    code, found = planned(repository, capsys, "--base", empty)
    assert code == 0
    assert found["notes"][0].startswith("there was no project at")
    assert {item["class"] for item in found["changes"] if item["kind"] != "test"} == {ADDS}
    main(["plan", "--project", str(repository), "--quiet", "--base", empty])
    assert capsys.readouterr().out.startswith("additive: a first project, there is nothing to compare it with")


def test_changes_that_others_made_to_the_base_since_are_not_ours(repository, capsys):
    git(repository, "checkout", "--quiet", "main")
    Change(repository).edit(SHOP, "p99.5", "p98")
    git(repository, "commit", "--quiet", "-am", "theirs")
    git(repository, "checkout", "--quiet", "change")
    assert planned(repository, capsys, "--base", "main")[1]["class"] is None


@pytest.mark.parametrize(
    ("base", "message"), [("no-such-branch", "there is no commit `no-such-branch`"), ("--output=x", "there is no commit `--output=x`")]
)  # fmt: skip
def test_a_base_that_is_not_there(repository, capsys, base, message):
    assert main(["plan", "--project", str(repository), f"--base={base}", "--quiet"]) == 2
    assert message in capsys.readouterr().err


def test_outside_a_repository(repository, capsys):
    shutil.rmtree(repository / ".git")
    assert main(["plan", "--project", str(repository), "--quiet"]) == 2
    assert "is in no git repository" in capsys.readouterr().err


def test_a_clone_that_holds_too_little(repository, tmp_path, capsys):
    Change(repository).edit(SHOP, "p99.5", "p99")
    git(repository, "commit", "--quiet", "-am", "a change")
    git(repository, "checkout", "--quiet", "main")
    Change(repository).edit(SHOP, "Placed a paid order.", "Paid.")
    git(repository, "commit", "--quiet", "-am", "meanwhile")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", "--branch=change", f"file://{repository}", str(clone))
    assert main(["plan", "--project", str(clone), "--quiet"]) == 2
    assert "fetch-depth: 0" in capsys.readouterr().err
    git(clone, "fetch", "--quiet", "--depth=1", "origin", "main:refs/remotes/origin/main")
    assert main(["plan", "--project", str(clone), "--quiet"]) == 2
    assert "does not hold the commit where" in capsys.readouterr().err
    git(clone, "fetch", "--quiet", "--unshallow")
    assert planned(clone, capsys)[0] == 1


@pytest.mark.parametrize(("policy", "code"), [("blocked", 0), ("changed", 1), ("never", 0)])
def test_the_policy_of_results_that_change(repository, capsys, policy, code):
    Change(repository).edit(SHOP, "agg: active_days,", "agg: active_days, per: day,")
    assert planned(repository, capsys, "--fail-on", policy)[0] == code


def test_the_policy_never_fails(repository, capsys):
    Change(repository).edit(SHOP, "p99.5", "p99")
    assert planned(repository, capsys, "--fail-on", "never")[0] == 0


def test_a_project_that_moves_is_compared_with_what_it_was(repository, capsys):
    (repository / "teams").mkdir()
    git(repository, "mv", "metrics", "teams/metrics")
    code, found = planned(repository / "teams", capsys)
    assert (code, found["class"], found["notes"]) == (0, None, ["the project lay in . then"])
    Change(repository / "teams").edit(CHECKOUT, "hold: 3d", "hold: 1d")
    code, found = planned(repository / "teams", capsys)
    assert (code, [key(item) for item in found["changes"]]) == (1, ["experiment checkout"])


def test_a_project_that_may_have_been_one_of_several(repository, capsys):
    for name in ("a", "b"):
        (repository / name).mkdir()
        shutil.copytree(repository / "metrics", repository / name / "metrics")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "three projects")
    shutil.rmtree(repository / "a")
    (repository / "b").rename(repository / "c")
    assert main(["plan", "--project", str(repository / "c"), "--base", "HEAD", "--quiet"]) == 2
    assert "those in a/, b/ are gone" in capsys.readouterr().err


def test_a_project_below_the_root_of_its_repository(repository, tmp_path, capsys):
    outer = tmp_path / "outer"
    (outer / "teams").mkdir(parents=True)
    shutil.copytree(repository / "metrics", outer / "teams" / "shop" / "metrics")
    git(outer, "init", "--quiet", "--initial-branch=main")
    git(outer, "add", ".")
    git(outer, "commit", "--quiet", "-m", "all teams")
    Change(outer / "teams" / "shop").edit(SHOP, "p99.5", "p99")
    code, found = planned(outer / "teams" / "shop", capsys)
    assert (code, [key(item) for item in found["changes"]]) == (1, ["metric revenue"])


def test_in_a_git_hook(repository, tmp_path, capsys, monkeypatch):
    """Hooks of a linked work tree have GIT_DIR set: with it, git takes the current folder for the top."""
    outer = tmp_path / "outer"
    (outer / "teams").mkdir(parents=True)
    shutil.copytree(repository / "metrics", outer / "teams" / "shop" / "metrics")
    git(outer, "init", "--quiet", "--initial-branch=main")
    git(outer, "add", ".")
    git(outer, "commit", "--quiet", "-m", "all teams")
    Change(outer / "teams" / "shop").edit(SHOP, "p99.5", "p99")
    monkeypatch.setenv("GIT_DIR", str(outer / ".git"))
    monkeypatch.setenv("GIT_PREFIX", "")
    code, found = planned(outer / "teams" / "shop", capsys)
    assert (code, [key(item) for item in found["changes"]]) == (1, ["metric revenue"])


@pytest.mark.parametrize(
    ("linked", "what"), [("metrics/sources/shop.yml", "a symbolic link"), ("metrics", "a symbolic link"), ("metrics/sources", "a submodule")]
)  # fmt: skip
def test_definitions_that_the_commit_only_points_at(repository, tmp_path, capsys, linked, what):
    """They are not in it: compared without, all of them were new and nothing deviated."""
    path, elsewhere = repository / linked, tmp_path / "elsewhere"
    shutil.move(path, elsewhere)
    if what == "a submodule":
        git(repository, "rm", "--quiet", "-r", "--cached", linked)
        git(elsewhere, "init", "--quiet")
        git(elsewhere, "add", ".")
        git(elsewhere, "commit", "--quiet", "-m", "sources")
        git(repository, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(elsewhere), linked)
    else:
        path.symlink_to(elsewhere)
        git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "-m", "elsewhere")
    git(repository, "branch", "--force", "main", "change")
    Change(repository).edit(SOURCES, "amount - discount", "amount")
    assert main(["plan", "--project", str(repository), "--quiet"]) == 2
    assert f"{linked} is {what} at" in capsys.readouterr().err


# --- findings that are new ------------------------------------------------------------------------------------------------


def test_only_findings_that_the_change_brings(repository, capsys):
    """Lines move, and of two alike one may be new."""
    change = Change(repository).edit(SHOP, "agg: count_distinct", "agg: distinct").edit(SEARCH, "owners:", "owner:")
    git(repository, "commit", "--quiet", "-am", "two errors")
    git(repository, "branch", "--force", "main", "change")
    check = ["check", "--project", str(repository), "--new-only", "--format", "json"]
    change.edit(SHOP, "metrics:\n", "# A comment.\nmetrics:\n")
    assert main(check) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["diagnostics"] == []
    assert "2 findings that were there at main (" in shown.err
    change.edit(SHOP, "agg: active_days", "agg: distinct")
    assert main(check) == 1
    found = json.loads(capsys.readouterr().out)["diagnostics"]
    assert [(d["rule"], d["file"].rpartition("/")[2]) for d in found] == [("invalid-value", "shop.yml")]
    assert main(["check", "--project", str(repository), "--base", "main"]) == 2
