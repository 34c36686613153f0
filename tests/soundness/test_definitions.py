"""Ways in which a definition could mean another number than the one that is printed."""

from datetime import UTC, datetime, timedelta

import pytest
from projects import METRICS, PROJECT, SOURCES, TABLES, experiment, write_definitions, write_warehouse

from metricdef.api import Project
from metricdef.errors import DefinitionErrors, UsageError, WarehouseError

pytestmark = pytest.mark.soundness

UNITS = (
    "INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END,"
    " TIMESTAMP '2026-01-02', CASE WHEN i % 4 < 2 THEN 'web' ELSE 'app' END FROM range(400) AS r(i)"
)
ORDERS = (
    "INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2026-01-03', 10 + i % 7, 'p', CASE WHEN i % 3 = 0 THEN 'paid' ELSE 'open' END"
    " FROM range(0, 400, 2) AS r(i)"
)
USERS = {"kind": "attributes", "table": "users", "entities": {"user": "user_id"}, "dimensions": ["age"]}


def source(kind="orders", **changes):
    return {"sources": {**SOURCES["sources"], kind: {**SOURCES["sources"][kind], **changes}}}


def metric(**changes):
    return {"metrics": {**METRICS["metrics"], **changes}}


def project(root, *documents, statements=(UNITS, ORDERS), settings=None, **changes):
    write_definitions(root, *documents, experiment(**changes), project={**PROJECT, **(settings or {})})
    if statements:
        write_warehouse(root, *TABLES, *statements)
    return Project(root)


def rows(loaded, as_of="2026-03-01"):
    return {row.metric: row for row in loaded.run("test", as_of=as_of).estimates}


BUYERS = {"primary": {"buyers": {"mde": "2%"}}}
REVENUE = {"primary": {"revenue": {"mde": "2%"}}}


def rules(loaded):
    return {d.rule for d in loaded.loaded.errors}


def test_a_dimension_is_put_into_a_segment_once(tmp_path):
    """`score: score * 2` was doubled twice where a segment or covariate carried it along."""
    definitions = source("assignments", dimensions={"score": "LENGTH(platform) * 2"})
    definitions["sources"]["assignments"]["dimensions"]["platform"] = "platform || platform"
    segments = {
        "segments": {"low": {"source": "assignments", "filter": "score = 6 AND PLATFORM IN ('webweb', 'appapp')"}}
    }
    loaded = project(tmp_path, definitions, METRICS, segments, population=["low"], metrics=BUYERS)
    assert rows(loaded)["buyers"].units == (200, 200)


def test_dimensions_that_swap_columns(tmp_path):
    definitions = source("orders", dimensions={"status": "product", "product": "status"})
    metrics = metric(
        paid={"type": "proportion", "source": "orders", "filter": "product = 'paid'", "direction": "increase"}
    )
    assert rows(project(tmp_path, definitions, metrics, metrics={"primary": {"paid": {"mde": "2%"}}}))[
        "paid"
    ].baseline_value == pytest.approx(67 / 200)


def test_a_dimension_in_the_place_of_a_column_leaves_measures_alone(tmp_path):
    plain = rows(project(tmp_path / "a", SOURCES, METRICS, metrics=REVENUE))["revenue"]
    shadowed = rows(
        project(
            tmp_path / "b",
            source("orders", dimensions={"amount": "FLOOR(amount / 10)", "status": "status"}),
            METRICS,
            metrics=REVENUE,
        )
    )["revenue"]
    assert shadowed.baseline_value == plain.baseline_value


@pytest.mark.parametrize("name", ["status", "STATUS", "Status"])
def test_a_dimension_is_found_in_any_case(tmp_path, name):
    definitions = source("orders", dimensions={"status": "UPPER(status)"})
    metrics = metric(
        paid={"type": "proportion", "source": "orders", "filter": f"{name} = 'PAID'", "direction": "increase"}
    )
    found = rows(project(tmp_path, definitions, metrics, metrics={"primary": {"paid": {"mde": "2%"}}}))["paid"]
    assert found.baseline_value == pytest.approx(67 / 200)


