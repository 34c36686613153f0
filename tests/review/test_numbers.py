"""Numbers before and after a change: those of runs of either state, with nothing recorded and nothing shown that runs hide."""

from __future__ import annotations

import hashlib
import json
import shutil

import duckdb
import numpy as np
import pytest

from metricdef.api import Project
from metricdef.cli.main import main
from metricdef.governance.record import record_path
from tests.review.shop_repository import Change, git, write_repository

SHOP, SOURCES = "metrics/shop.yml", "sources/shop.yml"
CHECKOUT, BANNER, RANKING = (f"experiments/{name}.yml" for name in ("checkout", "banner", "ranking"))
LATER = "2026-06-01"

ROWS = """
create table assignments as
  select u as user_id, u % 7 as store_id, e.start + to_minutes((u * 37) % 20000) as assigned_at, e.name as experiment,
    case when hash(u, e.name) % 2 = 0 then 'control' else e.arm end as arm, 'web' as platform, 'Bonn' as city
  from range(4000) t(u), (values ('banner', timestamp '2025-11-01', 'banner'), ('checkout', timestamp '2026-01-01', 'one_page'),
    ('ranking', timestamp '2026-01-01', 'newest')) e(name, start, arm);
create table orders as
  select u as user_id, day + to_minutes(cast(hash(u, day, 1) % 1440 as integer)) as ordered_at,
    cast(hash(u, day, 2) % 9000 as double) / 100 as amount, cast(hash(u, day, 3) % 500 as double) / 100 as discount,
    cast(hash(u, day, 4) % 50 as integer) as product_id, case when hash(u, day, 5) % 5 = 0 then 'refunded' else 'paid' end as status,
    hash(u, day, 6) % 50 = 0 as is_test
  from range(4000) t(u), generate_series(timestamp '2025-10-25', timestamp '2026-02-20', interval 1 day) d(day)
  where hash(u, day, 7) % 20 = 0;
create table sessions as
  select u as user_id, day + to_minutes(cast(hash(u, day, 8) % 1440 as integer)) as started_at,
    case when hash(u, day, 9) % 2 = 0 then 'cart' else 'search' end as page, cast(hash(u, day, 10) % 120 as integer) as seconds,
    'phone' as device, hash(u, day, 11) % 30 = 0 as is_bot
  from range(4000) t(u), generate_series(timestamp '2025-10-25', timestamp '2026-02-20', interval 1 day) d(day)
  where hash(u, day, 12) % 6 = 0
  union all
  select user_id, assigned_at + interval 1 day, 'banner', 90, 'phone', false
  from assignments where experiment = 'banner' and arm = 'banner';
create table users as select u as user_id, timestamp '2020-01-01' as recorded_at, 18 + u % 50 as age from range(4000) t(u);
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    root = write_repository(tmp_path_factory.mktemp("shop") / "repository")
    (root / ".git" / "info" / "exclude").write_text("shop.duckdb\n")
    with duckdb.connect(str(root / "shop.duckdb")) as connection:
        connection.execute(ROWS)
    return root


@pytest.fixture
def repository(shop, tmp_path):
    return shutil.copytree(shop, tmp_path / "repository")


def one(root, experiment, as_of=LATER, base=None):
    (found,) = Project(root).diff([experiment], base, as_of=as_of)
    return found


def pair(found, metric, arm):
    return next(p for p in found.pairs if (p.metric, p.arm) == (metric, arm))


def test_both_sides_are_what_runs_of_either_state_say(repository, tmp_path):
    Change(repository).edit(SHOP, "agg: active_days,", "agg: active_days, window: 7d,").edit(
        BANNER, "{mde: 5%}", "{mde: 6%}"
    )
    found = one(repository, "banner")
    before = shutil.copytree(repository, tmp_path / "before")
    git(before, "checkout", "--quiet", "--force", "main")
    expected = Project(before).run("banner", as_of=LATER)
    assert [p.before for p in found.pairs] == list(expected.estimates)
    after = Project(Change(repository).edit(BANNER, "{mde: 6%}", "{mde: 5%}").root).run("banner", as_of=LATER)
    assert [p.after for p in found.pairs] == list(after.estimates)
    assert found.units == tuple((arm.arm, arm.units, arm.units) for arm in expected.arms)
    assert found.decisions[0] == expected.decision
    assert [(p.metric, p.is_changed) for p in found.pairs] == [("page_views", False), ("visit_days", True)]
    assert found.is_changed
    assert not found.same_sql


def test_the_differences_are_those_of_the_raw_rows(repository):
    """Brute force: counts per unit from the rows, and Welch's difference of their means."""
    change = Change(repository).edit("project.yml", "  covariates: {lookback: 14d}\n", "  covariates: off\n")
    git(repository, "commit", "--quiet", "-am", "without covariates")
    git(repository, "branch", "--force", "main", "change")
    change.edit(
        SHOP,
        "page_views: {type: mean, source: visits,",
        "page_views: {type: mean, source: visits, filter: seconds > 60,",
    )
    found = pair(one(repository, "banner"), "page_views", "banner")
    for row, condition in ((found.before, "true"), (found.after, "seconds > 60")):
        with duckdb.connect(str(repository / "shop.duckdb"), read_only=True) as connection:
            values = connection.execute(
                f"""select arm = 'banner', (select count(*) from sessions s where s.user_id = a.user_id and not is_bot and {condition}
                  and started_at >= assigned_at and started_at < assigned_at + interval 14 day)
                from assignments a where experiment = 'banner' and assigned_at < timestamp '2025-12-01'"""
            ).fetchnumpy()
        treated, counts = (np.asarray(column) for column in values.values())
        one_arm, other = counts[treated].astype(float), counts[~treated].astype(float)
        assert row.units == (len(other), len(one_arm))
        assert row.absolute.estimate == pytest.approx(one_arm.mean() - other.mean(), rel=1e-12)
        error = np.sqrt(one_arm.var(ddof=1) / len(one_arm) + other.var(ddof=1) / len(other))
        assert row.absolute.std_error == pytest.approx(error, rel=1e-12)


