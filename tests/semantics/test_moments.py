"""Rules of the moments that leave the warehouse (section 4 of the semantics).

test_metrics_with_the_same_eligible_units_*, test_other_eligible_units_*      blocks
test_means_and_covariances_*, test_third_moment_*, test_size_of_*             every figure of a column, by hand
test_the_centre_*                                                             pooled, one for all arms
test_cells_add_up_*                                                           epochs and levels merge into the whole
test_no_engine_variance_*, test_shifted_*                                     subtract first, then square
"""

import re
from pathlib import Path

import numpy as np
import pytest

import metricdef

from .world import ANY, COUNT, DAY, MICRO, SUM, T0, build, exposure, order, see

T = exposure("t", "treatment")


def arms(control, treatment, platform=None):
    """Units of these values, and one order of each."""
    values = {f"c{i}": ("control", v) for i, v in enumerate(control)} | {f"u{i}": ("treatment", v) for i, v in enumerate(treatment)}  # fmt: skip
    exposures = [
        exposure(unit, arm, platform=platform and platform(i)) for i, (unit, (arm, _)) in enumerate(values.items())
    ]
    return {"exposures": exposures, "orders": [order(unit, amount=float(v)) for unit, (_, v) in values.items()]}


def run(tmp_path, metric, world, **more):
    world = {**world, **more}
    return see(tmp_path, metric, world.pop("exposures"), **world)


def blocks(seen):
    return {row["block"]: row["columns"] for row in seen.readout.moments}


def test_metrics_with_the_same_eligible_units_share_a_block(tmp_path):
    metrics = {
        "revenue": {**SUM, "window": "7d"},
        "late": {**COUNT, "window": "3d..7d"},
        "buyers": {**ANY, "window": "7d", "filter": "amount > 1"},
    }
    found = blocks(see(tmp_path, metrics, [exposure("a"), T]))
    assert [set(columns) for columns in found.values()] == [{"revenue", "late", "buyers"}]


def test_other_eligible_units_are_another_block(tmp_path):
    metrics = {
        "week": {**SUM, "window": "7d"},
        "day": {**COUNT, "window": "1d"},
        "whole": {**COUNT, "window": "experiment"},
        "all": {**ANY, "window": "7d", "immature": "include"},
    }
    exposures = [exposure("a"), exposure("b", at=T0 + MICRO), exposure("c", at=T0 + 6 * DAY + MICRO), T]
    seen = see(tmp_path, metrics, exposures, as_of=T0 + 7 * DAY)
    assert [set(columns) for columns in blocks(seen).values()] == [{"week"}, {"day"}, {"whole", "all"}]
    assert [seen.moments(column=name)["n"] for name in metrics] == [1, 2, 3, 3]


def test_a_value_that_two_metrics_share_is_one_column(tmp_path):
    ratio = {"type": "ratio", "numerator": "revenue", "denominator": "orders", "direction": "increase"}
    found = blocks(see(tmp_path, {"revenue": SUM, "orders": COUNT, "m": ratio}, [exposure("a"), T]))
    expected = {"revenue", "orders", "revenue__residual"}  # the last is of the ratio alone
    assert [set(columns) for columns in found.values()] == [expected]


CONTROL, TREATMENT = [1, 2, 6], [-4, 0, 1, 5]


def test_means_and_covariances_are_those_of_the_arm_with_divisor_n_minus_1(tmp_path):
    ratio = {"type": "ratio", "numerator": "revenue", "denominator": "orders", "direction": "increase"}
    world = arms(CONTROL, TREATMENT)
    world["orders"] += [order("c2", amount=0.0), order("c2", amount=0.0)]  # 3 orders of the unit with 6
    seen = run(tmp_path, {"revenue": SUM, "orders": COUNT, "m": ratio}, world)
    (row,) = [r for r in seen.readout.moments if r["arm"] == "control"]
    at = [row["columns"].index(name) for name in ("revenue", "orders")]
    assert row["n"] == 3
    assert [row["mean"][i] for i in at] == pytest.approx([3, 5 / 3])
    cov = np.array(row["cov"])[np.ix_(at, at)]
    # deviations -2, -1, 3 and -2/3, -2/3, 4/3
    assert cov == pytest.approx(np.array([[14 / 2, 6 / 2], [6 / 2, (24 / 9) / 2]]))


