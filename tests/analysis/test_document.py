"""A readout's document read back."""

import json
from dataclasses import replace

import pytest

from metricdef.analysis.document import read_document
from metricdef.errors import UsageError
from tests.reports import sample
from tests.reports.sample import FIRST_ORDER, FUNNEL, LATENCY_P90, levels, readout, row
from tests.reports.test_looks import FOUND, LOOK, SPENT

READOUTS = {
    "plain": readout(),
    "everything beside an estimate": readout(FUNNEL, FIRST_ORDER, LATENCY_P90, health=sample.FAILED),
    "levels": readout(row(), *levels("conversion", sample.DIFFERS, ("web", 0.01, "superior"), (None, 1.0, "inconclusive"))),
    "a look": readout(FOUND, look=LOOK, ledger={"looks": SPENT}),
}  # fmt: skip


@pytest.mark.parametrize("found", READOUTS.values(), ids=READOUTS)
def test_what_is_written_is_read(found):
    again = read_document(found.to_json())
    assert again == found or again.to_json() == found.to_json()  # tuples inside plain data become lists
    assert again.estimates == found.estimates
    assert again.health == found.health


def test_what_a_later_version_adds_is_passed_over_and_what_an_earlier_left_out_has_its_default():
    document = readout().to_dict() | {"new": 1}
    document["estimates"][0]["newer"] = {"a": 1}
    for name in ("design", "sql", "alert"):
        del document[name]
    assert read_document(json.dumps(document)) == readout()


def changed(**changes):
    return json.dumps(readout().to_dict() | changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no", "x.json is not JSON"),
        ("[]", "has no `schema`"),
        (changed(schema="metricdef/readout/2"), "its `schema` is `metricdef/readout/2`"),
        (changed(estimates=3), "`estimates` is no list"),
        (changed(estimates=[{"metric": "m"}]), "`estimates.0.label` is missing"),
        (changed(health=["no"]), "`health.0` is no object"),
        (changed(experiment=3), "`experiment` is 3, not a str"),
        (changed(window=[]), "`window` is no object"),
        (readout().to_json().replace("0.0036", "NaN"), "NaN is no number of JSON"),
    ],
)
def test_what_is_no_readout_is_named(text, message):
    with pytest.raises(UsageError) as error:
        read_document(text, "x.json")
    assert message in error.value.message


def test_units_are_a_pair():
    document = readout().to_dict()
    document["estimates"][0]["units"] = [1, 2, 3]
    with pytest.raises(UsageError, match="has 3 items instead of 2"):
        read_document(json.dumps(document))


def test_an_integer_is_a_number():
    document = readout(replace(row(), baseline_value=1)).to_dict()
    assert read_document(json.dumps(document)).estimates[0].baseline_value == 1