BEFORE = (  # one or two orders before exposure, none for a quarter of the units
    "INSERT INTO orders SELECT 'u' || i % 400, TIMESTAMP '2025-12-28' + INTERVAL 1 DAY * (i % 4), 1 + i % 11, 'p', 'open'"
    " FROM range(0, 1600, 3) AS r(i) WHERE i % 400 < 300"
)


def adjusted_by(root, odd, where="metric", statements=(UNITS, ORDERS, BEFORE)):
    """Revenue with `odd` as an extra covariate, stated by the metric, the experiment or the project."""
    covariates = {"lookback": "14d", "extra": ["odd"]}
    metrics = metric(odd={"direction": "increase", **odd})
    changes, settings = {"metrics": REVENUE}, {}
    if where == "metric":
        metrics["metrics"]["revenue"] = {**METRICS["metrics"]["revenue"], "covariates": covariates}
    elif where == "experiment":
        changes["analysis"] = {"covariates": covariates}
    else:
        settings = {"defaults": {"covariates": covariates}}
    return project(root, SOURCES, metrics, statements=statements, settings=settings, **changes)


LARGEST = {"type": "mean", "source": "orders", "agg": "max", "measure": "amount"}
WHERE = pytest.mark.parametrize("where", ["metric", "experiment", "project"])


@WHERE
def test_an_extra_covariate_that_cannot_be_computed_is_refused(tmp_path, where):
    median = {
        "type": "quantile",
        "source": "orders",
        "agg": "sum",
        "measure": "amount",
        "quantile": "p50",
        "missing": "zero",
    }
    loaded = adjusted_by(tmp_path, median, where, statements=())
    with pytest.raises(DefinitionErrors) as caught:
        loaded.compile("test")
    assert {d.rule for d in caught.value.diagnostics} == {"covariate-metric"}


@WHERE
@pytest.mark.parametrize(
    "odd",
    [
        {"type": "mean", "source": "orders", "agg": "sum", "measure": "amount", "cap": {"upper": "p90"}},
        {**LARGEST, "missing": "exclude"},
        {"type": "mean", "source": "orders", "agg": "active_days", "filter": "amount > 3"},
    ],
    ids=["percentile", "exclude", "days"],
)
def test_an_extra_covariate_adjusts_wherever_it_is_stated(tmp_path, odd, where):
    found = rows(adjusted_by(tmp_path, odd, where))["revenue"]
    assert "odd before exposure" in found.estimator.covariates
    assert found.absolute.std_error != found.unadjusted["std_error"]


def test_a_covariate_without_rows_is_0_whatever_the_metric_does_with_them(tmp_path):
    """Else units would leave the comparison because of what they did before it."""
    excluded, zero = (
        rows(adjusted_by(tmp_path / missing, {**LARGEST, "missing": missing}))["revenue"]
        for missing in ("exclude", "zero")
    )
    assert excluded.units == (200, 200)
    assert excluded.absolute == zero.absolute


def test_the_fingerprint_changes_with_every_definition_that_is_used(tmp_path):
    """Also with a part of a ratio that is used as a covariate, a set, a segment, a default."""
    ratio = {"type": "ratio", "numerator": "refunds", "denominator": "orders_per_user", "direction": "decrease"}

    def fingerprint(name, sources=SOURCES, margin="1pp", platform="web", window="14d", **metrics):
        documents = (
            sources, metric(rr=ratio, **metrics), {"segments": {"web": {"source": "assignments", "filter": f"platform = '{platform}'"}}},
            {"metric_sets": {"health": {"guardrail": {"refunds": {"margin": margin}}}}},
        )  # fmt: skip
        loaded = project(
            tmp_path / name, *documents, statements=(), settings={"defaults": {"window": window}}, population=["web"],
            metrics={**REVENUE, "sets": ["health"]}, analysis={"covariates": {"lookback": "7d", "extra": ["rr"]}},
        )  # fmt: skip
        return loaded.plan("test").fingerprint

    base = fingerprint("base")
    assert fingerprint("same") == base
    changed = [
        fingerprint("a", refunds={**METRICS["metrics"]["refunds"], "filter": "status = 'open'"}),
        fingerprint("b", orders_per_user={**METRICS["metrics"]["orders_per_user"], "filter": "amount > 1"}),
        fingerprint("c", margin="2pp"), fingerprint("d", platform="app"), fingerprint("e", window="7d"),
        fingerprint("f", sources=source("orders", settles_after="1d")),
        fingerprint("g", revenue={**METRICS["metrics"]["revenue"], "cap": {"upper": 5}}),
    ]  # fmt: skip
    assert len({base, *changed}) == 8
    assert fingerprint("unused", buyers={**METRICS["metrics"]["buyers"], "filter": "amount > 1"}) == base


