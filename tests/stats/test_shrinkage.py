"""Shrinkage against metafor."""

import pytest

from metricdef.stats.shrinkage import dersimonian_laird

from .reference import agrees, cases, name


@pytest.mark.parametrize(
    "case", [c for c in cases("shrinkage", "empirical_bayes") if c["inputs"]["method"] == "DL"], ids=name
)
def test_dersimonian_laird(case):
    got = dersimonian_laird(case["inputs"]["estimates"], case["inputs"]["se"])
    agrees(case, got.tau2, case["expected"]["tau2"])
    agrees(case, got.mean, case["expected"]["prior_mean"])
    for mine, theirs in zip(got.estimates, case["expected"]["shrunk"], strict=True):
        agrees(case, mine, theirs)


def test_too_little_to_shrink():
    with pytest.raises(ValueError, match="at least 2"):
        dersimonian_laird([1.0], [0.1])
