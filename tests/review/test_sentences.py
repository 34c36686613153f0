"""Whatever changes the numbers of a metric, or an experiment's protocol, changes what is said of it."""

from __future__ import annotations

import copy
import typing
from typing import Any

import pytest
from projects import write_definitions
from pydantic import BaseModel

from metricdef.api import Project
from metricdef.definitions.models import Experiment
from metricdef.definitions.project import Project as Definitions
from metricdef.governance.changes import changes
from metricdef.governance.meaning import real
from metricdef.metrics import TYPES
from metricdef.review.experiment_sentences import experiment_topics
from metricdef.review.metric_sentences import metric_sentence
from metricdef.review.trees import experiment_tree, metric_with_ground, missing_of_experiment
from tests.governance.shop import PROJECT, SHOP, changed, write_shop

# Said elsewhere, or nowhere: they change no number.
WORDS_ONLY = {"type", "label", "description", "owner", "tags", "format", "renamed_from", "deprecated"}
FREE = {"label", "owners", "description", "status", "outcome", "amendments", "flag"}

MEAN = {"source": "orders", "agg": "sum", "measure": "amount", "direction": "increase"}
METRICS: dict[str, dict[str, Any]] = {
    "mean": {**MEAN, "cap": {"upper": "p99"}},
    "proportion": {"source": "orders", "direction": "increase"},
    "threshold": {**MEAN, "at_least": 5, "cap": {"upper": "p99"}},
    "retention": {"source": "orders", "window": "7d..14d", "direction": "increase"},
    "ratio": {"numerator": "revenue", "denominator": "order_count", "direction": "increase"},
    "funnel": {
        "steps": [{"name": "look", "source": "visits"}, {"name": "buy", "source": "orders"}],
        "direction": "increase",
    },
    "quantile": {**MEAN, "quantile": "p50", "missing": "zero"},
}

COMMON: list[dict[str, Any]] = [
    {"direction": "decrease"},
    {"window": "8d"},
    {"window": "last 7d"},
    {"window": "experiment"},
    {"immature": "include"},
    {"covariates": "off"},
    {"covariates": {"lookback": "9d"}},
    {"covariates": {"lookback": "7d", "extra": ["minutes"]}},
    {"covariates": {"lookback": "0d", "extra": ["users.age"]}},
]
AGGREGATES: list[dict[str, Any]] = [
    {"source": "returns"},
    {"measure": "product"},
    {"agg": "count_distinct"},
    {"agg": "count", "measure": None},
    {"agg": "active_days", "measure": None},
    *({"agg": agg, "missing": missing} for agg in ("min", "max", "first", "last") for missing in ("zero", "exclude")),
    {"missing": "exclude"},
    {"filter": "status = 'paid'"},
    {"filter": ["status = 'paid'", "amount > 0"]},
    {"filter": "paid = 1"},
]
CAPS: list[dict[str, Any]] = [
    {"cap": None},
    {"cap": {"upper": "p98"}},
    {"cap": {"upper": 99}},
    {"cap": {"upper": "p99", "lower": "p1"}},
    {"cap": {"lower": "p99"}},
    {"cap": {"upper": "p99", "zeros": "exclude"}},
]
MUTATIONS: dict[str, list[dict[str, Any]]] = {
    "mean": [
        *COMMON,
        *AGGREGATES,
        *CAPS,
        {"agg": "active_days", "measure": None, "per": "day", "cap": None},
    ],
    "proportion": [*COMMON, {"source": "returns"}, {"filter": "status = 'paid'"}],
    "threshold": [
        *COMMON,
        *AGGREGATES,
        *CAPS,
        {"at_least": 5.5},
        *({"at_least": None, limit: 5} for limit in ("more_than", "at_most", "less_than")),
    ],
    "retention": [
        *(m for m in COMMON if "immature" not in m and "window" not in m),
        {"window": "8d..14d"},
        {"window": "7d..15d"},
        {"source": "returns"},
        {"filter": "status = 'paid'"},
        {"min_rows": 2},
    ],
    "ratio": [
        *COMMON,
        {"numerator": "order_count", "denominator": "revenue"},
        {"numerator": "page_views"},
        {"denominator": "page_views"},
        *(
            {side: {"source": "orders", "agg": "count", **more}}
            for side in ("numerator", "denominator")
            for more in (
                {},
                {"source": "visits"},
                {"agg": "active_days"},
                {"agg": "sum", "measure": "amount"},
                {"filter": "status = 'paid'"},
            )
        ),
    ],
    "funnel": [
        *COMMON,
        {"order": "any"},
        {"steps": METRICS["funnel"]["steps"][::-1]},
        *(
            {"steps": [METRICS["funnel"]["steps"][0], {**METRICS["funnel"]["steps"][1], **more}]}
            for more in (
                {"name": "pay"},
                {"source": "returns"},
                {"filter": "status = 'paid'"},
                {"within": "1h"},
                {"within": "2h"},
            )
        ),
    ],
    "quantile": [
        *(m for m in COMMON if "covariates" not in m),
        *(m for m in AGGREGATES if m.get("missing") != "zero"),
        {"quantile": "p51"},
        {"of": "events", "agg": None, "missing": None},
    ],
}
NO_EFFECT = {"quantile": {"covariates"}, "retention": {"immature"}}  # read by no one, or refused


