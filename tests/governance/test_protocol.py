"""What is frozen: every part that could change a confirmatory result, in one spelling."""

import copy
import random

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from metricdef.api import Project
from metricdef.definitions.models import Experiment, Source
from metricdef.governance.changes import Change, apply, changes
from metricdef.governance.plain import normal_sql
from metricdef.governance.protocol import DESCRIPTIVE, FREE, read_protocol
from metricdef.metrics import TYPES
from tests.governance.shop import PROJECT, SHOP, changed, write_shop

OWN = ("experiments", "checkout")


def protocol(root, shop=SHOP, project=PROJECT):
    return read_protocol(write_shop(root, shop, project).definitions, "checkout")


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    return protocol(tmp_path_factory.mktemp("before"))


# (path in the files, value or None to remove it, path of the change)
RESULTS = [
    ((*OWN, "hypothesis"), "Another one.", "experiment.hypothesis"),
    ((*OWN, "unit"), "store", "experiment.unit"),
    ((*OWN, "cluster"), "store", "experiment.cluster"),
    ((*OWN, "exposure", "source"), "others", "experiment.exposure.source"),
    ((*OWN, "exposure", "key"), "v2", "experiment.exposure.key"),
    ((*OWN, "exposure", "mixed"), "fail", "experiment.exposure.mixed"),
    ((*OWN, "exposure", "assignment"), "sticky", "experiment.exposure.assignment"),
    ((*OWN, "exposure", "filter"), "platform = 'app'", "experiment.exposure.filter"),
    ((*OWN, "exposure", "trigger", "filter"), "page = 'pay'", "experiment.exposure.trigger.filter"),
    ((*OWN, "exposure", "trigger"), None, "experiment.exposure.trigger"),
    ((*OWN, "population"), None, "experiment.population"),
    ((*OWN, "arms", "control", "key"), "older", "experiment.arms.control.key"),
    ((*OWN, "ramp", 0, "from"), "2025-12-31", "experiment.ramp.0.from"),
    ((*OWN, "ramp", 1, "shares"), {"control": "40%", "new": "60%"}, "experiment.ramp.1.shares.control"),
    ((*OWN, "start"), "2026-01-02", "experiment.start"),
    ((*OWN, "end"), "2026-02-02", "experiment.end"),
    ((*OWN, "validation", "hold"), "1d", "experiment.validation.hold"),
    ((*OWN, "validation", "srm_alpha"), 0.01, "experiment.validation.srm_alpha"),
    ((*OWN, "metrics", "primary", "buyers", "mde"), "3%", "experiment.metrics.primary.buyers.mde"),
    ((*OWN, "metrics", "primary", "revenue"), {"mde": "3%"}, "experiment.metrics.primary.revenue"),
    ((*OWN, "metrics", "secondary", "page_views"), {"mde": "1%"}, "experiment.metrics.secondary.page_views.mde"),
    ((*OWN, "metrics", "secondary", "order_value"), None, "experiment.metrics.secondary.order_value"),
    ((*OWN, "metrics", "sets"), None, "experiment.metrics.guardrail"),
    ((*OWN, "analysis", "confidence"), "90%", "experiment.analysis.confidence"),
    ((*OWN, "analysis", "alpha"), {"success": 0.01}, "experiment.analysis.alpha"),
    ((*OWN, "analysis", "covariates"), "off", "experiment.analysis.covariates"),
    ((*OWN, "analysis", "covariates", "lookback"), "7d", "experiment.analysis.covariates.lookback"),
    ((*OWN, "analysis", "strata"), None, "experiment.analysis.strata"),
    ((*OWN, "analysis", "breakdowns"), None, "experiment.analysis.breakdowns"),
    ((*OWN, "analysis", "multiplicity"), {"primary": "bonferroni"}, "experiment.analysis.multiplicity"),
    ((*OWN, "decision", "practical", "buyers"), "0.2pp", "experiment.decision.practical.buyers"),
    ((*OWN, "decision", "ship"), {"primary": "all_superior"}, "experiment.decision.ship"),
    ((*OWN, "decision", "authority"), ["council"], "experiment.decision.authority"),
    ((*OWN, "prefer"), ["new"], "experiment.prefer"),
    (("metric_sets", "health", "guardrail", "refund_rate", "margin"), "0.6pp", "experiment.metrics.guardrail.refund_rate.margin"),
    (("metrics", "buyers", "filter"), "paid = 0", "metrics.buyers.filter"),
    (("metrics", "buyers", "window"), "7d", "metrics.buyers.window"),
    (("metrics", "buyers", "direction"), "decrease", "metrics.buyers.direction"),
    (("metrics", "buyers", "immature"), "include", "metrics.buyers.immature"),
    (("metrics", "buyers", "covariates"), "off", "metrics.buyers.covariates"),
    (("metrics", "refund_rate", "numerator", "filter"), "status = 'refunded'", "metrics.refund_rate.numerator.filter"),
    (("metrics", "order_count", "filter"), "amount > 0", "metrics.order_count.filter"),
    (("metrics", "minutes", "at_least"), 61, "metrics.minutes.at_least"),
    (("segments", "adults", "filter"), "age >= 21", "segments.adults.filter"),
    (("sources", "assignments", "table"), "assignments_v2", "sources.assignments.table"),
    (("sources", "assignments", "arm"), "variant", "sources.assignments.arm"),
    (("sources", "assignments", "entities", "user"), "customer", "sources.assignments.entities.user"),
    (("sources", "orders", "filter"), "not is_test and amount > 0", "sources.orders.filter"),
    (("sources", "orders", "settles_after"), "3d", "sources.orders.settles_after"),
    (("sources", "orders", "timezone"), "Europe/Berlin", "sources.orders.timezone"),
    (("sources", "orders", "dimensions", "paid"), "status", "sources.orders.dimensions.paid"),
    (("sources", "visits", "sql"), "select user_id, started_at, page, seconds from sessions", "sources.visits.sql"),
    (("sources", "visits", "measures", "seconds"), "seconds / 60", "sources.visits.measures.seconds"),
    (("sources", "users", "valid_from"), "updated_at", "sources.users.valid_from"),
]  # fmt: skip