def test_a_renamed_metric_is_compared_with_itself(repository):
    Change(repository).edit(SHOP, "  visit_days: {", "  days: {renamed_from: visit_days, ").edit(
        BANNER, "visit_days:", "days:"
    )
    found = one(repository, "banner")
    assert {p.metric for p in found.pairs} == {"page_views", "days"}
    assert not found.is_changed


def test_nothing_changes_where_nothing_does(repository):
    Change(repository).edit(SHOP, "Placed a paid order.", "Paid.")
    found = one(repository, "banner")
    assert found.same_sql
    assert not found.is_changed


def test_a_verdict_that_flips_is_named(repository, capsys):
    Change(repository).edit(
        SHOP,
        "page_views: {type: mean, source: visits,",
        "page_views: {type: mean, source: visits, filter: page <> 'banner',",
    )
    (flipped,) = one(repository, "banner").flips
    assert (flipped.metric, flipped.before.verdict, flipped.after.verdict) == ("page_views", "superior", "inconclusive")
    code = main(["diff", "banner", "--project", str(repository), "--as-of", LATER, "--quiet", "--fail-on", "changed"])
    assert code == 1
    assert "VERDICT CHANGES" in capsys.readouterr().out


# --- what runs hide -------------------------------------------------------------------------------------------------------


def state(root):
    """Everything that governance keeps, byte for byte."""
    return {p: p.read_bytes() for p in sorted((root / "metrics").rglob("*")) if p.is_file()}


@pytest.mark.parametrize("lifted", [False, True])
def test_a_hold_hides_estimates_also_where_the_change_lifts_it(repository, capsys, lifted):
    change = Change(repository).edit(SHOP, "p99.5", "p99")
    if lifted:
        change.edit(CHECKOUT, "    validation: {hold: 3d}\n", "")
    before = state(repository)
    found = one(repository, "checkout", "2026-01-03")
    assert "held back until 2026-01-04" in found.hidden
    assert (found.pairs, found.decisions) == ((), None)
    assert [units for units in found.units if units[1]]
    for form in ("text", "json", "markdown"):
        arguments = [
            "diff",
            "checkout",
            "--project",
            str(repository),
            "--as-of",
            "2026-01-03",
            "--quiet",
            "--format",
            form,
        ]
        assert main(arguments) == 0
        assert "revenue" not in capsys.readouterr().out
    assert state(repository) == before