def shop_with(tmp_path, metric: dict[str, Any]) -> Any:
    shop = copy.deepcopy(SHOP)
    shop["sources"]["returns"] = copy.deepcopy(shop["sources"]["orders"]) | {"table": "returns"}
    shop["metrics"]["it"] = {key: value for key, value in metric.items() if value is not None}
    return write_shop(tmp_path, shop).definitions


@pytest.mark.parametrize("kind", TYPES)
def test_whatever_changes_a_metric_changes_its_sentence(tmp_path, kind):
    base = {"type": kind, **METRICS[kind]}
    project = shop_with(tmp_path / "base", base)
    before = metric_with_ground(project, "it")
    seen = {metric_sentence(project, "it"): "the metric itself"}
    for number, mutation in enumerate(MUTATIONS[kind]):
        project = shop_with(tmp_path / str(number), {**base, **mutation})
        after = metric_with_ground(project, "it")
        assert real(changes(before, after), before, after), f"plan doesn't see {mutation}"
        said = metric_sentence(project, "it")
        assert said not in seen, f"{mutation} says the same as {seen[said]}: {said}"
        seen[said] = str(mutation)


@pytest.mark.parametrize("kind", TYPES)
def test_every_field_of_a_metric_is_tried(kind):
    tried = {field for mutation in MUTATIONS[kind] for field in mutation} | NO_EFFECT.get(kind, set())
    assert set(TYPES[kind].model_fields) - WORDS_ONLY - tried == set()


def test_what_only_describes_a_metric_is_not_said(tmp_path):
    base = {"type": "mean", **METRICS["mean"]}
    said = metric_sentence(shop_with(tmp_path / "base", base), "it")
    words = {"label": "It", "description": "It is.", "owner": "me", "tags": ["a"], "format": "currency:EUR"}
    assert metric_sentence(shop_with(tmp_path / "words", {**base, **words}), "it") == said


def test_a_metric_in_words(tmp_path):
    project = write_shop(tmp_path).definitions
    assert metric_sentence(project, "revenue") == (
        "Mean over exposed users of SUM(amount - discount) over rows of orders where not is_test, in the 14 days after "
        "first exposure, capped at the pooled 99.5th percentile. Users count from 16 days after first exposure on. "
        "Adjusted for the same value in the 7 days before first exposure. Higher is better."
    )
    assert metric_sentence(project, "minutes", "checkout") == (
        "Share of triggered users with SUM(seconds) over rows of visits, in the 7 days after the trigger, that is at least "
        "60. Users count from 7 days after the trigger on. Adjusted for the same value and minutes in the 14 days before "
        "first exposure and users.age at first exposure. Higher is better."
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("sources", "orders", "measures", "amount"), "amount"),
        (("sources", "orders", "filter"), "is_test"),
        (("sources", "orders", "dimensions", "paid"), "0"),
        (("sources", "orders", "settles_after"), "3d"),
        (("metrics", "revenue", "window"), "3d"),
    ],
)
def test_what_a_metric_rests_on_is_said_too(tmp_path, path, value):
    shop = changed(SHOP, ("metrics", "revenue", "filter"), "paid = 1")
    before = metric_sentence(write_shop(tmp_path / "a", shop).definitions, "order_value")
    assert metric_sentence(write_shop(tmp_path / "b", changed(shop, path, value)).definitions, "order_value") != before


# --- experiments --------------------------------------------------------------------------------------------------------

E = ("experiments", "checkout")
SEQUENTIAL: dict[str, Any] = {
    "method": "group_sequential",
    "looks": ["23d", "50d"],
    "futility": {"spending": "obrien_fleming"},
    "planned_units": 1000,
}
HYBRID: dict[str, Any] = {"method": "hybrid", "looks": ["23d", "50d"], "anytime_alpha": 0.01, "final_alpha": 0.04}
GRAPH: dict[str, Any] = {"method": "graph", "alpha": {"page_views": "50%", "order_value": "50%"}, "edges": {"page_views": {"order_value": "100%"}}}  # fmt: skip

