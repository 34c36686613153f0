"""What qualifies a metric's numbers: corrections, adjustment, caps, guards, and in verbose mode the tests themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from metricdef.analysis.readout import EstimateRow, TestRow
from metricdef.analysis.rounding import TINIEST_P, equation, significant_decimals
from metricdef.reports import looks, words
from metricdef.reports.lines import visible
from metricdef.reports.numbers import MINUS, PERCENT, Unit, count, decimals_for, estimate_text, number, span, unit_of

UNEVEN = 0.001  # p below which a cap is said to cut arms unevenly
SELECTION = 0.01  # p below which arms differ in who has a value at all


def main_test(row: EstimateRow) -> TestRow | None:
    """The test behind the row's p."""
    return row.test("non_inferiority" if row.role == "guardrail" else "superiority")


def shown_p(row: EstimateRow) -> tuple[float, float | None] | None:
    """The adjusted p of the main test (the plain one where nothing is adjusted) and the level it is held against."""
    test = main_test(row)
    p = row.p_value if row.p_adjusted is None else row.p_adjusted
    return None if p is None else (p, test.alpha if test else None)


def of_metric(rows: Sequence[EstimateRow], extra: Sequence[str], verbose: bool, *, steps: bool = True) -> Iterator[str]:
    """Notes on all arms of one metric; `extra` is one more per row. What several arms share is said once.

    Without `steps` those of a funnel are left out, for a table of them.
    """
    yield from _estimators(rows)
    if steps:
        yield from _steps(rows)
    yield from _responses(rows)
    yield from _caps(rows)
    found: dict[str, list[str]] = {}
    for row, more in zip(rows, extra, strict=True):
        for note in [*([more] if more else []), *_diluted(row), *_of_row(row), *(_verbose(row) if verbose else ())]:
            found.setdefault(note, []).append(visible(row.arm))
    # What all arms share comes first, the rest arm by arm.
    for note, arms in sorted(found.items(), key=lambda item: len(item[1]) < len(rows)):
        yield note if len(arms) == len(rows) else f"{', '.join(dict.fromkeys(arms))}: {note}"


def of_level(row: EstimateRow, verbose: bool) -> Iterator[str]:
    """Notes on one level of a breakdown: those of the metric as a whole are not repeated, except in verbose mode."""
    made = row.estimator
    if made and (verbose or made.name == "score"):
        yield from _estimators([row])
    response = row.response
    if verbose or (response and response.p_value < SELECTION):
        yield from _responses([row])
    if verbose:
        yield from _steps([row])
        yield from _caps([row])
        yield from _diluted(row)
    yield from _of_row(row)
    if verbose:
        yield from _verbose(row)


def _of_row(row: EstimateRow) -> Iterator[str]:
    if row.estimator and row.estimator.left_out:
        yield f"left out as too small: {', '.join(map(visible, row.estimator.left_out))}"
    if row.message and row.reason != words.NOT_YET:
        yield visible(row.message)
    elif row.reason and row.reason not in (words.NOT_YET, words.NOT_CROSSED) and row.verdict != "not_computed":
        yield words.spelled(row.reason)
    yield from looks.of_row(row)
    yield from (f"also {_also(word, row)}" for word in row.also)
    test = row.test("deterioration")
    if test and test.rejected:
        p = test.p_value if test.p_adjusted is None else test.p_adjusted
        yield f"deteriorated: {equation('p', p, test.alpha)}, one-sided, {_adjusted(test)}, at {test.alpha:g}"
    yield from _equivalence(row)
    for guard in row.guards:
        yield words.GUARDS.get(guard) or words.spelled(guard)
    if row.baseline_value is not None and row.baseline_value < 0 and row.relative:
        yield "the baseline is negative: the relative effect has the opposite sign of the difference"
    if row.simultaneous and row.simultaneous != row.absolute:
        unit = unit_of(row)
        lower, upper = row.simultaneous.lower, row.simultaneous.upper
        decimals = decimals_for(lower * unit.factor, upper * unit.factor, (0.0,))
        kind = words.INTERVALS.get(row.interval_kind) or words.spelled(row.interval_kind)
        yield f"{kind}: {span((lower, upper), unit, decimals)}{unit.difference_suffix}"


def _equivalence(row: EstimateRow) -> Iterator[str]:
    """`not shown to be equivalent within ±1% (relative): p = 0.2, two one-sided tests, adjusted by Holm, at 0.025`."""
    test = row.test("equivalence")
    if test is None:
        return
    p = test.p_value if test.p_adjusted is None else test.p_adjusted
    start = "" if test.rejected else "not shown to be "
    how = f"two one-sided tests, {_adjusted(test)}, at {test.alpha:g}"
    yield f"{start}{words.equivalent(row)}: {equation('p', p, test.alpha)}, {how}"


def _also(word: str, row: EstimateRow) -> str:
    own = {"non_inferior": words.within(row), "equivalent": words.equivalent(row)}
    return own.get(word) or words.spelled(word)


