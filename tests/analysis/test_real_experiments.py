"""Real experiments: every figure against analyses made with scipy and statsmodels straight from the rows.

The data are not part of the project: these tests run where they lie beside the checkout and skip elsewhere.
Figures are compared at 1e-9 relative; where the reference used another convention, the exact relation is tested.
"""

import json
import math
from pathlib import Path

import duckdb
import pytest
import yaml
from projects import write_definitions, write_warehouse

from metricdef.analysis.readout import EstimateRow, Readout
from metricdef.api import Project

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not (DATA / "known_results.json").is_file(), reason="the data sets are not beside this checkout"
)
EXACT = {"rel": 1e-9, "abs": 1e-12}


@pytest.fixture(scope="module")
def known():
    return json.loads((DATA / "known_results.json").read_text())


def row(readout: Readout, metric: str, arm: str) -> EstimateRow:
    return next(r for r in readout.estimates if r.metric == metric and r.arm == arm)


def assert_welch(found: EstimateRow, want: dict) -> None:
    """The reference's Welch test: values, difference, standard error, df, interval, p; lift with delta interval."""
    assert found.units == (want["n_c"], want["n_t"])
    assert found.baseline_value == pytest.approx(want["mean_c"], **EXACT)
    assert found.arm_value == pytest.approx(want["mean_t"], **EXACT)
    assert found.absolute.estimate == pytest.approx(want["diff"], **EXACT)
    assert found.absolute.std_error == pytest.approx(want["se"], **EXACT)
    assert (found.absolute.lower, found.absolute.upper) == pytest.approx(want["ci"], **EXACT)
    test = found.test("superiority")
    assert test.df == pytest.approx(want["df"], **EXACT)
    assert test.p_value == pytest.approx(want["p"], rel=1e-9)
    assert found.relative.estimate == pytest.approx(want["rel_lift"], **EXACT)
    # The reference gives the delta interval; ours is Fieller's, with the same se in its limit. Check ours against
    # its definition: at either limit L, (m1 - (1 + L) m0)^2 = q^2 (V1 + (1 + L)^2 V0), q the test's own quantile.
    v0, v1 = want["var_c"] / want["n_c"], want["var_t"] / want["n_t"]
    q = (want["ci"][1] - want["diff"]) / want["se"]
    for limit in (found.relative.lower, found.relative.upper):
        gap = want["mean_t"] - (1 + limit) * want["mean_c"]
        assert gap**2 == pytest.approx(q**2 * (v1 + (1 + limit) ** 2 * v0), rel=1e-6)


HILLSTROM = (
    {
        "sources": {
            "mailing": {
                "kind": "exposures", "table": "mailing", "timestamp": "sent_at", "entities": {"customer": "customer_id"},
                "experiment": "experiment", "arm": "segment", "dimensions": ["channel"],
            },
            "visits": {"table": "visits", "timestamp": "at", "entities": {"customer": "customer_id"}},
            "orders": {"table": "orders", "timestamp": "at", "entities": {"customer": "customer_id"}, "measures": {"spend": "spend"}},
            "customers": {"kind": "attributes", "table": "customers", "entities": {"customer": "customer_id"}, "dimensions": ["history", "recency"]},
        },
        "segments": {
            "phone": {"source": "mailing", "filter": "channel = 'Phone'"},
            "web": {"source": "mailing", "filter": "channel = 'Web'"},
            "multichannel": {"source": "mailing", "filter": "channel = 'Multichannel'"},
        },
        "metrics": {
            "visit": {"type": "proportion", "source": "visits", "direction": "increase"},
            "visit_adjusted": {"type": "proportion", "source": "visits", "direction": "increase", "covariates": {"lookback": "0d", "extra": ["customers.history"]}},
            "conversion": {"type": "proportion", "source": "orders", "direction": "increase"},
            "spend": {"type": "mean", "source": "orders", "agg": "sum", "measure": "spend", "direction": "increase"},
            "spend_capped": {"type": "mean", "source": "orders", "agg": "sum", "measure": "spend", "direction": "increase", "cap": {"upper": 499}},
            "spend_adjusted": {"type": "mean", "source": "orders", "agg": "sum", "measure": "spend", "direction": "increase", "covariates": {"lookback": "0d", "extra": ["customers.history"]}},
            "spend_per_visit": {"type": "ratio", "numerator": "spend", "denominator": "visit", "direction": "increase"},
        },
    },
)  # fmt: skip

ARMS = {"control": {"key": "No E-Mail"}, "mens": {"key": "Mens E-Mail"}, "womens": {"key": "Womens E-Mail"}}


