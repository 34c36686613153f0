"""Is a rate, or a split, the same in all arms? Tests of tables of counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from metricdef.errors import NotComputable
from metricdef.stats import exact

_SMALL_EXPECTED = 50


@dataclass(frozen=True, slots=True)
class Homogeneity:
    """Test of equal rates; `log_p_value` is the natural logarithm of p_value.

    `method` says where the p comes from: "exact" is Fisher's test, of several arms each against the others with
    Bonferroni's correction, "bonferroni" several tables (see `add_up`). `statistic` and `df` are Pearson's throughout.
    """

    statistic: float
    df: int
    p_value: float
    log_p_value: float
    method: Literal["chi_square", "exact", "bonferroni"] = "chi_square"


def homogeneity(hits: Sequence[int], totals: Sequence[int]) -> Homogeneity:
    """Test that a rate is the same in all arms.

    Pearson's chi-square of the 2 x K table, sum (x_a - n_a p)^2 / (n_a p (1 - p)), p the rate over all arms, df = K - 1.
    With fewer than 50 units expected in a cell it raises false alarms at small levels (at 0.001 some 4 times as many as
    it says with 1 in a small arm): there p is that of Fisher's exact test. With more than two arms each is held against
    the others, exactly where it expects few, else by chi-square, and p is K times the smallest.
    Pearson (1900); Fisher (1935); Dunn (1961).

    Args:
        hits: Units with the property, per arm.
        totals: Units, per arm; arms without units are left out.

    Raises:
        NotComputable: `too_few_arms` with fewer than 2 arms; `no_variation` when no unit or every unit has it.
    """
    exact.check_counts((*hits, *totals))
    pairs = [(hit, total) for hit, total in zip(hits, totals, strict=True) if total > 0]
    if len(pairs) < 2:
        raise NotComputable("too_few_arms", "comparing rates needs at least 2 arms with units")
    if any(hit > total for hit, total in pairs):
        raise ValueError(f"more hits than units: {list(hits)} of {list(totals)}")
    everything, hit = sum(total for _, total in pairs), sum(hit for hit, _ in pairs)
    if hit in (0, everything):
        raise NotComputable("no_variation", "the rate is 0 or 1 in every arm")
    rate = hit / everything
    statistic = sum((x - n * rate) ** 2 / (n * rate * (1 - rate)) for x, n in pairs)
    df = len(pairs) - 1
    if min(n * min(rate, 1 - rate) for _, n in pairs) >= _SMALL_EXPECTED:
        p = exact.chi_square_tail(statistic, df)
        return Homogeneity(statistic, df, p.p_value, p.log_p_value)
    logs = [_against_others(x, n, hit, everything) for x, n in (pairs if df > 1 else pairs[:1])]
    log_p = min(0.0, min(logs) + math.log(len(logs)))
    return Homogeneity(statistic, df, math.exp(log_p), log_p, "exact")


def _against_others(x: int, n: int, hits: int, total: int) -> float:
    """Log p of one arm's rate against that of the others."""
    rate = hits / total
    if min(n, total - n) * min(rate, 1 - rate) < _SMALL_EXPECTED:
        # The rarer of the two has the shorter list of counts.
        x, hits = (x, hits) if 2 * hits <= total else (n - x, total - hits)
        return exact.hypergeometric_two_sided(x, n, hits, total).log_p_value
    statistic = (x - n * rate) ** 2 / (n * rate * (1 - rate) * (1 - n / total))
    return exact.chi_square_tail(statistic, 1).log_p_value


def independence(table: Sequence[Sequence[int]]) -> Homogeneity:
    """Test that arms have the same split in every row: Pearson's chi-square of an R x K table, df = (R - 1)(K - 1).

    sum (x_ra - n_r n_a / n)^2 / (n_r n_a / n); needs some 5 expected units in every cell. Pearson (1900).

    Args:
        table: Units per arm, by row (a day, a week); rows and arms without units are left out.

    Raises:
        NotComputable: `too_few_rows` or `too_few_arms` with fewer than 2 of them.
    """
    exact.check_counts(units for row in table for units in row)
    arms = [a for a, units in enumerate(zip(*table, strict=True)) if sum(units)]
    rows = [[row[a] for a in arms] for row in table if sum(row)]
    if len(rows) < 2:
        raise NotComputable("too_few_rows", "comparing splits needs units in at least 2 rows")
    if len(arms) < 2:
        raise NotComputable("too_few_arms", "comparing splits needs at least 2 arms with units")
    totals, n = [sum(units) for units in zip(*rows, strict=True)], sum(map(sum, rows))
    statistic = sum(
        (x - sum(row) * t / n) ** 2 / (sum(row) * t / n) for row in rows for x, t in zip(row, totals, strict=True)
    )
    df = (len(rows) - 1) * (len(arms) - 1)
    p = exact.chi_square_tail(statistic, df)
    return Homogeneity(statistic, df, p.p_value, p.log_p_value)


def add_up(parts: Sequence[Homogeneity]) -> Homogeneity:
    """Independent tables as one test: statistics and df of chi-square tests add up. At least one part. Pearson (1900).

    A table with another p stays by itself: p is m times the smallest of the m p-values, one of all chi-square tables
    together and one of each other ("bonferroni").
    """
    statistic, df = sum(part.statistic for part in parts), sum(part.df for part in parts)
    found = exact.joined((part.method == "chi_square", part.statistic, part.df, part.log_p_value) for part in parts)
    return Homogeneity(statistic, df, found.p_value, found.log_p_value, "bonferroni" if found.several else "chi_square")
