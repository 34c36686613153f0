"""Which look a run is (section 7 of the semantics), and what goes to the record and back."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from metricdef.analysis.look_record import LookRecord, ResultLook, SideLook, before, carried_over, frozen_caps
from metricdef.analysis.schedule import stage_of
from metricdef.analysis.sequential_design import SequentialDesign
from metricdef.analysis.settings import Settings
from metricdef.definitions.models import Decision
from metricdef.stats.group_sequential import AlphaSpending
from metricdef.stats.spending import Spending

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LOOKS = tuple(START + n * DAY for n in (10, 20, 30, 40))
RULE = AlphaSpending(Spending("obrien_fleming"))


def settings(method="group_sequential", looks=LOOKS, unplanned="hide", share=0.0):
    design = SequentialDesign(method, START, looks, RULE if looks else None, share, None, unplanned, None)
    return Settings(
        confidence=0.95, success_alpha=0.025, non_inferiority_alpha=0.025, deterioration_alpha=0.01, srm_alpha=0.001,
        methods={"primary": "holm", "secondary": "holm", "guardrail": "none"}, mixed="exclude", decision=Decision(),
        prefer=(), shown_from=START + 2 * DAY, planned_end=LOOKS[-1], sequential=design,
    )  # fmt: skip


def taken(*days, fractions=None):
    """Recorded looks as of these days: (day, number of the planned look)."""
    return [
        LookRecord(START + day * DAY, number, fractions[i] if fractions else (number / 4 if number else None))
        for i, (day, number) in enumerate(days)
    ]


def stage(day, *history, **changes):
    return stage_of(START + day * DAY, settings(**changes), history)


def test_a_fixed_design_is_early_until_its_planned_end():
    fixed = replace(settings(), sequential=None)
    assert stage_of(LOOKS[-1], fixed).early is None
    early = stage_of(LOOKS[-1] - timedelta(microseconds=1), fixed)
    assert early.early.startswith("before_planned_end")
    assert not early.hidden
    assert stage_of(START + DAY, fixed).hidden


def test_results_that_are_held_back_are_no_look():
    found = stage(1)
    assert (found.hidden, found.look) == (True, None)
    assert "held back" in found.early


@pytest.mark.parametrize(
    ("day", "number", "final"), [(10, 1, False), (19.99, 1, False), (20, 2, False), (39, 3, False), (40, 4, True), (99, 4, True)]
)  # fmt: skip
def test_the_first_run_from_a_planned_look_on_is_that_look(day, number, final):
    look = stage(day).look
    assert (look.number, look.fraction, look.final) == (number, number / 4, final)
    assert look.following == (None if final else LOOKS[number])


@pytest.mark.parametrize("day", [3, 9.99])
def test_before_the_first_look_only_health_is_shown(day):
    found = stage(day)
    assert (found.hidden, found.look) == (True, None)
    assert "look 1 of 4 lies at 2026-01-11" in found.early


def test_a_later_run_before_the_next_look_is_unplanned():
    found = stage(15, *taken((11, 1)))
    assert (found.hidden, found.look) == (True, None)
    assert found.early.startswith("unplanned: look 2 of 4")
    assert stage(20, *taken((11, 1))).look.number == 2
    # A look that nobody took is skipped, and its alpha goes to the next.
    assert stage(31, *taken((11, 1))).look.fraction == 0.75


def test_a_run_as_of_a_recorded_instant_is_a_replay_of_it():
    history = taken((11, 1), (21, 2))
    look = stage(11, *history).look
    assert (look.number, look.earlier, look.recorded) == (1, (), history[0])
    assert look.following == LOOKS[1]
    assert stage(21, *history).look.earlier == (history[0],)
    last = taken((41, 4))
    assert stage(41, *last).look.final


def test_what_a_look_has_already_seen_is_no_look_of_its_own():
    found = stage(12, *taken((31, 3)))
    assert (found.hidden, found.look) == (True, None)
    assert "seen more" in found.early


def test_after_the_last_look_one_is_sent_back_to_it():
    found = stage(60, *taken((41, 4)))
    assert found.hidden
    assert "2026-02-11" in found.early


def test_an_amended_plan_cannot_spend_again_what_is_spent():
    more = tuple(START + n * DAY for n in range(5, 45, 5))
    look = stage(15, *taken((11, 2), fractions=[0.5]), looks=more).look
    assert (look.number, look.fraction) == (3, 0.5)
    found = stage(40, *taken((31, 3), fractions=[1.0]), looks=more)
    assert (found.hidden, found.look) == (True, None)


@pytest.mark.parametrize("days", [(20, 40), (12, 40), (40,), (10, 20)])
def test_a_plan_amended_to_fewer_looks_keeps_its_last_one(days):
    """Looks 1 to 3 of 4 were taken; by their numbers two looks of the new plan were, too, and the rest of alpha was lost."""
    fewer = tuple(START + n * DAY for n in days)
    history = taken((11, 1), (21, 2), (31, 3))
    look = stage(40, *history, looks=fewer).look
    assert (look.number, look.fraction, look.final, look.of) == (len(days), 1.0, True, len(days))
    assert stage(50, *history, *taken((40, 2), fractions=[1.0]), looks=fewer).look is None


def test_a_replay_under_an_amended_plan_is_the_look_that_it_was():
    history = taken((11, 1), (21, 2), (31, 3))
    fewer = tuple(START + n * DAY for n in (20, 40))
    second, third = (stage(day, *history, looks=fewer).look for day in (21, 31))
    assert (second.number, second.fraction, second.final, second.of) == (2, 0.5, False, None)
    assert (third.number, third.of) == (3, None)
    last = stage(40, *history, *taken((40, 2), fractions=[1.0]), looks=fewer).look
    assert (last.final, last.of) == (True, 2)


def test_a_design_may_spend_at_unplanned_runs():
    look = stage(5, unplanned="spend").look
    assert (look.number, look.fraction) == (None, pytest.approx(0.125))
    look = stage(15, *taken((11, 1)), unplanned="spend").look
    assert (look.number, look.fraction, look.following) == (None, pytest.approx(0.375), LOOKS[1])
    history = taken((11, 1), (15, None), fractions=[0.25, 0.375])
    assert stage(20, *history, unplanned="spend").look.fraction == 0.5
    # Late for look 1, with which its time has come already.
    assert stage(15, *taken((14, 1)), unplanned="spend").look.fraction == pytest.approx(0.375)


def test_always_valid_looks_at_every_run():
    changes = {"method": "always_valid", "looks": (), "share": 1.0}
    look = stage(3, **changes).look
    assert (look.number, look.fraction, look.final, look.following) == (None, None, False, None)
    assert stage(40, *taken((3, None)), **changes).look.final
    assert stage(2.5, *taken((3, None)), **changes).hidden


def test_a_hybrid_looks_at_every_run_and_spends_at_planned_ones():
    changes = {"method": "hybrid", "share": 0.2}
    assert stage(5, **changes).look.fraction is None
    assert stage(10, **changes).look.fraction == 0.25
    assert stage(12, *taken((10, 1)), **changes).look.fraction is None
    end = {**changes, "looks": LOOKS[-1:]}
    assert stage(12, **end).look.fraction is None
    assert (stage(41, **end).look.fraction, stage(41, **end).look.final) == (1.0, True)


RESULT = ResultLook(
    "m", "treatment", 2001, "lin", 1 / 3, 0.1 + 0.2, 1e-300, None, -1e-17, 2.5, (-0.1, 0.7),
    {"superiority:greater": SideLook(1.1, 0.3), "deterioration": SideLook(-1.1, 1.0)},
)  # fmt: skip
RECORD = LookRecord(
    datetime(2026, 1, 2, 3, 4, 5, 6, UTC), 2, 0.5, (RESULT,), {"m.upper": 9.25}, {"srm_assignment": 0.4}
)


def test_a_record_goes_through_json_and_comes_back_the_same():
    text = json.dumps(RECORD.to_dict(), allow_nan=False)
    assert LookRecord.from_dict(json.loads(text)) == RECORD
    bare = LookRecord(START, None, None)
    assert LookRecord.from_dict(json.loads(json.dumps(bare.to_dict()))) == bare
    more = {**json.loads(text), "readout": "ab12", "added_later": 1}
    assert LookRecord.from_dict(more) == replace(RECORD, readout="ab12")
    with pytest.raises(KeyError):
        LookRecord.from_dict({"as_of": "2026-01-01T00:00:00Z"})


def named(day, *metrics, caps=()):
    results = tuple(replace(RESULT, metric=new, renamed_from=old) for new, old in metrics)
    return LookRecord(START + day * DAY, None, None, results, dict.fromkeys(caps, 1.0))


def test_looks_are_read_under_the_names_of_today():
    first = named(1, ("a", None), ("a__b", None), caps=["a.upper", "a__numerator.lower", "a__b.upper"])
    second = named(2, ("c", "a"), ("a__b", None))
    (found,) = carried_over([first], {"a": "c"})
    assert [r.metric for r in found.results] == ["c", "a__b"]
    assert list(found.caps) == ["c.upper", "c__numerator.lower", "a__b.upper"]
    # Renamed twice: what `c` was before is known from the look in between.
    found = carried_over([second, first], {"c": "d"})
    assert [[r.metric for r in record.results] for record in found] == [["d", "a__b"]] * 2
    # And back again.
    found = carried_over([first, second], {"c": "a"})
    assert [[r.metric for r in record.results] for record in found] == [["a", "a__b"]] * 2
    assert carried_over([second, first], {}) != (first, second)
    assert carried_over([first], {}) == (first,)


def test_what_looks_have_fixed_stays_as_the_first_of_them_had_it():
    later = replace(RECORD, as_of=START + 9 * DAY, caps={"m.upper": 1.0, "n.upper": 2.0})
    assert frozen_caps([later, RECORD]) == {"m.upper": 9.25, "n.upper": 2.0}
    assert before([later, RECORD], START + 9 * DAY) == (RECORD,)