def test_a_line_break_in_a_literal_stays_a_line_break(tmp_path):
    """Indenting the SQL must not change a value."""
    metrics = metric(
        odd={"type": "proportion", "source": "orders", "filter": "status = 'a\nb'", "direction": "increase"}
    )
    statements = (
        UNITS,
        "INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2026-01-03', 1, 'p', 'a' || chr(10) || 'b' FROM range(0, 400, 4) AS r(i)",
    )
    found = rows(
        project(tmp_path, SOURCES, metrics, statements=statements, metrics={"primary": {"odd": {"mde": "2%"}}})
    )["odd"]
    assert found.baseline_value == 0.5


@pytest.mark.parametrize(("kind", "rule"), [("BIGINT", "unit-type"), ("DOUBLE", "unit-type")])
def test_units_of_different_types_are_not_joined(tmp_path, kind, rule):
    """'1' and '001' are two units; a cast would give both the same orders."""
    loaded = project(
        tmp_path,
        SOURCES,
        METRICS,
        statements=("ALTER TABLE orders ALTER user_id SET DATA TYPE " + kind,),
        metrics=BUYERS,
    )
    with pytest.raises(DefinitionErrors) as caught:
        loaded.run("test", as_of="2026-03-01")
    assert {d.rule for d in caught.value.diagnostics} == {rule}


def test_a_future_as_of_is_refused(tmp_path):
    """It would call windows complete that are not, and give a verdict before the end."""
    loaded = project(tmp_path, SOURCES, METRICS, metrics=BUYERS)
    with pytest.raises(UsageError, match="future"):
        loaded.run("test", as_of=datetime.now(UTC) + timedelta(hours=1))


def test_equivalence_in_a_set_is_tested(tmp_path):
    sets = {"metric_sets": {"s": {"secondary": {"revenue": {"equivalence": "1%"}}}}}
    found = rows(project(tmp_path, SOURCES, METRICS, sets, metrics={**BUYERS, "sets": ["s"]}))
    assert found["revenue"].test("equivalence").null == 0.01
    assert found["buyers"].test("equivalence") is None


def test_two_sets_that_disagree_are_an_error(tmp_path):
    sets = {
        "metric_sets": {
            "a": {"guardrail": {"refunds": {"margin": "1%"}}},
            "b": {"guardrail": {"refunds": {"margin": "50%"}}},
        }
    }
    assert rules(project(tmp_path, SOURCES, METRICS, sets, statements=(), metrics={**BUYERS, "sets": ["a", "b"]})) == {
        "two-targets"
    }
    own = {**BUYERS, "guardrail": {"refunds": {"margin": "2%"}}, "sets": ["a", "b"]}
    assert rules(project(tmp_path / "own", SOURCES, METRICS, sets, statements=(), metrics=own)) == set()