def _adjusted(test: TestRow) -> str:
    return "not adjusted" if test.procedure == "none" else f"adjusted by {words.procedure(test.procedure)}"


def _estimators(rows: Sequence[EstimateRow]) -> Iterator[str]:
    """How the estimates were made, where it is not simply the difference of means."""
    groups: dict[str, list[EstimateRow]] = {}
    for row in rows:
        text = _estimator(row)
        if text:
            groups.setdefault(text, []).append(row)
    for text, members in groups.items():
        changes = [(visible(r.arm), _variance(r.estimator.variance_reduction)) for r in members
                   if r.estimator and r.estimator.variance_reduction is not None]  # fmt: skip
        arms: dict[str, list[str]] = {}
        for arm, change in changes:
            arms.setdefault(change, []).append(arm)
        shown = list(arms) if len(arms) == 1 else [f"{change} ({', '.join(found)})" for change, found in arms.items()]
        who = "" if len(members) == len(rows) else f"{', '.join(visible(r.arm) for r in members)}: "
        yield f"{who}{text}, variance {', '.join(shown)}" if shown else f"{who}{text}"


def _estimator(row: EstimateRow) -> str:
    made = row.estimator
    if made is None:
        return ""
    named = ", ".join(map(words.covariate, made.covariates))
    if made.covariates:
        return f"{words.ESTIMATORS.get(made.name) or words.spelled(made.name)} for {named}"
    plain = words.PLAIN_ESTIMATORS.get(made.name, words.spelled(made.name))
    if made.dropped and made.name != "score":
        plain += (
            f"{'; ' if plain else ''}not adjusted: {', '.join(map(words.covariate, made.dropped))} could not be used"
        )
    return plain


def _variance(reduction: float) -> str:
    """`−39%`: what adjustment did to the variance of the difference."""
    text = f"{abs(reduction):.0%}" if 0.0995 <= abs(reduction) < 0.99 else f"{abs(reduction):.1%}"
    return "unchanged" if text == "0.0%" else f"{MINUS if reduction > 0 else '+'}{text}"


def _steps(rows: Sequence[EstimateRow]) -> Iterator[str]:
    """`steps reached (control / new): cart 41% / 40%, paid 10% / 9.6%`: shares of all units, not adjusted."""
    arms, shares = step_shares(rows)
    if shares:
        each = (f"{name} {' / '.join(values)}" for name, values in shares.items())
        yield f"steps reached ({' / '.join(arms)}): {', '.join(each)}"


def step_shares(rows: Sequence[EstimateRow]) -> tuple[list[str], dict[str, list[str]]]:
    """The arms, the baseline first, and the share of units that came through each step in each of them."""
    told = [row for row in rows if row.steps]
    shares: dict[str, list[str]] = {}
    for i, row in enumerate(told):
        for step in row.steps or ():
            values = shares.setdefault(visible(step["step"]), [_rate(step["baseline_value"])] if i == 0 else [])
            values.append(_rate(step["arm_value"]))
    return [visible(told[0].baseline), *(visible(row.arm) for row in told)] if told else [], shares


def _rate(share: object) -> str:
    return f"{share * 100:.1f}%" if isinstance(share, int | float) else "-"


def _responses(rows: Sequence[EstimateRow]) -> Iterator[str]:
    """`units with a value: 55.1% of control, 54.8% of new (p = 0.80)`, where some have none."""
    told = [(row, row.response) for row in rows if row.response]
    if any(r.baseline < 1 or r.arm < 1 for _, r in told):
        each = [f"{_rate(told[0][1].baseline)} of {visible(told[0][0].baseline)}"]
        each += [f"{_rate(r.arm)} of {visible(row.arm)} ({equation('p', r.p_value, SELECTION)})" for row, r in told]
        yield f"units with a value: {', '.join(each)}"


def _diluted(row: EstimateRow) -> Iterator[str]:
    """A triggered effect as one on everybody exposed."""
    if row.diluted is None:
        return
    unit, found, relative = unit_of(row), row.diluted["absolute"], row.diluted["relative"]
    text = f"diluted to all exposed units (trigger rate {_rate(row.diluted['trigger_rate'])}): {_range(found, unit)}"
    yield f"{text}, relative {_range(relative, PERCENT)}" if relative else text


def _range(found: Mapping[str, float], unit: Unit) -> str:
    """An estimate with its interval, at the interval's digits."""
    decimals = decimals_for(found["lower"] * unit.factor, found["upper"] * unit.factor, (0.0,))
    estimate = estimate_text(found["estimate"] * unit.factor, decimals) + unit.difference_suffix
    return f"{estimate} ({span((found['lower'], found['upper']), unit, decimals)})"