def hillstrom_experiment(arms: dict, **changes: object) -> dict:
    return {
        "owners": ["crm"], "status": "stopped", "hypothesis": "Mails bring visits.", "exposure": {"source": "mailing", "key": "email"},
        "arms": arms, "start": "2008-03-01", "end": "2008-03-15",
        "metrics": {"primary": {"visit": {"mde": "5%"}}, "secondary": dict.fromkeys(["conversion", "spend", "spend_capped", "spend_adjusted", "visit_adjusted", "spend_per_visit"])},
        **changes,
    }  # fmt: skip


@pytest.fixture(scope="module")
def hillstrom(tmp_path_factory):
    root = tmp_path_factory.mktemp("hillstrom")
    project = {
        "version": 1,
        "name": "hillstrom",
        "entities": ["customer"],
        "profiles": {"local": {"type": "duckdb", "path": "warehouse.duckdb"}},
    }
    two = {name: ARMS[name] for name in ("control", "mens")}
    experiments = {
        "email": hillstrom_experiment(ARMS),
        "mens_only": hillstrom_experiment(two),
        **{name: hillstrom_experiment(ARMS, population=[name]) for name in ("phone", "web", "multichannel")},
    }
    write_definitions(root, *HILLSTROM, {"experiments": experiments}, project=project)
    write_warehouse(
        root,
        f"CREATE TABLE raw AS SELECT * FROM '{DATA / 'hillstrom.parquet'}'",
        "CREATE TABLE mailing AS SELECT customer_id, segment, 'email' AS experiment, TIMESTAMP '2008-03-01 08:00:00' AS sent_at, channel FROM raw",
        "CREATE TABLE visits AS SELECT customer_id, TIMESTAMP '2008-03-02 08:00:00' AS at FROM raw WHERE visit = 1",
        "CREATE TABLE orders AS SELECT customer_id, TIMESTAMP '2008-03-02 09:00:00' AS at, spend FROM raw WHERE conversion = 1",
        "CREATE TABLE customers AS SELECT customer_id, history, recency FROM raw",
    )
    return Project(root)


@pytest.fixture(scope="module")
def email(hillstrom):
    return hillstrom.run("email", as_of="2008-04-01")


@pytest.mark.parametrize("arm", ["mens", "womens"])
@pytest.mark.parametrize("metric", ["visit", "conversion", "spend", "spend_capped"])
def test_hillstrom_welch(email, known, arm, metric):
    want = known["hillstrom"][ARMS[arm]["key"]]
    assert_welch(
        row(email, metric, arm), want["spend_capped_at_q99_of_positive" if metric == "spend_capped" else metric]
    )


def test_hillstrom_srm(email, known):
    check = next(h for h in email.health if h.check == "srm_assignment")
    assert check.statistic == pytest.approx(known["hillstrom"]["srm_equal_thirds"]["chi2"], **EXACT)
    assert check.p_value == pytest.approx(known["hillstrom"]["srm_equal_thirds"]["p"], **EXACT)


@pytest.mark.parametrize("arm", ["mens", "womens"])
def test_hillstrom_ratio(email, known, arm):
    want, found = known["hillstrom"][ARMS[arm]["key"]]["ratio_spend_per_visit"], row(email, "spend_per_visit", arm)
    assert (found.baseline_value, found.arm_value) == pytest.approx((want["ratio_c"], want["ratio_t"]), **EXACT)
    assert found.absolute.estimate == pytest.approx(want["diff"], **EXACT)
    assert found.absolute.std_error == pytest.approx(want["se_delta"], **EXACT)
    # The reference tests with z, this project with Welch's t: the statistic is the same.
    z = found.test("superiority").statistic
    assert math.erfc(abs(z) / math.sqrt(2)) == pytest.approx(want["p"], rel=1e-9)


def test_hillstrom_lin(hillstrom, known):
    """The reference is the interacted OLS of two arms; its HC standard error lacks the superpopulation term."""
    want = known["hillstrom"]["ols_lin_interacted_history_visit_mens"]
    found = row(hillstrom.run("mens_only", as_of="2008-04-01"), "visit_adjusted", "mens")
    assert sum(found.units) == want["n"]
    assert found.estimator.name == "lin"
    assert found.absolute.estimate == pytest.approx(want["est"], **EXACT)
    assert found.absolute.std_error == pytest.approx(want["se"], rel=2e-3)