@pytest.mark.parametrize(
    ("ship", "primary", "bounded"),
    [
        (None, "holm", True),
        ({"primary": "any_superior"}, "none", False),
        (None, "bh", False),
        (None, "hommel", True),
        (None, "max_t", True),
        (None, {"method": "fixed_sequence", "order": ["buyers", "revenue"]}, True),
        ({"primary": "all_superior"}, "none", True),
        ({"secondary": "any_superior"}, "holm", False),
        ({"guardrail": "any_non_inferior"}, "holm", False),
    ],
)
def test_the_ledger_claims_only_what_the_rule_bounds(tmp_path, ship, primary, bounded):
    metrics = {
        "primary": {"buyers": {"mde": "2%"}, "revenue": {"mde": "2%"}},
        "secondary": {"order_value": None},
        "guardrail": {"refunds": {"margin": "9pp"}},
    }
    changes = {"decision": {"ship": ship}} if ship else {}
    loaded = project(
        tmp_path, SOURCES, METRICS, metrics=metrics, analysis={"multiplicity": {"primary": primary}}, **changes
    )
    ledger = loaded.run("test", as_of="2026-03-01").ledger
    assert (ledger["false_ship"] == 0.025) is bounded


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"defaults": {"covariates": {"lookback": "7d", "extra": ["nope"]}}}, "unknown-metric"),
        ({"defaults": {"covariates": {"lookback": "0d", "extra": ["refunds"]}}}, "covariate-without-lookback"),
    ],
)
def test_project_defaults_are_checked(tmp_path, settings, rule):
    assert rule in rules(project(tmp_path, SOURCES, METRICS, statements=(), settings=settings, metrics=BUYERS))


def test_a_default_correction_holds_where_the_experiment_is_silent(tmp_path):
    settings = {"defaults": {"multiplicity": {"primary": "hochberg"}}}
    found = rows(project(tmp_path, SOURCES, METRICS, settings=settings, metrics=REVENUE))
    assert found["revenue"].test("superiority").procedure == "hochberg"


def test_a_current_value_that_adjusts_is_a_warning(tmp_path):
    definitions = {"sources": {**SOURCES["sources"], "users": USERS}}
    loaded = project(
        tmp_path,
        definitions,
        METRICS,
        statements=(),
        metrics=BUYERS,
        analysis={"covariates": {"lookback": "0d", "extra": ["users.age"]}},
    )
    assert "current-value-attribute" in {d.rule for d in loaded.loaded.diagnostics if d.severity == "warning"}


@pytest.mark.parametrize(
    ("kind", "changes", "rule"),
    [("orders", {"timestamp": None}, "missing-key"), ("assignments", {"settles_after": "2d"}, "unknown-key")],
)
def test_source_keys_without_effect_are_errors(tmp_path, kind, changes, rule):
    assert rule in rules(project(tmp_path, source(kind, **changes), METRICS, statements=(), metrics=BUYERS))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"validation": {"srm_alpha": 0.01}, "analysis": {"alpha": {"quality": 0.02}}}, "two-levels"),
        ({"analysis": {"multiplicity": {"primary": {"method": "holm", "order": ["buyers"]}}}}, "correction-keys"),
        ({"analysis": {"sequential": {"method": "fixed", "spending": "pocock"}}}, "fixed-design"),
        (
            {
                "metrics": {**BUYERS, "guardrail": {"refunds": {"margin": "1pp"}}},
                "decision": {"practical": {"refunds": "1pp"}},
            },
            "practical-guardrail",
        ),
    ],
)
def test_experiment_keys_without_effect_are_errors(tmp_path, changes, rule):
    assert rules(project(tmp_path, SOURCES, METRICS, statements=(), **{"metrics": BUYERS, **changes})) == {rule}


@pytest.mark.parametrize("name", ["Percent", "bananas", "currency:euro"])
def test_a_format_is_one_of_those_known(tmp_path, name):
    metrics = metric(buyers={**METRICS["metrics"]["buyers"], "format": name})
    assert "invalid-value" in rules(project(tmp_path, SOURCES, metrics, statements=(), metrics=BUYERS))


@pytest.mark.parametrize("name", ["user", "order", "group", "at", "timestamp", "select"])
def test_a_reserved_word_as_a_column_is_quoted_everywhere(tmp_path, name):
    """On PostgreSQL a bare `user` is the login name: every row would be one unit."""
    definitions = source("orders", entities={"user": name})
    loaded = project(tmp_path, definitions, METRICS, statements=(), metrics=BUYERS)
    for dialect, quoted in (("duckdb", f'"{name}"'), ("postgres", f'"{name}"'), ("snowflake", f'"{name.upper()}"')):
        assert f"{quoted} AS unit" in loaded.compile("test", dialect).text


