"""How many digits of variances and covariances survive the compiled SQL, far from zero.

The contract: values at an offset of 1e9 with a standard deviation of about 1 keep at least 6 significant digits of
every variance, and of every covariance relative to sqrt(var var), whatever the values; multiples of 1/64, whose sums
are exact in doubles, agree to 1e-9. What is compared with is computed in fractions from the very doubles that went
into the table, so that the rounding of the input itself, which no query can undo, plays no part.

Why it holds: the SQL subtracts one constant per column, about the pooled mean, before it multiplies. That constant may
itself be off by the rounding of AVG, n * 2^-53 * 1e9 or 1e-4 for 1000 values at worst; it need not be the mean, since
the sums are corrected for the distance afterwards. The differences are of size 1 and exact (Sterbenz: both terms lie
within a factor of 2). So a variance is right to about n * 2^-53. Squares about 0 would leave 1e18 * 2^-53 = 111 of
rounding in every term: no digit.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations_with_replacement

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from projects import METRICS, SOURCES, TABLES, experiment, write_definitions, write_warehouse

from metricdef.api import Project

pytestmark = pytest.mark.soundness
OFFSET, N = 1e9, 1000

FILTERED = {
    "first_value": {"type": "mean", "source": "orders", "agg": "sum", "measure": "amount", "filter": "product = 'x'", "direction": "increase"},
    "second_value": {"type": "mean", "source": "orders", "agg": "sum", "measure": "amount", "filter": "product = 'y'", "direction": "increase"},
    "quotient": {"type": "ratio", "numerator": "first_value", "denominator": "second_value", "direction": "increase"},
    "some": {"type": "mean", "source": "orders", "agg": "sum", "measure": "amount", "filter": "product = 'x' AND amount > 999999999.5", "missing": "exclude", "direction": "increase"},
    "adjusted": {"type": "mean", "source": "orders", "agg": "max", "missing": "zero", "measure": "amount", "direction": "increase", "covariates": {"lookback": "7d"}},
}  # fmt: skip
COLUMNS = ("first_value", "second_value", "adjusted", "adjusted__pre")


def draw(seed: int, exact: bool) -> np.ndarray:
    """(2N, 3) correlated values around the offset: x and y after exposure, one before. Both arms, the second shifted."""
    rng = np.random.default_rng(seed)
    values = rng.multivariate_normal([0, 0, 0], [[1, 0.6, 0.5], [0.6, 1, 0.4], [0.5, 0.4, 1]], 2 * N)
    values[N:, 0] += 0.3
    if exact:
        values = np.round(values * 64) / 64
    return OFFSET + values


def moments(tmp_path, values: np.ndarray) -> dict[str, dict]:
    write_definitions(
        tmp_path, SOURCES, {"metrics": {**METRICS["metrics"], **FILTERED}},
        experiment(metrics={"secondary": dict.fromkeys(FILTERED)}),
    )  # fmt: skip
    write_warehouse(tmp_path, *TABLES)
    units = [f"u{i}" for i in range(2 * N)]
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        arms = ["control"] * N + ["treatment"] * N
        connection.register("people", pa.table({"u": units, "arm": arms}))
        connection.execute("INSERT INTO assignments SELECT u, 'test', arm, TIMESTAMP '2026-01-10', 'web' FROM people")
        for i, (when, product) in enumerate((("2026-01-11", "x"), ("2026-01-12", "y"), ("2026-01-09", "z"))):
            connection.register("rows", pa.table({"u": units, "v": values[:, i]}))
            connection.execute(f"INSERT INTO orders SELECT u, TIMESTAMP '{when}', v, '{product}', 'paid' FROM rows")
            connection.unregister("rows")
    found = Project(tmp_path).run("test", as_of="2026-03-01").moments
    assert len({row["block"] for row in found}) == 1
    return {row["arm"]: row for row in found}


def exact_covariances(values: np.ndarray) -> dict[tuple[int, int], Fraction]:
    """Covariances of the columns, exact: (n sum(xy) - sum(x) sum(y)) / (n (n - 1)) of the doubles as whole multiples."""
    unit = max(float(x).as_integer_ratio()[1] for x in values.flat)
    columns = [[int(Fraction(float(x)) * unit) for x in column] for column in values.T]
    n = len(values)
    return {
        (i, j): Fraction(
            n * sum(a * b for a, b in zip(columns[i], columns[j], strict=True)) - sum(columns[i]) * sum(columns[j]),
            n * (n - 1) * unit**2,
        )
        for i, j in combinations_with_replacement(range(len(columns)), 2)
    }


@pytest.mark.parametrize(("exact", "bound"), [(False, 1e-6), (True, 1e-9)])
@pytest.mark.parametrize("seed", [1, 2])
def test_covariances_keep_their_digits_at_an_offset_of_1e9(tmp_path, seed, exact, bound):
    values = draw(seed, exact)
    found = moments(tmp_path, values)
    largest = np.maximum(values[:, 0], values[:, 1])
    whole = np.column_stack([values[:, 0], values[:, 1], largest, values[:, 2]])
    compared = 0
    for arm, rows in (("control", slice(0, N)), ("treatment", slice(N, 2 * N))):
        row = found[arm]
        assert row["n"] == N
        want = exact_covariances(whole[rows])
        at = [row["columns"].index(name) for name in COLUMNS]
        for (i, j), cov in want.items():
            got = row["cov"][at[i]][at[j]]
            if got is None:
                continue  # no estimate needs it
            scale = float(want[i, i] * want[j, j]) ** 0.5
            assert abs(Fraction(got) - cov) <= bound * scale, (arm, COLUMNS[i], COLUMNS[j])
            compared += 1
    assert compared == 2 * 6  # four variances, and the covariances of quotient and adjusted


def test_a_sum_of_squares_about_zero_would_keep_no_digit():
    """The test above can fail: on the same values the textbook formula is off by more than everything there is."""
    x = draw(1, exact=False)[:N, 0]
    naive = (float((x * x).sum()) - N * float(x.mean()) ** 2) / (N - 1)
    assert abs(naive - float(exact_covariances(x[:, None])[0, 0])) > 0.1


@pytest.mark.parametrize(("exact", "bound"), [(False, 1e-6), (True, 1e-9)])
def test_the_estimate_and_its_error_keep_their_digits_too(tmp_path, exact, bound):
    values = draw(3, exact)
    moments(tmp_path, values)
    row = next(r for r in Project(tmp_path).run("test", as_of="2026-03-01").estimates if r.metric == "first_value")
    arms = [values[:N, :1], values[N:, :1]]
    means = [sum(Fraction(float(x)) for x in arm[:, 0]) / N for arm in arms]
    error = sum(exact_covariances(arm)[0, 0] / N for arm in arms)
    assert row.absolute.std_error == pytest.approx(float(error) ** 0.5, rel=bound)
    assert abs(Fraction(row.absolute.estimate) - (means[1] - means[0])) <= bound * Fraction(float(error) ** 0.5) + Fraction(2.5e-7)  # fmt: skip


def ratio_in_fractions(y: np.ndarray, x: np.ndarray) -> tuple[Fraction, Fraction]:
    """sum(y) / sum(x) and the delta method's variance of it."""
    pairs = [(Fraction(float(a)), Fraction(float(b))) for a, b in zip(y, x, strict=True)]
    n, below = len(pairs), sum(b for _, b in pairs)
    value = sum(a for a, _ in pairs) / below
    return value, sum((a - value * b) ** 2 for a, b in pairs) * n / (n - 1) / below**2


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("metric", ["quotient", "some"])
def test_a_ratio_whose_parts_go_together_keeps_its_digits(tmp_path, metric, seed):
    """Its variance is a difference of terms 1e9 and 1e18 times as large, unless what goes together is taken off first."""
    values = draw(seed, exact=False)
    moments(tmp_path, values)
    row = next(r for r in Project(tmp_path).run("test", as_of="2026-03-01").estimates if r.metric == metric)
    y, x = values[:, 0], values[:, 1]
    if metric == "some":
        x = (y > 999999999.5).astype(float)
        y = y * x
    (base, base_var), (arm, arm_var) = (ratio_in_fractions(y[at], x[at]) for at in (slice(0, N), slice(N, 2 * N)))
    error = float(base_var + arm_var) ** 0.5
    assert row.absolute.std_error == pytest.approx(error, rel=1e-6)
    # The doubles next to the value of an arm are 2.2e-16 of it away, on either side, in both arms and in their sums.
    assert abs(Fraction(row.absolute.estimate) - (arm - base)) <= 1e-6 * error + 8e-16 * float(abs(base))
    assert row.arm_value == pytest.approx(float(arm), rel=1e-15)