# Where, the value before (None: the shop's own), and the value after.
PROTOCOL: list[tuple[str, Any, Any]] = [
    ("hypothesis", None, "Two pages."),
    ("unit", None, "store"),
    ("cluster", None, "store"),
    ("cluster_effect", {"cluster": "store"}, "per_cluster"),
    ("exposure.source", None, "others"),
    ("exposure.key", None, "other"),
    ("exposure.filter", None, "platform = 'app'"),
    ("exposure.trigger.source", None, "orders"),
    ("exposure.trigger.filter", None, "page = 'pay'"),
    ("exposure.mixed", None, "fail"),
    ("exposure.assignment", None, "sticky"),
    ("population", None, ["minors"]),
    ("arms.new.share", {"arms": {"control": {}, "new": {}}}, None),
    ("arms.new.key", None, "one"),
    ("baseline", None, "new"),
    ("ramp.1.from", None, "2026-01-09"),
    ("ramp.1.shares", None, {"control": "40%", "new": "60%"}),
    ("start", None, "2025-12-31"),
    ("end", None, "2026-02-02"),
    ("validation.hold", None, "3d"),
    ("validation.srm_alpha", None, 0.01),
    ("validation.aa_lookback", None, "14d"),
    ("metrics.primary.buyers.mde", None, "3%"),
    ("metrics.primary.buyers.margin", None, "1%"),
    ("metrics.primary.buyers.equivalence", None, "1%"),
    ("metrics.secondary.order_value.mde", None, "4%"),
    ("metrics.secondary.order_value.margin", None, "4%"),
    ("metrics.secondary.order_value.equivalence", None, "4%"),
    ("metrics.guardrail", None, {"minutes": {"mde": "1pp", "margin": "1pp", "equivalence": "1pp"}}),
    *(("metrics.guardrail.minutes." + key, {"metrics": {"guardrail": {"minutes": {"margin": "1pp"}}, "primary": {"buyers": {"mde": "2%"}}}}, "2pp") for key in ("mde", "margin", "equivalence")),
    ("metrics.sets", None, []),
    ("analysis.confidence", None, "90%"),
    ("analysis.alpha.success", None, "1%"),
    ("analysis.alpha.non_inferiority", None, "1%"),
    ("analysis.alpha.deterioration", None, "2%"),
    ("analysis.alpha.quality", None, "2%"),
    ("analysis.covariates.lookback", None, "15d"),
    ("analysis.covariates.extra", None, ["minutes"]),
    ("analysis.strata", None, ["city"]),
    ("analysis.breakdowns", None, ["platform"]),
    ("analysis.sensitivity", None, ["unadjusted"]),
    ("analysis.novelty", None, ["minutes"]),
    ("analysis.bayes", None, {"prior": {}}),
    ("analysis.sequential.method", None, "always_valid"),
    ("analysis.sequential.spending", SEQUENTIAL, "pocock"),
    ("analysis.sequential.bounds", SEQUENTIAL, "pocock"),
    ("analysis.sequential.gamma", SEQUENTIAL | {"spending": "hwang_shih_decani", "gamma": -4}, -2),
    ("analysis.sequential.looks", SEQUENTIAL, ["24d", "50d"]),
    ("analysis.sequential.unplanned", SEQUENTIAL, "spend"),
    ("analysis.sequential.planned_units", SEQUENTIAL, 2000),
    ("analysis.sequential.futility.spending", SEQUENTIAL, "pocock"),
    ("analysis.sequential.futility.gamma", SEQUENTIAL | {"futility": {"spending": "hwang_shih_decani", "gamma": -4}}, -2),
    ("analysis.sequential.futility.binding", SEQUENTIAL, True),
    ("analysis.sequential.anytime_alpha", HYBRID, 0.02),
    ("analysis.sequential.final_alpha", HYBRID, 0.03),
    *((f"analysis.multiplicity.{role}", None, "bonferroni") for role in ("primary", "secondary", "guardrail")),
    ("analysis.multiplicity.secondary.order", {"analysis": {"multiplicity": {"secondary": {"method": "fixed_sequence", "order": ["page_views", "order_value"]}}}}, ["order_value", "page_views"]),
    ("analysis.multiplicity.secondary.alpha", {"analysis": {"multiplicity": {"secondary": GRAPH}}}, {"page_views": "40%", "order_value": "60%"}),
    ("analysis.multiplicity.secondary.edges", {"analysis": {"multiplicity": {"secondary": GRAPH}}}, {"order_value": {"page_views": "100%"}}),
    *((f"decision.ship.{role}", {"decision": {"ship": {"primary": "any_superior"}}}, "all_superior") for role in ("primary", "secondary")),
    ("decision.ship.guardrail", {"decision": {"ship": {"primary": "any_superior"}}}, "all_non_inferior"),
    ("decision.ship.quality", {"decision": {"ship": {"primary": "any_superior"}}}, "all_pass"),
    *((f"decision.stop.{role}", {"decision": {"stop": {"primary": "all_inferior"}}}, "any_inferior") for role in ("primary", "secondary", "guardrail")),
    ("decision.practical", None, {"buyers": "0.2pp"}),
    ("decision.authority", None, ["board"]),
    ("prefer", None, ["new"]),
]  # fmt: skip