@pytest.mark.parametrize("part", ["measure", "filter", "query"])
def test_a_quotient_of_whole_numbers_keeps_its_digits_everywhere(tmp_path, part):
    """Snowflake's 1 / 3 is 0.333333, PostgreSQL's 0; a share of one in ten millions would be nothing."""
    parts = {
        "measure": {"measures": {"amount": "items / visits", "product": "product"}},
        "filter": {"filter": ["items / visits > 0.1"]},
        "query": {"table": None, "sql": "SELECT *, items / visits AS share FROM orders"},
    }
    loaded = project(tmp_path, source("orders", **parts[part]), METRICS, statements=())
    for dialect, double in (("snowflake", "DOUBLE"), ("postgres", "DOUBLE PRECISION")):
        assert f"CAST(items AS {double}) / " in loaded.compile("test", dialect).text
    own = project(tmp_path, source("orders", **parts[part], dialect="snowflake"), METRICS, statements=())
    assert "CAST(items AS DOUBLE)" not in own.compile("test", "snowflake").text


@pytest.mark.parametrize("dialect", ["snowflake", "spark"])
def test_a_quotient_in_a_quotient_keeps_its_digits_too(tmp_path, dialect):
    changed = source("orders", measures={"amount": "(items / visits) / days / 3", "product": "product"})
    text = project(tmp_path, changed, METRICS, statements=()).compile("test", dialect).text
    inner = "(CAST(items AS DOUBLE) / NULLIF(visits, 0))"
    assert f"CAST(CAST({inner} AS DOUBLE) / NULLIF(days, 0) AS DOUBLE) / 3" in text


@pytest.mark.parametrize("text", ["flag IS NOT TRUE", "flag IS FALSE", "(a > 1) IS TRUE"])
def test_three_valued_tests_are_refused(tmp_path, text):
    """One engine's writer turns them into NOT, which drops rows with NULL."""
    metrics = metric(buyers={**METRICS["metrics"]["buyers"], "filter": text})
    assert rules(project(tmp_path, SOURCES, metrics, statements=(), metrics=BUYERS)) == {"sql-function"}


@pytest.mark.parametrize(
    "profile",
    [
        {"password": "${PW:-hunter2}"}, {"PASSWORD": "hunter2"}, {"api_key": "hunter2"}, {"uri": "postgres://u:hunter2@db/x"},
        {"path": "md:x?motherduck_token=hunter2"}, {"private_key_file_pwd": "hunter2"}, {"passcode": "hunter2"},
    ],
)  # fmt: skip
def test_secrets_in_clear_are_found_and_never_shown(tmp_path, profile, capsys, monkeypatch):
    from metricdef.cli.main import main

    project(
        tmp_path,
        SOURCES,
        METRICS,
        statements=(),
        settings={"profiles": {"local": {"type": "duckdb", **profile}}},
        metrics=BUYERS,
    )
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 1
    shown = capsys.readouterr()
    assert "literal-secret" in shown.out
    assert "hunter2" not in shown.out + shown.err


