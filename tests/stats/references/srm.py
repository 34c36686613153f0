"""Checks of srm.json."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import pytest

from metricdef.errors import NotComputable
from metricdef.stats.exact import chi_square_tail
from metricdef.stats.moments import EPS
from metricdef.stats.srm import chi_square, fixed_sample
from stats.expected import reading
from stats.reference import Case


def check_srm(case: Case) -> None:
    with reading(case) as (inputs, expected):
        counts, shares = inputs.pop("counts"), inputs.pop("expected_ratio")
        if any(share == 0 and count > 0 for count, share in zip(counts, shares, strict=True)):
            # Impossible under the declared shares: no statistic, but a reason; elsewhere infinite with p = 0.
            with pytest.raises(NotComputable) as caught:
                chi_square(counts, shares)
            assert caught.value.reason == "unexpected_arm"
            assert not expected.pop("p_value")
            expected.left.clear()
            return
        pearson, g = (fixed_sample(counts, shares, method) for method in ("chi_square", "g"))
        expected.take("chi2", pearson.statistic)
        expected.take("df", pearson.df)
        expected.take("p_value", pearson.p_value)
        expected.take("expected_counts", pearson.expected)
        if expected.left.get("g_statistic", 0.0) is None:
            del expected.left["g_statistic"], expected.left["g_p_value"]  # 0 ln 0: not defined there, 0 here
        elif "g_statistic" in expected:
            # O ln(O / E) loses eps O there (1e-7 of a billion units); so p is compared at the statistic they print.
            published = expected.left["g_statistic"]
            expected.take("g_statistic", g.statistic)
            want = expected.left["g_p_value"]
            expected.take("g_p_value", chi_square_tail(published, g.df).p_value)
            assert want == 0 or abs(g.log_p_value - math.log(want)) <= 1e-9 + 4 * EPS * sum(counts)
        exactly = [Fraction(share).limit_denominator(10**6) for share in shares]
        for key in ("binomial_exact_p", "multinomial_exact_p", "exact_p"):
            if key in expected:
                expected.take(key, fixed_sample(counts, exactly, "exact").p_value)
        # Pearson's p is the default where no arm expects few units.
        if min(v for v in pearson.expected if v > 0) >= 50:
            assert chi_square(counts, shares).method == "chi_square"


CHECKS: Mapping[str, Callable[[Any], None]] = {"srm_chi_square": check_srm}