def test_hillstrom_adjusting_by_history_changes_little(email, known):
    """The reference pools the slope (CUPED), Lin has one per arm: estimates agree within a hundredth of an se."""
    for arm in ("mens", "womens"):
        want, found = known["hillstrom"][ARMS[arm]["key"]]["spend_cuped_on_history"], row(email, "spend_adjusted", arm)
        assert found.absolute.estimate == pytest.approx(want["diff"], abs=0.01 * want["se"])
        assert found.absolute.std_error == pytest.approx(want["se"], rel=1e-3)
        assert found.unadjusted["estimate"] == pytest.approx(row(email, "spend", arm).absolute.estimate, **EXACT)


@pytest.mark.parametrize("channel", ["Phone", "Web", "Multichannel"])
def test_hillstrom_segments(hillstrom, known, channel):
    readout = hillstrom.run(channel.lower(), as_of="2008-04-01")
    for arm in ("mens", "womens"):
        assert_welch(row(readout, "visit", arm), known["hillstrom"][ARMS[arm]["key"]]["by_channel_visit"][channel])


@pytest.fixture(scope="module")
def cookie_cats(tmp_path_factory):
    root = tmp_path_factory.mktemp("cookie_cats")
    project = {
        "version": 1,
        "name": "cookie_cats",
        "entities": ["player"],
        "profiles": {"local": {"type": "duckdb", "path": "warehouse.duckdb"}},
    }
    entity = {"player": "userid"}
    definitions = {
        "sources": {
            "installs": {"kind": "exposures", "table": "installs", "timestamp": "at", "entities": entity, "experiment": "experiment", "arm": "version"},
            "rounds": {"table": "rounds", "timestamp": "at", "entities": entity, "measures": {"rounds": "rounds"}},
            "sessions": {"table": "sessions", "timestamp": "at", "entities": entity},
        },
        "metrics": {
            "retention_1": {"type": "proportion", "source": "sessions", "window": "1d..2d", "direction": "increase"},
            "retention_7": {"type": "proportion", "source": "sessions", "window": "7d..8d", "direction": "increase"},
            "rounds": {"type": "mean", "source": "rounds", "agg": "sum", "measure": "rounds", "window": "14d", "direction": "increase"},
            "rounds_capped": {"type": "mean", "source": "rounds", "agg": "sum", "measure": "rounds", "window": "14d", "direction": "increase", "cap": {"upper": 493}},
            "most_rounds": {"type": "mean", "source": "rounds", "agg": "max", "measure": "rounds", "missing": "zero", "window": "14d", "direction": "increase"},
        },
        "experiments": {
            "gate": {
                "owners": ["game"], "status": "stopped", "hypothesis": "A later gate keeps players.", "exposure": {"source": "installs", "key": "gate"},
                "arms": {"gate_30": None, "gate_40": None}, "baseline": "gate_30", "start": "2017-01-01", "end": "2017-02-01",
                "metrics": {"primary": {"retention_7": {"mde": "2%"}}, "secondary": dict.fromkeys(["retention_1", "rounds", "rounds_capped", "most_rounds"])},
            }
        },
    }  # fmt: skip
    write_definitions(root, definitions, project=project)
    write_warehouse(
        root,
        f"CREATE TABLE raw AS SELECT * FROM '{DATA / 'cookie_cats.parquet'}'",
        "CREATE TABLE installs AS SELECT userid, version, 'gate' AS experiment, TIMESTAMP '2017-01-10 12:00:00' AS at FROM raw",
        "CREATE TABLE rounds AS SELECT userid, sum_gamerounds AS rounds, TIMESTAMP '2017-01-20 12:00:00' AS at FROM raw",
        "CREATE TABLE sessions AS SELECT userid, TIMESTAMP '2017-01-11 12:00:00' AS at FROM raw WHERE retention_1"
        " UNION ALL SELECT userid, TIMESTAMP '2017-01-18 11:59:59' FROM raw WHERE retention_7",
    )
    return Project(root).run("gate", as_of="2017-03-01")


@pytest.mark.parametrize("metric", ["retention_1", "retention_7", "rounds", "rounds_capped", "most_rounds"])
def test_cookie_cats(cookie_cats, known, metric):
    reference = {
        "rounds": "sum_gamerounds",
        "most_rounds": "sum_gamerounds",
        "rounds_capped": "sum_gamerounds_capped_q99",
    }
    assert_welch(row(cookie_cats, metric, "gate_40"), known["cookie_cats"][reference.get(metric, metric)])


def test_cookie_cats_srm_passes_at_its_level_but_shows_its_p(cookie_cats, known):
    check = next(h for h in cookie_cats.health if h.check == "srm_assignment")
    assert check.p_value == pytest.approx(known["cookie_cats"]["srm_50_50"]["p"], **EXACT)
    assert check.statistic == pytest.approx(known["cookie_cats"]["srm_50_50"]["chi2"], **EXACT)
    assert check.status == "pass"  # 0.0086 is above srm_alpha = 0.001


