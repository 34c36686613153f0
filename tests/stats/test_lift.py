from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricdef.errors import NotComputable
from metricdef.stats.effects import ArmEstimates
from metricdef.stats.lift import delta_lift, log_lift


def estimates(mu0: float, mu1: float, v: tuple[float, float], c10: float = 0.0) -> ArmEstimates:
    return ArmEstimates(
        "lin", np.array([mu0, mu1]), np.array([[v[0], c10], [c10, v[1]]]), np.array(v), np.full(2, 80.0)
    )


@given(st.floats(1, 50), st.floats(1, 50), st.floats(0.01, 0.2), st.floats(0.01, 0.2), st.floats(-0.9, 0.9))
def test_delta_and_log_by_their_textbook_formulae(mu0: float, mu1: float, v0: float, v1: float, rho: float) -> None:
    c10 = rho * math.sqrt(v0 * v1)
    est = estimates(mu0, mu1, (v0, v1), c10)
    delta, log = delta_lift(est, 1, 0.05), log_lift(est, 1, 0.05)
    want = v1 / mu0**2 + mu1**2 * v0 / mu0**4 - 2 * mu1 * c10 / mu0**3
    assert delta.std_error == pytest.approx(math.sqrt(want), rel=1e-6)
    want = v1 / mu1**2 + v0 / mu0**2 - 2 * c10 / (mu0 * mu1)
    assert log.std_error == pytest.approx(math.sqrt(want), rel=1e-6)
    assert (delta.method, log.method) == ("delta", "log")
    assert math.log1p(log.lower) + math.log1p(log.upper) == pytest.approx(2 * math.log(mu1 / mu0), abs=1e-9)
    back = log_lift(est, 0, 0.05, baseline=1)
    assert (1 + back.lower) * (1 + log.upper) == pytest.approx(1)
    assert back.p_value == pytest.approx(log.p_value)


def test_reasons() -> None:
    for call, reason in (
        (lambda: delta_lift(estimates(0.0, 1.0, (1.0, 1.0)), 1, 0.05), "baseline_zero"),
        (lambda: delta_lift(estimates(1e-200, 1.0, (1.0, 1.0)), 1, 0.05), "baseline_zero"),
        (lambda: delta_lift(estimates(2.0, 1.0, (0.0, 0.0)), 1, 0.05), "zero_variance"),
        (lambda: log_lift(estimates(1.0, -1.0, (1.0, 1.0)), 1, 0.05), "no_logarithm"),
        (lambda: log_lift(estimates(1.0, 0.0, (1.0, 1.0)), 1, 0.05), "no_logarithm"),
        (lambda: log_lift(estimates(0.0, 1.0, (1.0, 1.0)), 1, 0.05), "no_logarithm"),
    ):
        with pytest.raises(NotComputable) as caught:
            call()
        assert caught.value.reason == reason
    assert log_lift(estimates(-2.0, -2.2, (0.1, 0.1)), 1, 0.05).estimate == pytest.approx(0.1)
