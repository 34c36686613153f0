"""Checks of bayes.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from metricdef.stats.bayes import NormalPrior, effect_variance, update
from metricdef.stats.effects import unadjusted_mean
from stats.expected import reading
from stats.reference import Case, moments


def check_normal_normal(case: Case) -> None:
    with reading(case) as (inputs, expected):
        pair = [inputs.pop(name) for name in ("control", "treatment")]
        assert all(set(arm) == {"n", "mean", "sd"} for arm in pair)
        arms = [moments(arm["n"], ["y"], [arm["mean"]], [[arm["sd"] ** 2]]) for arm in pair]
        scale = {True: "relative", False: "absolute"}[inputs.pop("relative")]
        effect = effect_variance(unadjusted_mean(arms, "y"), 1, scale)  # type: ignore[arg-type]  # one of the two
        given = inputs.pop("prior")
        assert given is None or set(given) == {"mean", "variance"}
        got = update(
            effect.estimate,
            effect.variance,
            None if given is None else NormalPrior(given["mean"], given["variance"]),
            lower_is_better=inputs.pop("lower_is_better"),
            credible=inputs.pop("credible"),
        )
        expected.take("data_estimate", effect.estimate)
        expected.take("data_variance", effect.variance)
        for key, value in (
            ("posterior_mean", got.mean),
            ("posterior_sd", got.std_dev),
            ("chance_to_win", got.chance_to_beat),
            ("ci_lower", got.lower),
            ("ci_upper", got.upper),
            ("expected_loss_choose_treatment", got.loss_of_treatment),
            ("expected_loss_choose_control", got.loss_of_control),
        ):
            expected.take(key, value)


CHECKS: Mapping[str, Callable[[Any], None]] = {"normal_normal": check_normal_normal}