@pytest.fixture(scope="module")
def landing_page(tmp_path_factory):
    root = tmp_path_factory.mktemp("landing_page")
    project = {
        "version": 1,
        "name": "landing",
        "entities": ["user"],
        "profiles": {"local": {"type": "duckdb", "path": "warehouse.duckdb"}},
    }
    exposures = {
        "kind": "exposures", "table": "visits", "timestamp": "timestamp", "entities": {"user": "user_id"},
        "experiment": "experiment", "arm": "group",
    }  # fmt: skip
    base = {
        "owners": ["web"], "status": "stopped", "hypothesis": "The new page converts.", "baseline": "control",
        "arms": {"control": None, "treatment": None}, "start": "2017-01-01", "end": "2017-02-01",
    }  # fmt: skip
    definitions = {
        "sources": {
            "visits": exposures,
            "conversions": {"table": "visits", "timestamp": "timestamp", "entities": {"user": "user_id"}, "filter": "converted = 1"},
            "first_rows": {"table": "first_rows", "timestamp": "timestamp", "entities": {"user": "user_id"}, "filter": "converted = 1"},
            "first_any": {"table": "first_any", "timestamp": "timestamp", "entities": {"user": "user_id"}, "filter": "converted = 1"},
            "countries": {"kind": "attributes", "table": "countries", "entities": {"user": "user_id"}, "dimensions": ["country"]},
        },
        "segments": {country.lower(): {"source": "countries", "filter": f"country = '{country}'"} for country in ("CA", "UK", "US")},
        "metrics": {
            "converted": {"type": "proportion", "source": "conversions", "direction": "increase"},
            "converted_at_once": {"type": "proportion", "source": "first_rows", "direction": "increase"},
            "converted_first": {"type": "proportion", "source": "first_any", "direction": "increase"},
        },
        "experiments": {
            "page": {**base, "exposure": {"source": "visits", "key": "page"}, "metrics": {"primary": {"converted": {"mde": "2%"}}, "secondary": {"converted_first": None}}},
            "consistent": {
                **base, "metrics": {"primary": {"converted_at_once": {"mde": "2%"}}},
                "exposure": {"source": "visits", "key": "page", "filter": "(\"group\" = 'control') = (landing_page = 'old_page')"},
            },
            **{
                f"page_{country}": {
                    **base, "population": [country], "metrics": {"primary": {"converted_at_once": {"mde": "2%"}}},
                    "exposure": {"source": "visits", "key": "page", "filter": "(\"group\" = 'control') = (landing_page = 'old_page')"},
                }
                for country in ("ca", "uk", "us")
            },
        },
    }  # fmt: skip
    write_definitions(root, definitions, project=project)
    write_warehouse(
        root,
        f"CREATE TABLE visits AS SELECT *, 'page' AS experiment FROM '{DATA / 'ab_data.parquet'}'",
        "CREATE TABLE first_rows AS SELECT DISTINCT ON (user_id) * FROM visits"
        " WHERE (\"group\" = 'control') = (landing_page = 'old_page') ORDER BY user_id, timestamp",
        "CREATE TABLE first_any AS SELECT DISTINCT ON (user_id) * FROM visits ORDER BY user_id, timestamp",
        f"CREATE TABLE countries AS SELECT * FROM '{DATA / 'ab_data_countries.parquet'}'",
    )
    return Project(root)


def assert_proportions(found: EstimateRow, want: dict) -> None:
    """The reference uses z and divisor n; Welch's variance is that times n / (n - 1), arm by arm."""
    assert found.units == (want["n_c"], want["n_t"])
    assert found.baseline_value == pytest.approx(want["x_c"] / want["n_c"], **EXACT)
    assert found.arm_value == pytest.approx(want["x_t"] / want["n_t"], **EXACT)
    assert found.absolute.estimate == pytest.approx(want["diff"], **EXACT)
    parts = [want[f"p_{a}"] * (1 - want[f"p_{a}"]) / want[f"n_{a}"] for a in "ct"]
    assert math.sqrt(sum(parts)) == pytest.approx(want["se_unpooled"], **EXACT)
    bessel = [part * want[f"n_{a}"] / (want[f"n_{a}"] - 1) for part, a in zip(parts, "ct", strict=True)]
    assert found.absolute.std_error == pytest.approx(math.sqrt(sum(bessel)), **EXACT)