def test_a_hold_that_the_change_brings_hides_both(repository):
    Change(repository).edit(CHECKOUT, "hold: 3d", "hold: 10d")
    assert "as defined now: results are held back" in one(repository, "checkout", "2026-01-06").hidden
    assert one(repository, "checkout", "2026-01-12").hidden is None


@pytest.mark.parametrize("as_of", ["2026-01-10", "2026-01-22", "2026-02-01"])
def test_no_look_is_taken_on_the_side(repository, as_of):
    """Neither between looks nor at a planned one that no run has recorded, and no record is written."""
    Change(repository).edit(SHOP, "at_least: 60", "at_least: 90")
    before = state(repository)
    found = one(repository, "ranking", as_of)
    assert found.hidden is not None
    assert found.pairs == ()
    assert state(repository) == before


def test_a_recorded_look_is_compared(repository):
    project = Project(repository)
    readout = project.run("ranking", as_of="2026-01-22")
    assert len(project.diff(["ranking"], as_of="2026-01-22")[0].pairs) == len(readout.estimates) == 1
    rows = record_path(repository, "ranking").read_bytes()
    found = one(repository, "ranking", "2026-01-22")
    assert found.hidden is None
    assert found.pairs[0].before.verdict == readout.estimates[0].verdict
    assert one(repository, "ranking", "2026-01-30").hidden is not None
    assert record_path(repository, "ranking").read_bytes() == rows


def test_another_design_is_no_way_around_looks(repository):
    text = "      sequential: {method: group_sequential, spending: obrien_fleming, looks: [21d, 38d]}\n"
    Change(repository).edit(RANKING, text, "")
    assert one(repository, "ranking", "2026-01-10").hidden is not None


def test_an_earlier_end_is_no_way_to_an_early_verdict(repository):
    Change(repository).edit(CHECKOUT, "end: 2026-02-01", "end: 2026-01-05")
    found = one(repository, "checkout", "2026-01-25")
    assert found.hidden is not None
    assert "nothing is tested yet" in found.hidden


def test_a_committed_deviation_is_no_way_to_an_early_verdict(repository):
    """A lock that `run` obeys holds for the base too, or else committing the change would show what it hides."""
    Project(repository).lock("checkout")
    git(repository, "commit", "--quiet", "--all", "-m", "locked")
    Change(repository).edit(CHECKOUT, "end: 2026-02-01", "end: 2026-01-05")
    git(repository, "commit", "--quiet", "--all", "-m", "an earlier end")
    found = one(repository, "checkout", "2026-01-25", "HEAD")
    assert found.hidden is not None
    assert "a run is refused" in found.hidden
    assert found.pairs == ()


def test_before_the_planned_end_of_a_fixed_design_intervals_have_no_verdict(repository):
    Change(repository).edit(SHOP, "p99.5", "p99")
    found = one(repository, "checkout", "2026-01-20")
    assert found.hidden is None
    assert {p.after.verdict for p in found.pairs} == {"not_computed"}


# --- what cannot be compared ----------------------------------------------------------------------------------------------


def test_what_cannot_be_compared(repository, capsys):
    arguments = ["diff", "banner", "--project", str(repository), "--quiet"]
    assert main([*arguments, "--as-of", "2100-01-01"]) == 2
    assert "lies in the future" in capsys.readouterr().err
    assert main(["diff", "baner", "--project", str(repository), "--quiet"]) == 2
    assert "did you mean `banner`?" in capsys.readouterr().err
    Change(repository).edit(SHOP, "agg: active_days", "agg: days")
    git(repository, "commit", "--quiet", "-am", "broken")
    git(repository, "branch", "--force", "main", "change")
    Change(repository).edit(SHOP, "agg: days", "agg: active_days")
    assert main(arguments) == 2
    assert "can't be run" in capsys.readouterr().err


def test_a_new_experiment_has_nothing_to_be_compared_with(repository, capsys):
    text = (repository / "metrics" / BANNER).read_text()
    Change(repository).write("experiments/second.yml", text.replace("  banner:\n    owners", "  second:\n    owners"))
    assert main(["diff", "second", "--project", str(repository), "--quiet"]) == 2
    assert "is not defined before" in capsys.readouterr().err


