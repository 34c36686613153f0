"""The fault catalogue in short: a clean experiment raises no alarm, and faults that leave traces are caught with few users."""

import re

import duckdb
import pytest

from benchmarks.faults.catalogue import FAULTS, chance
from benchmarks.faults.document import STATISTICAL
from benchmarks.faults.trial import run_faults
from benchmarks.faults.world import clean

UNITS = 2_000
# What is there or not, whatever the number of users, and the check that finds it.
CERTAIN = {
    "arm_renamed": "exposure_unknown_arm", "arm_spelled": "exposure_unknown_arm", "holdout_leaks": "srm_assignment",
    "no_user": "exposure_null_unit", "no_time": "exposure_null_time", "exposure_clock_early": "exposure_before_start",
    "flips": "mixed_units", "not_sticky": "mixed_units", "orders_twice": "source_grain", "orders_twice_in_one_arm": "source_grain",
    "status_in_one_arm": "source_accepted", "orders_without_user": "source_unit", "orders_without_amount": "source_not_null",
    "orders_late": "source_late", "orders_stale": "source_fresh", "orders_dead_in_one_arm": "metric_fill",
    "orders_day_missing": "source_days", "one_whale": "top_unit", "users_twice": "attributes_users",
}  # fmt: skip
EXPERIMENTS = ("plain", "with_holdout", "triggered", "ramped")


@pytest.fixture(scope="module")
def seen():
    faults = [fault for fault in FAULTS if fault.name in CERTAIN]
    return list(run_faults(UNITS, 7, faults, EXPERIMENTS))


@pytest.mark.parametrize(("fault", "check"), CERTAIN.items())
def test_a_fault_that_leaves_a_trace_is_caught(seen, fault, check):
    found = next(trial for trial in seen if trial.fault == fault)
    assert check in found.alarms


def test_clean_experiments_raise_no_alarm_that_is_no_chance(seen):
    trials = [trial for trial in seen if not trial.fault]
    assert [trial.experiment for trial in trials] == list(EXPERIMENTS)
    assert not [set(trial.alarms) - set(STATISTICAL) for trial in trials if set(trial.alarms) - set(STATISTICAL)]


def test_a_fault_is_taken_back_before_the_next(seen):
    """The clean estimate, and that of a fault which touches no value of the experiment, are the same."""
    first = next(trial for trial in seen if not trial.fault and trial.experiment == "plain")
    after = next(trial for trial in seen if trial.fault == "orders_day_missing")
    assert after.effect != first.effect
    again = next(iter(run_faults(UNITS, 7, (), ("plain",))))
    assert (again.effect, again.std_error) == (first.effect, first.std_error)


def test_a_share_is_picked_alike_in_every_statement():
    with duckdb.connect() as connection:
        clean(connection, UNITS, 1)
        condition = chance("pick(user_id, 0.1)", 1)
        (share,) = connection.execute(f"SELECT AVG(CASE WHEN {condition} THEN 1.0 ELSE 0 END) FROM users").fetchone()
        assert share == pytest.approx(0.1, abs=0.025)
        other = chance("pick(user_id, 0.1)", 2)
        (both,) = connection.execute(
            f"SELECT AVG(CASE WHEN {condition} AND {other} THEN 1.0 ELSE 0 END) FROM users"
        ).fetchone()
        assert both == pytest.approx(0.01, abs=0.01)


def test_every_fault_has_a_name_of_its_own_and_changes_something():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 30
    for fault in FAULTS:
        assert all(re.match(r"DELETE|UPDATE|INSERT", statement) for statement in fault.statements)