def test_landing_page_published_cleaning(landing_page, known):
    """Inconsistent rows filtered out: the published analysis, on the first consistent row of every user."""
    readout = landing_page.run("consistent", as_of="2017-03-01")
    want = known["ab_data"]["published_cleaning"]
    assert_proportions(row(readout, "converted_at_once", "treatment"), want)
    check = next(h for h in readout.health if h.check == "srm_assignment")
    assert check.p_value == pytest.approx(want["srm"]["p"], **EXACT)


def test_landing_page_mixed_users_are_found_and_left_out(landing_page, known):
    readout = landing_page.run("page", as_of="2017-03-01")
    want = known["ab_data"]["group_first_exposure_mixed_users_excluded"]
    found = row(readout, "converted_first", "treatment")
    assert found.units == (want["n_c"], want["n_t"])
    assert readout.excluded_units["mixed"] == known["ab_data"]["users_in_both_groups"]
    mixed = next(h for h in readout.health if h.check == "mixed_units")
    assert mixed.statistic == pytest.approx(
        known["ab_data"]["users_in_both_groups"] / known["ab_data"]["users"], **EXACT
    )
    check = next(h for h in readout.health if h.check == "srm_analysed")
    assert check.statistic == pytest.approx(want["srm"]["chi2"], rel=1e-9)
    # The reference looks at the first row of a user; a conversion on any of the user's rows is more.
    assert_proportions(found, want)
    any_row = row(readout, "converted", "treatment")
    assert any_row.baseline_value * any_row.units[0] == pytest.approx(17_468)
    assert any(item["analysis"] == "mixed_first_arm" for item in readout.sensitivity)


@pytest.mark.parametrize("country", ["CA", "UK", "US"])
def test_landing_page_countries(landing_page, known, country):
    readout = landing_page.run(f"page_{country.lower()}", as_of="2017-03-01")
    want = known["ab_data"]["by_country"][country]
    assert_proportions(row(readout, "converted_at_once", "treatment"), want)


def test_the_data_are_what_the_reference_saw(known):
    with duckdb.connect() as connection:
        query = f"SELECT COUNT(*), COUNT(DISTINCT user_id) FROM '{DATA / 'ab_data.parquet'}'"
        rows = connection.execute(query).fetchone()
    assert rows == (known["ab_data"]["rows"], known["ab_data"]["users"])


def alarms(readout: Readout) -> dict[str, str]:
    return {row.check: row.status for row in readout.health if row.status in ("warn", "fail")}


def test_landing_page_rows_that_contradict_themselves_are_counted(landing_page, known, tmp_path):
    """Group and page disagree: declared as what the source must be like, every such row is counted."""
    agrees = "(\"group\" = 'control') = (landing_page = 'old_page')"
    visits = {
        "table": "visits", "timestamp": "timestamp", "entities": {"user": "user_id"}, "filter": "converted in (0, 1)",
        "dimensions": {"agrees": agrees}, "expect": {"accepted": {"agrees": [True]}, "unique": ["user_id"]},
    }  # fmt: skip
    definitions = yaml.safe_load((landing_page.root / "metrics" / "part_0.yml").read_text(encoding="utf-8"))
    definitions["sources"]["checked"] = visits
    definitions["metrics"]["seen"] = {"type": "mean", "source": "checked", "agg": "count", "direction": "increase"}
    definitions["experiments"]["page"]["metrics"]["secondary"]["seen"] = None
    write_definitions(tmp_path, definitions, project={
        "version": 1, "name": "landing", "entities": ["user"],
        "profiles": {"local": {"type": "duckdb", "path": str(landing_page.root / "warehouse.duckdb")}},
    })  # fmt: skip
    readout = Project(tmp_path).run("page", as_of="2017-03-01")
    found = {row.check: row for row in readout.health}
    assert found["source_accepted"].statistic == known["ab_data"]["rows_group_page_mismatch"]
    assert found["source_unique"].statistic == known["ab_data"]["rows"] - known["ab_data"]["users"]
    assert {found[check].status for check in ("source_accepted", "source_unique")} == {"warn"}
    assert "2017-01-25" in found["source_days"].message  # the data end a week before the protocol does


def test_experiments_without_a_known_fault_raise_no_alarm(landing_page, cookie_cats, email):
    """Days, segments, drift and rates are as chance would have them; what is said is true of the protocols."""
    consistent = landing_page.run("consistent", as_of="2017-03-01")
    assert alarms(consistent) == {"whole_weeks": "warn"}  # 31 days
    assert alarms(cookie_cats) == {"whole_weeks": "warn"}
    # Mails bring visits, the denominator of spend per visit: that ratio is no effect on visitors.
    assert alarms(email) == {"zero_denominators": "warn"}
    assert {row.check for row in consistent.health} >= {"srm_by_day", "allocation_drift", "re_exposures"}