def test_a_value_from_the_environment_never_reaches_a_message(tmp_path, capsys, monkeypatch):
    from metricdef.cli.main import main

    project(
        tmp_path,
        SOURCES,
        METRICS,
        statements=(),
        settings={"profiles": {"local": {"type": "duckdb", "path": "${WAREHOUSE}"}}},
        metrics=BUYERS,
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WAREHOUSE", "hunter2.duckdb")
    assert main(["run", "test"]) == 2
    (tmp_path / "hunter2.duckdb").write_bytes(b"not a database")
    assert main(["run", "test"]) == 2
    shown = capsys.readouterr()
    assert "hunter2" not in shown.out + shown.err
    assert "${WAREHOUSE}" in shown.err


def test_a_segment_on_attributes_without_columns(tmp_path):
    definitions = {"sources": {**SOURCES["sources"], "users": USERS}}
    segments = {"segments": {"known": {"source": "users", "filter": "1 = 1"}}}
    statements = (UNITS, ORDERS, "CREATE TABLE users AS SELECT 'u' || i AS user_id, 1 AS age FROM range(100) AS r(i)")
    assert rows(
        project(tmp_path, definitions, METRICS, segments, statements=statements, population=["known"], metrics=BUYERS)
    )["buyers"].units == (50, 50)


def test_an_attribute_valid_since_ever(tmp_path):
    definitions = {"sources": {**SOURCES["sources"], "users": {**USERS, "valid_from": "since", "valid_to": "until"}}}
    segments = {"segments": {"known": {"source": "users", "filter": "age = 1"}}}
    statements = (
        UNITS, ORDERS,
        (
            "CREATE TABLE users AS SELECT 'u' || i AS user_id, 1 AS age,"
            " CASE i % 3 WHEN 0 THEN '-infinity'::TIMESTAMP WHEN 1 THEN NULL ELSE TIMESTAMP '2025-01-01' END AS since,"
            " CASE i % 2 WHEN 0 THEN 'infinity'::TIMESTAMP END AS until FROM range(100) AS r(i)"
        ),
    )  # fmt: skip
    assert rows(
        project(tmp_path, definitions, METRICS, segments, statements=statements, population=["known"], metrics=BUYERS)
    )["buyers"].units == (50, 50)


def test_covariates_do_not_take_a_rare_proportion_off_the_score_test(tmp_path):
    """With 4 and 1 events Lin's normal theory called a guardrail non-inferior at p = 1e-10."""
    statements = (
        "INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN i < 3232 THEN 'control' ELSE 'treatment' END, TIMESTAMP '2026-01-02', 'web' FROM range(4828) AS r(i)",
        "INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2026-01-03', 1, 'p', 'refunded' FROM (VALUES (1), (2), (3), (4), (4000)) AS v(i)",
        "INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2025-12-30', i % 5, 'p', 'refunded' FROM range(0, 4828, 3) AS r(i)",
    )
    guardrail = {"primary": {"buyers": {"mde": "2%"}}, "guardrail": {"refunds": {"margin": "0.5pp"}}}
    found = []
    for name, covariates in (("plain", "off"), ("adjusted", {"lookback": "14d"})):
        loaded = project(
            tmp_path / name, SOURCES, METRICS, statements=statements, metrics=guardrail,
            analysis={"covariates": covariates}, arms={"control": {"share": "2/3"}, "treatment": {"share": "1/3"}},
        )  # fmt: skip
        found.append(rows(loaded)["refunds"])
    plain, adjusted = found
    assert adjusted.estimator.name == plain.estimator.name == "score"
    assert adjusted.p_value == plain.p_value > 1e-4
    assert adjusted.relative.lower > -1


def test_all_against_none_is_the_strongest_result_also_with_covariates(tmp_path):
    statements = (
        UNITS,
        "INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2026-01-03', 1, 'p', 'paid' FROM range(0, 400, 2) AS r(i)",
    )
    loaded = project(
        tmp_path, SOURCES, METRICS, statements=statements, metrics=BUYERS, analysis={"covariates": {"lookback": "14d"}}
    )
    found = rows(loaded)["buyers"]
    assert (found.baseline_value, found.arm_value, found.verdict) == (1.0, 0.0, "inferior")


def test_of_several_valid_attribute_rows_the_latest_counts(tmp_path):
    """A history without an end column must not be mixed into a row that never was."""
    definitions = {
        "sources": {**SOURCES["sources"], "users": {**USERS, "valid_from": "since", "dimensions": ["age", "plan"]}}
    }
    segments = {"segments": {"now": {"source": "users", "filter": "age = 5 AND plan = 3"}}}
    statements = (
        UNITS,
        ORDERS,
        (
            "CREATE TABLE users AS SELECT 'u' || i AS user_id, v.* FROM range(400) AS r(i),"
            " (VALUES (7, 2, TIMESTAMP '2025-01-01'), (5, 3, TIMESTAMP '2026-01-02'), (1, 1, TIMESTAMP '2026-01-02 00:00:01')) AS v(age, plan, since)"
        ),
    )
    loaded = project(
        tmp_path, definitions, METRICS, segments, statements=statements, population=["now"], metrics=BUYERS
    )
    readout = loaded.run("test", as_of="2026-03-01")
    assert readout.estimates[0].units == (200, 200)
    assert next(h for h in readout.health if h.check == "attributes_users").status == "pass"


@pytest.mark.parametrize(
    "decision",
    [
        {"ship": {"primary": "any_inferior"}},
        {"stop": {"primary": "any_superior"}},
        {"ship": {"guardrail": "all_superior"}},
    ],
)
def test_a_rule_that_ships_harm_is_an_error(tmp_path, decision):
    metrics = {**BUYERS, "guardrail": {"refunds": {"margin": "1pp"}}}
    assert rules(project(tmp_path, SOURCES, METRICS, statements=(), metrics=metrics, decision=decision)) == {
        "decision-condition"
    }


def test_a_key_that_no_row_has_is_named(tmp_path):
    exposure = {"source": "assignments", "key": "tset"}
    readout = project(tmp_path, SOURCES, METRICS, metrics=BUYERS, exposure=exposure).run("test", as_of="2026-03-01")
    assert "`tset`" in next(h for h in readout.health if h.check == "exposure_rows").message


def test_a_covariate_that_is_no_number_is_located(tmp_path):
    definitions = {"sources": {**SOURCES["sources"], "users": {**USERS, "dimensions": ["country"]}}}
    statements = ("CREATE TABLE users (user_id VARCHAR, country VARCHAR)",)
    loaded = project(
        tmp_path, definitions, METRICS, statements=statements, metrics=BUYERS, analysis={"covariates": {"lookback": "0d", "extra": ["users.country"]}}
    )  # fmt: skip
    with pytest.raises(DefinitionErrors) as caught:
        loaded.run("test", as_of="2026-03-01")
    assert {d.rule for d in caught.value.diagnostics} == {"covariate-not-numeric"}


def test_a_filter_that_is_no_condition_is_located(tmp_path):
    metrics = metric(buyers={**METRICS["metrics"]["buyers"], "filter": "amount"})
    loaded = project(tmp_path, SOURCES, metrics, metrics=BUYERS)
    with pytest.raises(DefinitionErrors) as caught:
        loaded.run("test", as_of="2026-03-01")
    assert {d.rule for d in caught.value.diagnostics} == {"filter-not-boolean"}


def test_a_result_that_lacks_a_column_is_refused(tmp_path):
    """An absent sum was read as 0."""
    from metricdef.analysis.cells import read_cells
    from metricdef.warehouses import connect, resolve_profile

    loaded = project(tmp_path, SOURCES, METRICS, metrics=REVENUE)
    query = loaded.compile("test", as_of="2026-03-01")
    with connect(resolve_profile(None, loaded.definitions.settings.profiles, None, tmp_path)) as warehouse:
        table = warehouse.execute(query.statements)
    read_cells(query.plan, table)
    for name in table.column_names:
        if name not in ("arm", "mixed"):
            with pytest.raises(WarehouseError, match=name):
                read_cells(query.plan, table.drop_columns([name]))


@pytest.mark.parametrize("expression", ["SUBSTR(product, 0, 2)", "SUBSTRING(product, -2)"])
def test_characters_that_are_counted_from_0_or_from_the_end_are_refused(tmp_path, expression):
    """Of 'abc', 0 and 2 are 'a' on DuckDB and PostgreSQL and 'ab' on Spark; -2 is 'bc', or 'abc' on PostgreSQL."""
    assert rules(project(tmp_path, SOURCES, metric(buyers={**METRICS["metrics"]["buyers"], "filter": f"{expression} = 'ab'"}), metrics=BUYERS)) == {"sql-function"}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "SELECT DISTINCT ON (user_id) user_id, happened_at, amount, product, status FROM orders",
        "SELECT o.user_id, o.happened_at, o.amount, o.product, o.status FROM orders AS o POSITIONAL JOIN orders AS p",
    ],
)
def test_rows_that_happen_to_come_first_are_refused(tmp_path, text):
    """Of two orders one was kept, by the order in which the engine read them: revenue was 1 or 100."""
    orders = {**SOURCES["sources"]["orders"], "sql": text}
    del orders["table"]
    sources = {"sources": {**SOURCES["sources"], "orders": orders}}
    assert rules(project(tmp_path, sources, METRICS, metrics=REVENUE)) == {"sql-function"}