def test_third_moment_is_the_sum_of_cubes_about_the_mean(tmp_path):
    seen = run(tmp_path, SUM, arms(CONTROL, TREATMENT))
    assert seen.moments("control")["third"] == pytest.approx((-2) ** 3 + (-1) ** 3 + 3**3)
    assert seen.moments("treatment")["third"] == pytest.approx((-4.5) ** 3 + (-0.5) ** 3 + 0.5**3 + 4.5**3)


def test_size_of_the_largest_count_of_nonzero_and_of_capped(tmp_path):
    seen = run(tmp_path, {**SUM, "cap": {"lower": -3, "upper": 5}}, arms(CONTROL, TREATMENT))
    control, treatment = seen.moments("control"), seen.moments("treatment")
    assert [control[k] for k in ("max_abs", "nonzero", "capped")] == [5, 3, 1]
    assert [treatment[k] for k in ("max_abs", "nonzero", "capped")] == [5, 3, 1]
    uncapped = seen.moments("treatment", "m__uncapped")
    assert [uncapped[k] for k in ("max_abs", "nonzero", "capped")] == [5, 3, 0]
    assert seen.moments("control", "m__uncapped")["max_abs"] == 6
    negative = run(tmp_path, SUM, arms([1], [-7, 2]))
    assert negative.moments("treatment")["max_abs"] == 7


def test_the_centre_is_pooled_and_the_same_in_every_arm_and_cell(tmp_path):
    world = arms(CONTROL, TREATMENT, platform=lambda i: ("web", "app")[i % 2])
    seen = run(tmp_path, SUM, world, analysis={"breakdowns": ["platform"]})
    (centre,) = {row["centre"][0] for row in seen.readout.moments}
    assert centre == pytest.approx(sum(CONTROL + TREATMENT) / 7)


def test_cells_add_up_to_the_whole(tmp_path):
    """Sums about the common centre are additive: n, sums, products and cubes of the levels give the overall ones."""
    world = arms(CONTROL * 3, TREATMENT * 3, platform=lambda i: ("web", "app", None)[i % 3])
    seen = run(tmp_path, SUM, world, analysis={"breakdowns": ["platform"]})

    def sums(found):
        n, shift = found["n"], found["mean"] - found["centre"]
        square = (found["var"] or 0.0) * (n - 1)
        return np.array([n, n * shift, square + n * shift**2, found["third"] + 3 * shift * square + n * shift**3])

    for arm in ("control", "treatment"):
        parts = [sums(seen.moments(arm, segment={"platform": level})) for level in ("web", "app", None)]
        assert sum(parts) == pytest.approx(sums(seen.moments(arm)))


def test_no_engine_variance_and_no_square_before_the_shift_in_any_template(tmp_path):
    """Products in the templates are of distances from the centre, `d_`, or of whole numbers (rows of events)."""
    templates = sorted((Path(metricdef.__file__).parent.parent / "templates").glob("*.sql.j2"))
    assert templates
    for path in templates:
        text = path.read_text(encoding="utf-8").upper()
        assert not re.search(r"\b(VAR|VARIANCE|STDDEV|COVAR|CORR|REGR|SKEW|KURTOSIS)\w*\s*\(", text), path.name
        assert not re.search(r"V_\{\{[^}]*\}\}\s*\*\s*V_", text), path.name
    ratio = {"type": "ratio", "numerator": "m", "denominator": "orders", "direction": "increase"}
    metrics = {"m": {**SUM, "covariates": {"lookback": "7d"}}, "orders": COUNT, "r": ratio}
    sql = build(tmp_path, metrics, [exposure("a"), T]).compile("test", as_of="2026-03-01").text
    assert not re.search(r"\b(VAR|STDDEV|COVAR|CORR|REGR)_?\w*\(", sql, re.IGNORECASE)
    squared = re.findall(r"SUM\((\w+) \* ", sql)
    assert squared
    assert all(left.startswith("d_") for left in squared)


def test_shifted_sums_keep_the_digits_of_a_variance_far_from_zero(tmp_path):
    seen = run(tmp_path, SUM, arms([1e9, 1e9 + 1, 1e9 + 2], [1e9 + 0.5, 1e9 + 1.5, 1e9 + 1]))
    assert seen.moments("control")["var"] == pytest.approx(1, rel=1e-12)
    assert seen.moments("treatment")["var"] == pytest.approx(0.25, rel=1e-12)
