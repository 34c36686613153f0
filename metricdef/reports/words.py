"""The readout's codes in words. A code without an entry is shown as itself, never left out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from metricdef.analysis.procedures import NAMES
from metricdef.analysis.readout import EstimateRow, Readout
from metricdef.analysis.rounding import significant_decimals
from metricdef.reports.lines import visible
from metricdef.reports.numbers import Unit, number, percent

NOT_YET = "before_planned_end"
NOT_CROSSED = "bound_not_crossed"

REASONS = {
    "baseline_zero": "the baseline is 0",
    "cap_degenerate": "the cap cuts too much",
    "ill_conditioned": "the covariates can't be told apart",
    "immature": "no window is complete yet",
    "no_units": "no eligible units",
    "no_variation": "the outcome doesn't vary",
    "looks_disagree": "the looks contradict each other",
    "nothing_spent": "no new information at this look",
    "other_definition": "defined otherwise at an earlier look",
    "not_recorded": "not part of the recorded look",
    "not_finite": "infinite or missing numbers",
    "null_out_of_range": "the margin is impossible for a share",
    "quantile_design": "no quantiles in such a design",
    "selection": "the arms differ in who responds",
    "sql_refused": "the warehouse can't compute it",
    "ties": "too many equal values",
    "too_few_clusters": "too few clusters",
    "too_many_looks": "too many looks",
    "too_few_units": "too few units",
    "no_values": "no unit has a value",
    "zero_denominator": "the denominator is 0",
    "zero_variance": "the outcome doesn't vary",
}

GUARDS = {
    "small-sample": "small sample: the normal approximation may be off here",
    "dominant-unit": "one unit makes up more than a tenth of the denominator of an arm",
    "looks-apart": "the present estimate is not what all looks leave: rows were restated, or the effect has changed",
    "few-clusters": "fewer than 10 clusters in an arm: t on so few leans on normal clusters",
}

ESTIMATORS = {
    "lin": "Lin-adjusted",
    "ancova": "ANCOVA-adjusted",
    "ancova_welch": "ANCOVA-adjusted",
    "stratified": "compared within each epoch of the ramp, adjusted",
}

PLAIN_ESTIMATORS = {
    "unadjusted": "",
    "stratified": "compared within each epoch of the ramp",
    "quantile": "quantile: not adjusted, interval from order statistics",
    "score": "score test and interval (Miettinen-Nurminen): fewer than 10 successes or failures in an arm",
}

VERDICT_STYLES = {
    "superior": "green",
    "non_inferior": "green",
    "equivalent": "green",
    "inferior": "red",
    "not_computed": "yellow",
}

HYPOTHESES = {"non_inferiority": "non-inferiority"}

INTERVALS = {
    "simultaneous": "interval that holds for the whole family",
    "fcr": "interval adjusted for selection (false coverage rate)",
}

ANALYSES = {
    "mixed_first_arm": "mixed units kept in their first arm",
    "mixed_excluded": "mixed units left out",
    "unadjusted": "without covariates and strata",
    "uncapped": "without caps",
    "exclude_first_week": "without the units of the first week",
}

BETTER = {"increase": "higher is better", "decrease": "lower is better"}

CHECKS = {
    "srm_assignment": "sample ratio of those assigned",
    "srm_analysed": "sample ratio of those analysed",
    "srm_triggered": "sample ratio of those triggered",
    "srm_by_day": "sample ratio by day",
    "srm_by_segment": "sample ratio by segment",
}

EXCLUDED = {
    "mixed": ("unit that saw several arms", "units that saw several arms"),
    "null_cluster": ("unit without a cluster", "units without a cluster"),
    "untriggered": ("exposed unit that never triggered", "exposed units that never triggered"),
    "outside_population": ("unit outside the population", "units outside the population"),
    "rows_null_unit": ("exposure row without unit", "exposure rows without unit"),
    "rows_null_time": ("exposure row without timestamp", "exposure rows without timestamp"),
    "rows_before_start": ("exposure row before the start", "exposure rows before the start"),
    "rows_on_or_after_end": ("exposure row on or after the end", "exposure rows on or after the end"),
    "rows_after_as_of": ("exposure row at or after as-of", "exposure rows at or after as-of"),
    "rows_not_loaded": ("exposure row not loaded by as-of", "exposure rows not loaded by as-of"),
    "rows_unknown_arm": ("exposure row of an unknown arm", "exposure rows of an unknown arm"),
}


def spelled(code: str) -> str:
    """A code that has no words of its own."""
    return visible(code).replace("_", " ")


def check(code: str) -> str:
    """A health check's name."""
    return CHECKS.get(code) or spelled(code)


