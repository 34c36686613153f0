"""The summary of decided experiments in words, with its methods and counts named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from metricdef.analysis.portfolio import Finding, Portfolio, reasons
from metricdef.analysis.rounding import p_text
from metricdef.reports.numbers import decimals_for, estimate_text, number, percent

SCALE = (
    "Effects are shares of the baseline's value, which is taken as known, with the sign by which more is better. "
    "“p” is the comparison's own, “p, over all” is adjusted by Benjamini and Hochberg. “Corrected” is what was found given that it was found: the "
    "conditional maximum likelihood estimate with its interval, after a sequential stop the median-unbiased estimate. "
    "“Shrunk” is pulled towards the mean of all experiments: the first primary metric of each, with its standard error."
)


@dataclass(frozen=True, slots=True)
class FindingLine:
    """One finding as text."""

    experiment: str
    metric: str
    arm: str
    effect: str
    p: str
    p_adjusted: str
    found: str
    style: str
    corrected: str
    corrected_interval: str
    shrunk: str


def summary_lines(
    portfolio: Portfolio,
    decided: int,
    without: Sequence[str],
    invalid: Sequence[str],
    shared: Sequence[Sequence[str]] = (),
) -> Iterator[str]:
    """Sentences; that there is nothing to summarise, where that is so.

    Args:
        portfolio: What is summarised.
        decided: How many experiments are decided.
        without: Those without results on disk.
        invalid: Those whose health failed.
        shared: Groups of those summarised that read the same exposures.
    """
    findings = portfolio.findings
    if not decided:
        yield "No experiment is decided yet: there is nothing to summarise."
        return
    if not findings:
        which = "the decided experiment" if decided == 1 else f"any of the {decided:,} decided experiments"
        yield f"No readout on disk has a trusted result of a primary metric of {which}: nothing is summarised."
    else:
        yield _found(portfolio, decided)
        yield _discoveries(portfolio)
        yield from _overstated(portfolio)
    for names in shared:
        yield (
            f"{', '.join(names)} read the same exposures, so what they found is partly one thing counted {'twice' if len(names) == 2 else 'several times'}: "
            "all of the above takes experiments as independent of each other."
        )
    left_out = [f"{count} because {reason}" for reason, count in reasons(portfolio).items()]
    if left_out:
        yield f"Without an effect or a standard error on the common scale: {'; '.join(left_out)}."
    if invalid:
        yield f"Left out because their health failed: {', '.join(invalid)}."
    if without:
        yield f"Decided, and without results on disk: {', '.join(without)}."


def _found(portfolio: Portfolio, decided: int) -> str:
    found = [f for f in portfolio.findings if f.found]
    better = sum(f.row.verdict == "superior" for f in found)
    one = portfolio.experiments == 1
    return (
        f"The readout{'' if one else 's'} of {portfolio.experiments:,} of {_count(decided, 'decided experiment')} "
        f"{'has' if one else 'have'} {_count(len(portfolio.findings), 'primary comparison')}. By the experiments' own procedures "
        f"{better} {_are(better)} better than the baseline and {len(found) - better} worse."
    )


def _discoveries(portfolio: Portfolio) -> str:
    size, kept = len(portfolio.findings), sum(f.discovery for f in portfolio.findings)
    return (
        f"Taken together, at a false discovery rate of {percent(portfolio.alpha)} (Benjamini–Hochberg over all {size}), {kept} "
        f"{'is a discovery' if kept == 1 else 'are discoveries'}: on average at most {percent(portfolio.alpha)} of such are chance, if the comparisons of one "
        "experiment are not negatively dependent."
    )


def _overstated(portfolio: Portfolio) -> Iterator[str]:
    """What was found, as estimated and shrunk."""
    shrinkage = portfolio.shrinkage
    if shrinkage is None:
        yield f"The effects are not shrunk towards each other: {portfolio.without_shrinkage}."
        return
    winners = [
        f for f in portfolio.findings if f.found and f.row.verdict == "superior" and f.shrunk and f.effect is not None
    ]
    tau = shrinkage.tau2**0.5
    method = (
        f"Paule–Mandel over {len(shrinkage.estimates)} comparisons of the first primary metrics: common mean "
        f"{_effect(shrinkage.mean, shrinkage.mean_std_error)}, true effects vary around it with a standard deviation of {_spread(tau, few=shrinkage.few)}"
    )
    if winners:
        naive = sum(f.effect or 0.0 for f in winners) / len(winners)
        pulled = sum(f.shrunk[0] for f in winners if f.shrunk) / len(winners)
        error = (sum((f.std_error or 0.0) ** 2 for f in winners)) ** 0.5 / len(winners)
        yield (
            f"Winner's curse: the {len(winners)} first primary comparisons that were better gained {_effect(naive, error)} of the baseline on average as "
            f"estimated, and {_effect(pulled, error)} shrunk towards all ({method})."
        )
    else:
        yield f"No first primary metric was found better; shrinkage by {method}."
    if shrinkage.few:
        yield "These are fewer than 10 comparisons: how much true effects vary is hardly known from so few."


def finding_line(finding: Finding) -> FindingLine:
    """One row of the table."""
    row, corrected = finding.row, finding.corrected
    error = finding.std_error
    interval = ""
    if corrected is not None and corrected.lower is not None and corrected.upper is not None:
        decimals = decimals_for(corrected.lower * 100, corrected.upper * 100)
        low, high = (number(limit * 100, decimals, signed=True) for limit in (corrected.lower, corrected.upper))
        interval = f"({low} to {high})"
    verdict = {"superior": "better", "inferior": "worse"}.get(row.verdict, "yes") if finding.found else "no"
    return FindingLine(
        finding.experiment,
        row.metric,
        row.arm,
        "–" if finding.effect is None else _effect(finding.effect, error),
        "–" if finding.p_value is None else p_text(finding.p_value),
        "–" if finding.p_adjusted is None else p_text(finding.p_adjusted),
        verdict,
        {"better": "good", "worse": "bad"}.get(verdict, ""),
        "" if corrected is None else _effect(corrected.estimate, error),
        interval,
        "" if finding.shrunk is None else f"{_effect(*finding.shrunk)} ± {_error(finding.shrunk[1])}",
    )


def _effect(value: float, error: float | None) -> str:
    """`+2.1%`: as many digits as its standard error supports."""
    half = 1.96 * (error or abs(value) / 4)
    return estimate_text(value * 100, decimals_for((value - half) * 100, (value + half) * 100)) + "%"


def _spread(tau: float, *, few: bool) -> str:
    """`about 6%`: one digit of what few comparisons hardly show, else two."""
    return f"about {percent(tau, 1 if few else 2)}"


def _error(error: float) -> str:
    return number(error * 100, decimals_for(-1.96 * error * 100, 1.96 * error * 100)) + "%"


def _count(found: int, noun: str) -> str:
    return f"{found:,} {noun}{'' if found == 1 else 's'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