FREE_CHANGES = [
    ((*OWN, "label"), "The checkout"),
    ((*OWN, "owners"), ["pricing"]),
    ((*OWN, "description"), "Longer."),
    ((*OWN, "status"), "stopped"),
    ((*OWN, "outcome"), {"decided": "2026-02-20", "arm": "new"}),
    ((*OWN, "amendments"), [{"on": "2026-01-09", "by": "ana", "what": "an outage", "why": "it happened"}]),
    ((*OWN, "flag"), {"provider": "openfeature", "key": "checkout"}),
    ((*OWN, "arms", "new", "description"), "One page only."),
    (("metrics", "buyers", "label"), "Buyers"),
    (("metrics", "buyers", "description"), "Who buys."),
    (("metrics", "buyers", "owner"), "growth"),
    (("metrics", "buyers", "tags"), ["core"]),
    # Definitions of secondary metrics, and of what nothing here uses.
    (("metrics", "page_views", "filter"), "page = 'cart'"),
    (("metrics", "revenue", "cap", "upper"), "p99"),
    (("metrics", "unused"), {"type": "proportion", "source": "orders"}),
    (("sources", "orders", "description"), "Lines of orders."),
    (("sources", "orders", "measures", "product"), "lower(product)"),
    (("sources", "orders", "dimensions", "country"), "country"),
    (("sources", "assignments", "entities", "store"), "shop_id"),
    (("segments", "adults", "description"), "18 and older."),
]

OTHERS = {**SHOP["sources"]["assignments"], "table": "others"}


@pytest.mark.parametrize(("path", "value", "name"), RESULTS, ids=[f"{'.'.join(map(str, p))}" for p, *_ in RESULTS])
def test_a_change_that_could_change_a_result_is_one(before, tmp_path_factory, path, value, name):
    shop = changed(SHOP, path, value)
    if path[2:] == ("exposure", "source"):
        shop = changed(shop, ("sources", "others"), OTHERS)
    if path[2:] == ("unit",):
        for source in ("orders", "visits", "users"):
            shop = changed(shop, ("sources", source, "entities", "store"), "user_id")
    after = protocol(tmp_path_factory.mktemp("after"), shop)
    found = [change.name for change in changes(before.frozen, after.frozen)]
    assert name in found
    assert before.fingerprints["protocol"] != after.fingerprints["protocol"]


@pytest.mark.parametrize(("path", "value"), FREE_CHANGES, ids=[".".join(map(str, p)) for p, _ in FREE_CHANGES])
def test_a_change_that_cannot_is_none(before, tmp_path_factory, path, value):
    after = protocol(tmp_path_factory.mktemp("after"), changed(SHOP, path, value))
    assert list(changes(before.frozen, after.frozen)) == []


