"""The reading of a page's numbers notices a wrong one."""

import json

import pytest

from tests.pages.reading import check_numbers, parsed
from tests.reports.sample import readout

DOCUMENT = json.loads(readout().to_json())


def element(path, text, value=""):
    return {"path": path, "text": text, "value": value, "column": "", "keys": {}}


def test_numbers_with_signs_separators_and_exponents():
    assert [value for value, _ in parsed("−0.02 to +1,234.5, p 1.9e-8, 12%")] == [-0.02, 1234.5, 1.9e-8, 12]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("estimates.0.absolute", "+1.00pp (+0.30 to +1.70)"),
        ("estimates.0.relative", "+10.0% (+2.9 to +17.7)"),
        ("estimates.0.values", "10.00% → 11.00%"),
        ("estimates.0.p", "0.0080"),
        ("arms.1.units", "10,012"),
        ("arms.0.share_expected", "50.00%"),
    ],
)
def test_right_and_wrong_numbers(path, text):
    assert check_numbers([element(path, text)], DOCUMENT) == {path}
    for at, digit in enumerate(text):
        if digit.isdigit() and text[at - 1 : at] not in ("p", "e"):
            wrong = f"{text[:at]}{(int(digit) + 3) % 10}{text[at + 1 :]}"
            with pytest.raises((AssertionError, IndexError)):
                check_numbers([element(path, wrong)], DOCUMENT)


def test_a_wrong_decision():
    with pytest.raises(AssertionError):
        check_numbers([element("decision.recommendation", "", "ship")], DOCUMENT)
