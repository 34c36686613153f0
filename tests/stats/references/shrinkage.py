"""Checks of shrinkage.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from metricdef.stats.shrinkage import shrink, shrink_dependent
from stats.expected import reading
from stats.reference import Case


def check_empirical_bayes(case: Case) -> None:
    with reading(case) as (inputs, expected):
        estimates, errors, method = inputs.pop("estimates"), inputs.pop("se"), inputs.pop("method")
        wanted = dict(expected.left)
        for got in (
            shrink(estimates, errors, method),
            shrink_dependent(estimates, np.diag(np.square(errors)), method),
        ):
            expected.left = dict(wanted)
            expected.take("tau2", got.tau2)
            expected.take("prior_mean", got.mean)
            expected.take("prior_mean_se", got.mean_std_error)
            expected.take("shrunk", got.estimates)
            expected.take("shrunk_se", got.std_errors)
            expected.take("shrinkage_weight", got.weights)
            expected.take("q_statistic", got.q)


CHECKS: Mapping[str, Callable[[Any], None]] = {"empirical_bayes": check_empirical_bayes}