def test_labels_change_the_descriptive_fingerprint_alone(before, tmp_path_factory):
    after = protocol(tmp_path_factory.mktemp("after"), changed(SHOP, (*OWN, "label"), "Other"))
    assert before.fingerprints["protocol"] == after.fingerprints["protocol"]
    assert before.fingerprints["descriptive"] != after.fingerprints["descriptive"]


PROJECT_CHANGES = [
    (("defaults", "window"), "7d", ["project.defaults.window"]),
    (("defaults", "immature"), "include", ["project.defaults.immature"]),
    (("defaults", "timezone"), "Europe/Berlin", ["project.defaults.timezone"]),
    (("defaults", "confidence"), "90%", ["experiment.analysis.confidence"]),
    (("defaults", "srm_alpha"), 0.01, ["experiment.validation.srm_alpha"]),
    (("defaults", "multiplicity"), {"secondary": "bh"}, ["experiment.analysis.multiplicity"]),
    (("defaults", "covariates"), "off", []),  # the experiment states its own
    (("min_units",), 10, []),
    (("output_schema",), "readouts", []),
    (("profiles", "prod"), {"type": "duckdb", "path": "${SHOP}"}, []),
]


@pytest.mark.parametrize(("path", "value", "names"), PROJECT_CHANGES)
def test_defaults_of_the_project_are_frozen_where_they_are_used(before, tmp_path_factory, path, value, names):
    after = protocol(tmp_path_factory.mktemp("after"), project=changed(PROJECT, path, value))
    assert [change.name for change in changes(before.frozen, after.frozen)] == names


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*OWN, "unit"), "user"),
        ((*OWN, "baseline"), "control"),
        ((*OWN, "exposure", "key"), "checkout"),
        ((*OWN, "arms", "new", "key"), "new"),
        ((*OWN, "arms"), {"new": {"description": "One page."}, "control": {"key": "old"}}),
        ((*OWN, "arms", "new", "share"), "1/2"),
        ((*OWN, "start"), "2026-01-01"),
        ((*OWN, "validation", "srm_alpha"), "0.1%"),
        ((*OWN, "analysis", "confidence"), "95.0%"),
        ((*OWN, "analysis", "covariates", "lookback"), "2w"),
        ((*OWN, "analysis", "covariates", "extra"), ["users.age", "minutes"]),
        ((*OWN, "cluster_effect"), "per_unit"),
        ((*OWN, "hypothesis"), "One page\n  instead of three.\n"),
        ((*OWN, "metrics", "primary", "buyers", "mde"), "2.0%"),
        ((*OWN, "metrics", "guardrail"), {"refund_rate": {"margin": "0.50pp"}}),
        (("sources", "orders", "settles_after"), "48h"),
        (("sources", "orders", "kind"), "events"),
        (("sources", "visits", "sql"), "SELECT user_id,started_at,\n  page, seconds /* all */\nFROM sessions\nWHERE NOT is_bot;"),
        (("metrics", "refund_rate", "numerator", "filter"), ["amount>0", "status  =  'refunded'"]),
        (("metrics", "minutes", "window"), "0d..7d"),
    ],
)  # fmt: skip
def test_another_spelling_is_the_same_protocol(before, tmp_path_factory, path, value):
    shop = changed(SHOP, path, value)
    after = protocol(tmp_path_factory.mktemp("after"), shop)
    assert list(changes(before.frozen, after.frozen)) == []
    assert before.fingerprints["protocol"] == after.fingerprints["protocol"]


def shuffled(value, order):
    if isinstance(value, dict):
        keys = list(value)
        order.shuffle(keys)
        return {key: shuffled(value[key], order) for key in keys}
    return [shuffled(item, order) for item in value] if isinstance(value, list) else value


@settings(max_examples=examples(20))
@given(st.integers(0, 10**6), st.booleans(), st.integers(20, 200))
def test_key_order_layout_and_comments_make_no_difference(tmp_path_factory, seed, comments, width):
    root = tmp_path_factory.mktemp("shop")
    expected = protocol(root)
    order = random.Random(seed)
    for path in sorted((root / "metrics").glob("part_*.yml")):
        content = shuffled(copy.deepcopy(yaml.safe_load(path.read_text())), order)
        text = yaml.safe_dump(
            content, sort_keys=False, default_flow_style=not comments, width=9999 if comments else width
        )
        path.write_text(text.replace("\n", "  # why\n  # and how\n") if comments else text)
    assert read_protocol(Project(root).definitions, "checkout") == expected