def _caps(rows: Sequence[EstimateRow]) -> Iterator[str]:
    """`values capped at 500 EUR; units cut: 12 of control, 15 of treatment`, and the effect without the caps."""
    groups: dict[str, dict[str, int]] = {}
    uneven = []
    for row in rows:
        for part in row.cap.parts if row.cap else ():
            unit = unit_of(row)
            sides = (("from below at", part.lower), ("at", part.upper))
            limits = [f"{side} {words.limit(value, unit)}" for side, value in sides if value is not None]
            named = "values" if part.part == "value" else f"{visible(part.part)}s"
            arms = groups.setdefault(f"{named} capped {' and '.join(limits)}", {})
            arms[visible(row.baseline)], arms[visible(row.arm)] = part.capped
            if part.imbalance_p_value is not None and part.imbalance_p_value < UNEVEN:
                p = equation("p", part.imbalance_p_value)
                uneven.append(f"{visible(row.arm)}: the cap of {named} cuts the arms unevenly ({p})")
    for text, arms in groups.items():
        yield f"{text}; units cut: {', '.join(f'{count(n)} of {arm}' for arm, n in arms.items())}"
    yield from uneven
    for row in rows:
        if row.cap and row.cap.uncapped:
            without_p = {key: value for key, value in row.cap.uncapped.items() if key != "p_value"}
            yield f"{visible(row.arm)} {_beside(row, without_p, 'uncapped')}"


def _verbose(row: EstimateRow) -> Iterator[str]:
    """Everything that stands behind the row."""
    unit = unit_of(row)
    if row.units is None:
        return
    parts = [f"n = {count(row.units[0])} in {visible(row.baseline)}, {count(row.units[1])} in {visible(row.arm)}"]
    if row.absolute and row.absolute.std_error is not None:
        size = row.absolute.std_error * unit.factor
        parts.append(f"standard error {number(size, decimals_for(0.0, 2 * size))}{unit.difference_suffix}")
    if row.unadjusted:
        parts.append(_beside(row, row.unadjusted, "unadjusted"))
    yield "; ".join(parts)
    made = row.estimator
    if made and made.covariates and made.dropped:
        yield f"covariates left out as constant or collinear: {', '.join(map(words.covariate, made.dropped))}"
    for test in row.tests:
        yield _test(test, unit)


def unadjusted_words(row: EstimateRow) -> tuple[str, str]:
    """The same comparison without covariates, and its p, which no correction has touched; empty where nothing was adjusted."""
    if not row.unadjusted:
        return "", ""
    text, _, p = _beside(row, row.unadjusted, "").strip().partition(", ")
    test = main_test(row)
    corrected = test is not None and test.procedure != "none"
    return text, f"{p}, not corrected for the number of tests" if p and corrected else p


def _beside(row: EstimateRow, plain: dict[str, object], word: str) -> str:
    """The same comparison made another way. Before the planned end only its estimate: nothing is tested then."""
    unit = unit_of(row)
    numbers = {key: float(value) for key, value in plain.items() if isinstance(value, int | float)}
    lower, upper = numbers.get("lower", 0.0), numbers.get("upper", 0.0)
    decimals = decimals_for(lower * unit.factor, upper * unit.factor, (0.0,))
    text = f"{word} {number(numbers.get('estimate', 0.0) * unit.factor, decimals, signed=True)}{unit.difference_suffix}"
    if row.interval_kind == "anytime":
        return text
    text += f" ({span((lower, upper), unit, decimals)})"
    return f"{text}, {equation('p', numbers['p_value'])}" if "p_value" in numbers else text


def _test(test: TestRow, unit: Unit) -> str:
    name = words.HYPOTHESES.get(test.hypothesis) or words.spelled(test.hypothesis)
    statistic = f"z = {number(test.statistic, 2)}"
    if test.df is not None:
        statistic = f"t = {number(test.statistic, 2)} with {number(test.df, 1)} df"
    text = f"{name}{_null(test, unit)}: {statistic}, {visible(test.sidedness)} {equation('p', test.p_value, test.alpha, TINIEST_P)}"
    if test.procedure != "none" and test.p_adjusted is not None:
        text += f", by {words.procedure(test.procedure)} {equation('p', test.p_adjusted, test.alpha, TINIEST_P)}"
    if test.joint is not None:
        text += f", {_joint(test.joint)}"
    return f"{text}; {'shown' if test.rejected else 'not shown'} at {test.alpha:g}"


def _joint(metrics: Sequence[str]) -> str:
    """With what a test was taken jointly."""
    if not metrics:
        return "joined to the others by Bonferroni"
    return f"jointly over the arms of {', '.join(map(visible, metrics))}"


def _null(test: TestRow, unit: Unit) -> str:
    """The margin of a test that has one, in the metric's unit."""
    if test.null == 0:
        return ""
    relative = test.null_kind == "relative"
    value = test.null * (100 if relative else unit.factor)
    both = test.hypothesis == "equivalence"
    text = number(value, max(0, significant_decimals(value, 6)), signed=not both)
    text = ("±" if both else "") + (text.rstrip("0").rstrip(".") if "." in text else text)
    return f" against {text}{'% (relative)' if relative else unit.difference_suffix}"