def protocol_shop(own: Any) -> dict[str, Any]:
    """The shop, with parts of its experiment replaced."""
    shop = copy.deepcopy(SHOP)
    for name in ("assignments", "others"):
        shop["sources"][name] = copy.deepcopy(SHOP["sources"]["assignments"]) | {"table": name}
    for name in ("orders", "visits", "users"):
        shop["sources"][name]["entities"]["store"] = "store_id"
    shop["segments"]["minors"] = {"source": "users", "filter": "age < 18"}
    experiment = shop["experiments"]["checkout"]
    if own is not None:
        experiment |= {"analysis": {"sequential": own}} if "method" in own else own
        if "arms" in own:
            del experiment["ramp"]
    return shop


def after(shop: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    steps = [int(step) if step.isdigit() else step for step in path.split(".")]
    if path == "arms.new.share":
        return changed(shop, (*E, "arms"), {"control": {"share": "60%"}, "new": {"share": "40%"}})
    return changed(shop, (*E, *steps), value)


def test_whatever_changes_a_protocol_is_seen_by_plan(tmp_path):
    for number, (path, own, value) in enumerate(PROTOCOL):
        shop = protocol_shop(own)
        before, after_ = (
            loaded(tmp_path / f"{number}{side}", s) for side, s in (("a", shop), ("b", after(shop, path, value)))
        )
        if not missing_of_experiment(after_, "checkout") and not missing_of_experiment(before, "checkout"):
            one, two = experiment_tree(before, "checkout"), experiment_tree(after_, "checkout")
            assert real(changes(one, two), one, two), path


def told(tmp_path, shop: dict[str, Any]) -> list[tuple[str, str]]:
    return [(topic.name, topic.text) for topic in experiment_topics(loaded(tmp_path, shop), "checkout")]


def loaded(tmp_path, shop: dict[str, Any]) -> Definitions:
    root = write_definitions(tmp_path, *({kind: shop[kind]} for kind in shop), project=PROJECT)
    found = Project(root).loaded  # perhaps with errors: what is said is said of any protocol
    assert found.project is not None
    assert "checkout" in found.project.experiments, found.errors
    return found.project


@pytest.mark.parametrize(("path", "own", "value"), PROTOCOL, ids=[path for path, _, _ in PROTOCOL])
def test_whatever_changes_a_protocol_changes_what_is_said(tmp_path, path, own, value):
    shop = protocol_shop(own)
    assert told(tmp_path / "a", shop) != told(tmp_path / "b", after(shop, path, value))


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in typing.get_args(annotation) for model in models_in(inner)]


def leaves(model: type[BaseModel], at: str = "") -> set[str]:
    found: set[str] = set()
    for name, field in model.model_fields.items():
        path = f"{at}{field.alias or name}"
        inner = models_in(field.annotation)
        repeated = "dict" in str(field.annotation) or "tuple" in str(field.annotation)
        found |= leaves(inner[0], f"{path}.*." if repeated else f"{path}.") if inner else {path}
    return found


def test_every_field_of_a_protocol_is_tried():
    def general(path: str) -> str:
        steps = path.split(".")
        if steps[0] in ("arms", "ramp") and len(steps) > 1:
            steps[1] = "*"
        if steps[0] == "metrics" and len(steps) == 4:
            steps[2] = "*"
        return ".".join(steps)

    tried = {general(path) for path, _, _ in PROTOCOL}
    wanted = {path for path in leaves(Experiment) if path.split(".")[0] not in FREE and path != "arms.*.description"}
    corrections = {p for p in wanted if p.startswith("analysis.multiplicity.")}  # one model, three roles
    assert wanted - corrections - tried == set()
    assert {p.split(".")[3] for p in corrections} - {"method"} <= {p.split(".")[-1] for p in tried}


def test_an_experiment_in_words(tmp_path):
    said = dict(told(tmp_path, SHOP))
    assert said["population"] == (
        "Users with their first exposure in rows of assignments where platform = 'web', under the key checkout. Only those "
        "in adults: rows of users where age >= 18, as of first exposure. From the first of the rows of visits where page = "
        "'cart' on: units that never get there are left out. Units seen in several arms count in their first one."
    )
    assert said["metrics"] == (
        "Primary metric: buyers (worth finding from 2% of the baseline). Secondary metrics: page_views; order_value (worth "
        "finding from 3% of the baseline). Guardrail: refund_rate (may be worse by less than 0.5 percentage points)."
    )
    assert said["looks"] == "A fixed design: read once, when every window is complete."