# --- nothing is forgotten -----------------------------------------------------------------------------------------------


def test_every_field_of_an_experiment_is_free_or_tested():
    tested = {path[2] for path, *_ in RESULTS if path[:2] == OWN}
    not_results = {"baseline", "cluster_effect"}  # tested below: they need other arms and a cluster
    assert set(Experiment.model_fields) - set(FREE) - tested == not_results


def test_baseline_and_cluster_effect(before, tmp_path_factory):
    shop = changed(changed(SHOP, (*OWN, "cluster"), "store"), (*OWN, "cluster_effect"), "per_cluster")
    shop = changed(changed(shop, ("metrics", "order_count", "agg"), "count"), (*OWN, "metrics", "sets"), None)
    shop = changed(changed(shop, (*OWN, "metrics", "secondary", "order_value"), None), (*OWN, "baseline"), "new")
    names = [c.name for c in changes(before.frozen, protocol(tmp_path_factory.mktemp("after"), shop).frozen)]
    assert {"experiment.baseline", "experiment.cluster_effect"} <= set(names)


SOURCES_FREE = {"description", "expect"}  # expectations are frozen where the decision asks for them
METRICS_FREE = {"label", "description", "owner", "tags", "renamed_from", "deprecated"}


def test_every_field_of_a_source_is_kept(tmp_path):
    full = {"dialect": "duckdb", "loaded_at": "loaded", "partition": "day", "grain": "order_id", "timezone": "UTC"}
    shop = copy.deepcopy(SHOP)
    shop["sources"]["orders"] |= full
    shop["sources"]["users"] |= {"valid_to": "ended_at"}
    sources = protocol(tmp_path, shop).frozen["sources"]
    kept = {key for source in sources.values() for key in source}
    # dbt_model is an alternative to table and sql, and kept like every other field.
    assert set(Source.model_fields) - SOURCES_FREE - kept == {"dbt_model"}


@pytest.mark.parametrize("kind", TYPES)
def test_no_field_of_a_metric_is_left_out_by_name(kind):
    assert set(DESCRIPTIVE) == METRICS_FREE <= set(TYPES[kind].model_fields)


def test_expectations_are_frozen_where_the_decision_asks_for_them(tmp_path_factory):
    shop = changed(SHOP, ("sources", "orders", "expect"), {"not_null": ["user_id"]})
    assert "expect" not in protocol(tmp_path_factory.mktemp("a"), shop).frozen["sources"]["orders"]
    asks = changed(shop, (*OWN, "decision", "ship"), {"primary": "any_superior", "quality": "all_pass"})
    assert protocol(tmp_path_factory.mktemp("b"), asks).frozen["sources"]["orders"]["expect"] == {
        "not_null": ["user_id"]
    }


# --- SQL and trees ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("a-b", "a  -  b"),
        ("a is not null", "a IS NOT NULL"),
        ("coalesce(a,0)", "COALESCE ( a , 0 )"),
        ("x in ('a','b')", "x IN ('a', 'b')"),
        ("select a from t -- why", "SELECT a\nFROM t;"),
        ("select a from t group   by a", "select a from t GROUP BY a"),
    ],
)
def test_spelling_of_sql_makes_no_difference(text, same):
    assert normal_sql(text) == normal_sql(same)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("x = 'a'", "x = 'A'"),
        ("x = 'a  b'", "x = 'a b'"),
        ('"Order" = 1', '"order" = 1'),
        ("a - b", "b - a"),
        ("a > 1", "a >= 1"),
        ("x = '-- a'", "x = '-- b'"),
    ],
)
def test_other_sql_is_another(text, other):
    assert normal_sql(text) != normal_sql(other)


VALUES = st.integers(0, 3) | st.text("ab", max_size=2) | st.lists(st.integers(0, 2), max_size=2)
TREES = st.recursive(
    VALUES, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3), max_leaves=8
)
MAPS = st.dictionaries(st.sampled_from("abc"), TREES, max_size=3)


@given(MAPS, MAPS)
def test_applying_the_changes_gives_the_other_tree(one, other):
    found = list(changes(one, other))
    assert apply(one, found) == other
    assert bool(found) is (one != other)
    assert list(changes(other, one)) == [Change(c.path, c.after, c.before) for c in found]