def test_plan_with_numbers(repository, capsys):
    Change(repository).edit(SHOP, "agg: active_days,", "agg: active_days, window: 7d,")
    arguments = ["plan", "--project", str(repository), "--quiet", "--as-of", LATER, "--diff"]
    assert main([*arguments, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [n["experiment"] for n in document["numbers"]] == ["banner"]
    changed = {c["metric"]: c["changed"] for c in document["numbers"][0]["comparisons"]}
    assert changed == {"page_views": False, "visit_days": True}
    assert main([*arguments, "--format", "markdown"]) == 0
    assert "**Numbers of `banner`**: 1 comparison of 2 changes, no verdict." in capsys.readouterr().out
    assert main(["plan", "--project", str(repository), "--quiet", "--as-of", LATER]) == 2


# --- samples --------------------------------------------------------------------------------------------------------------


def drawn(user):
    """Whether a unit is among a quarter of all, as documented: by the first four bytes of a hash."""
    return int(hashlib.md5(f"metricdef sample {user}".encode()).hexdigest()[:8], 16) < 2**30


def test_a_sample_has_the_same_units_under_both_states_and_no_verdict(repository, capsys):
    change = Change(repository).edit("project.yml", "  covariates: {lookback: 14d}\n", "  covariates: off\n")
    git(repository, "commit", "--quiet", "-am", "without covariates")
    git(repository, "branch", "--force", "main", "change")
    change.edit(
        SHOP, "source: visits, agg: count, direction", "source: visits, filter: seconds > 60, agg: count, direction"
    )
    (found,) = Project(repository).diff(["banner"], as_of=LATER, sample="25%")
    with duckdb.connect(str(repository / "shop.duckdb"), read_only=True) as connection:
        rows = connection.execute(
            """select a.user_id, arm = 'banner', count(seconds), count(case when seconds > 60 then 1 end)
            from assignments a left join sessions s on s.user_id = a.user_id and not is_bot
              and started_at >= assigned_at and started_at < assigned_at + interval 14 day
            where experiment = 'banner' and assigned_at < timestamp '2025-12-01' group by all"""
        ).fetchall()
    sampled = np.array([row[1:] for row in rows if drawn(row[0])], dtype=float)
    one_arm, other = sampled[sampled[:, 0] == 1], sampled[sampled[:, 0] == 0]
    assert found.units == (("control", len(other), len(other)), ("banner", len(one_arm), len(one_arm)))
    shown = pair(found, "page_views", "banner")
    for row, column in ((shown.before, 1), (shown.after, 2)):
        assert row.absolute.estimate == pytest.approx(one_arm[:, column].mean() - other[:, column].mean(), rel=1e-12)
        assert (row.verdict, row.p_value, row.tests) == ("not_computed", None, ())
    assert (found.decisions, found.flips, found.is_changed) == (None, (), True)
    arguments = ["diff", "banner", "--project", str(repository), "--as-of", LATER, "--quiet", "--sample", "25%"]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "on 25% of the units: the same units before and now, no verdict and no decision" in text
    assert not any(word in text for word in ("better", "worse", "no clear difference", "decision  "))
    assert main([*arguments[:-1], "0%"]) == 2


def test_a_sample_is_no_look(repository):
    project = Project(repository)
    project.run("ranking", as_of="2026-01-22")
    (found,) = project.diff(["ranking"], as_of="2026-01-22", sample="1/2")
    assert "for all units of a look" in found.hidden


def test_what_computing_again_would_read(repository, capsys):
    """DuckDB tells the size of its file, once a run; drafts that change count, what only changes words does not."""
    Change(repository).edit(SHOP, "agg: active_days,", "agg: active_days, window: 7d,").edit(
        CHECKOUT, "[growth]", "[me]"
    )
    size = (repository / "shop.duckdb").stat().st_size
    arguments = ["plan", "--project", str(repository), "--quiet", "--as-of", LATER, "--cost"]
    assert main([*arguments, "--format", "json"]) == 0
    (cost,) = json.loads(capsys.readouterr().out)["costs"]
    assert (cost["experiment"], cost["before"]["bytes"], cost["after"]["bytes"]) == ("banner", size, size)
    assert main([*arguments, "--format", "markdown"]) == 0
    assert "\nCost: computing 1 experiment again reads at most " in capsys.readouterr().out
    assert main(arguments) == 0
    assert "\nCOST\n  banner: reads at most " in capsys.readouterr().out