def verdict(row: EstimateRow) -> str:
    """The verdict as a reader of the table says it."""
    if row.verdict == "not_computed":
        if row.reason == NOT_YET:
            return "not yet tested"
        reason = row.reason or ""
        return f"not computed: {REASONS.get(reason) or spelled(reason) or 'no reason given'}"
    if row.reason == NOT_CROSSED:
        return "no bound crossed yet"
    margin = margin_words(row)
    if row.verdict == "non_inferior":
        return within(row)
    if row.verdict == "equivalent":
        return equivalent(row)
    if row.verdict == "inconclusive" and row.role == "guardrail" and margin:
        return f"not shown to be {within(row)}"
    plain = {
        "superior": "better",
        "inferior": "worse",
        "inconclusive": "no clear difference",
    }
    return plain.get(row.verdict) or spelled(row.verdict)


def within(row: EstimateRow) -> str:
    """`within the margin of 0.3pp`."""
    margin = margin_words(row)
    return f"within the margin of {margin}" if margin else "within the margin"


def equivalent(row: EstimateRow) -> str:
    """`equivalent within ±1% (relative)`."""
    return f"equivalent within ±{_sized(row.equivalence)}" if row.equivalence else "equivalent"


def margin_words(row: EstimateRow) -> str:
    """The margin as written; a percentage says that it is relative."""
    return _sized(row.estimator.margin if row.estimator else None)


def _sized(written: str | None) -> str:
    text = visible(written or "")
    return f"{text} (relative)" if text.endswith("%") else text


def verdict_style(row: EstimateRow) -> str:
    """The colour of the verdict's words."""
    return VERDICT_STYLES.get(row.verdict, "")


def covariate(name: str) -> str:
    """A covariate, which the readout names in the analyst's words."""
    return visible(name)


def level(value: str | None) -> str:
    """A level of a dimension; a text that could be taken for something else, such as NULL, in quotes."""
    if value is None:
        return "NULL"
    shown = visible(value)
    return f"'{shown}'" if shown.upper() in ("", "NULL") else shown


def levels(segment: Mapping[str, str | None], named: bool = True) -> str:
    """`platform web`, or `web` alone."""
    return ", ".join(f"{visible(name)} {level(value)}" if named else level(value) for name, value in segment.items())


def tests(found: int) -> str:
    """`3 tests`."""
    return "1 test" if found == 1 else f"{found:,} tests"


def excluded(reason: str, found: int, clusters: bool = False) -> str:
    """`12 units outside the population`; windows are complete for clusters where those were randomised."""
    if reason in EXCLUDED:
        return f"{found:,} {EXCLUDED[reason][found != 1]}"
    if reason.startswith("immature_"):
        kind = "cluster" if clusters else "unit"
        noun = f"{kind} whose" if found == 1 else f"{kind}s whose"
        return f"{found:,} {noun} {spelled(reason.removeprefix('immature_'))} window is not complete yet"
    return f"{found:,} {spelled(reason)}"


def instant(text: str) -> str:
    """`2008-03-15 00:00 UTC`; seconds only where there are any."""
    moment = parse_instant(text)
    if moment is None:
        return visible(text)
    seconds = moment.second or moment.microsecond
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if seconds else f"{moment:%Y-%m-%d %H:%M} UTC"


def parse_instant(text: str) -> datetime | None:
    """An ISO timestamp in UTC, or None."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def is_early(readout: Readout) -> bool:
    """Whether the planned end still lies ahead."""
    now, end = parse_instant(readout.as_of), parse_instant(readout.window.get("planned_end", ""))
    return now is not None and end is not None and now < end


def confidence(level: float) -> str:
    """`95%`, `97.5%`."""
    return percent(level, 6)


def limit(value: float, unit: Unit) -> str:
    """A cap in the metric's unit."""
    scaled = value * unit.factor
    return number(scaled, max(0, significant_decimals(scaled, 4)) if scaled % 1 else 0) + unit.suffix


def procedure(code: str) -> str:
    """The correction's name."""
    return NAMES.get(code) or spelled(code)
