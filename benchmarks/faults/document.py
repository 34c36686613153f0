"""docs/health.md: what is caught, at which size, and what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import binom

from benchmarks.faults.catalogue import FAULTS, Fault
from benchmarks.faults.trial import Seen

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "health.md"
# Checks that compare what chance may bring about, each at 0.001 over all that it tests.
STATISTICAL = (
    "srm_assignment", "srm_analysed", "srm_triggered", "srm_by_day", "srm_by_segment", "allocation_drift", "re_exposures",
    "trigger_rate", "covariate_balance", "zero_denominators", "mixed_units",
)  # fmt: skip
HALF = 0.5  # of a standard error: a bias that matters
CAUGHT = 0.9


def write(found: Sequence[Seen]) -> None:
    """Write the document from the trials."""
    DOCUMENT.write_text("\n".join(_lines(found)) + "\n", encoding="utf-8")


def _lines(found: Sequence[Seen]) -> Iterator[str]:
    units = max(s.units for s in found if not s.fault)  # clean experiments have the stated size only
    seeds = len({s.seed for s in found if s.fault and s.units == units})
    clean = [s for s in found if not s.fault and s.experiment == "plain" and s.units == units]
    yield "# What the health checks catch"
    yield ""
    yield "`make faults` makes this page. A generated experiment without any effect (users enrol over four weeks, 14 days of"
    yield f"history, four metrics, a breakdown, declared sources) is corrupted in {len(FAULTS)} ways, each on {seeds} seeds with"
    yield f"{units:,} users; the compiled SQL runs on DuckDB, and the readout either raises an alarm or does not."
    yield ""
    yield "- **bias**: how far the fault moves the estimate of the primary metric, in standard errors of the clean experiment;"
    yield "  the mean over seeds. Faults of the clock, of duplicates or of both arms alike may move nothing."
    yield "- **caught**: share of the seeds with a warning or failure of any check; how many owe it to chance is said below."
    few = len({s.seed for s in found if s.units != units})
    yield f"- **90% from**: the smallest size tried at which nine in ten are caught ({_sizes(found)} users; {few} seeds, at"
    yield f"  {units:,} users {seeds}). Each size is tried only where the one before leaves it open."
    yield ""
    yield "| fault | what goes wrong | bias | caught | by | 90% from |"
    yield "|---|---|---|---|---|---|"
    for fault in FAULTS:
        yield _row(found, fault, units)
    yield ""
    yield from _missed(found, units)
    yield from _false_alarms(clean)


def _sizes(found: Sequence[Seen]) -> str:
    sizes = [f"{n:,}" for n in sorted({s.units for s in found})]
    return f"{', '.join(sizes[:-1])} and {sizes[-1]}" if len(sizes) > 1 else "".join(sizes)


def _row(found: Sequence[Seen], fault: Fault, units: int) -> str:
    own = [s for s in found if s.fault == fault.name and s.units == units]
    invalid = sum(s.invalid for s in own) / len(own)
    checks = Counter(check for s in own for check in s.alarms)
    named = ", ".join(f"`{check}`" for check, n in checks.most_common(3) if n >= len(own) / 10) or "-"
    bias = _bias(found, fault, units)
    shown = "-" if bias is None else f"{bias:+.1f}"
    caught = f"{_rate(own):.0%}" + (" (invalid)" if invalid >= CAUGHT else "")
    return f"| `{fault.name}` | {fault.what} | {shown} | {caught} | {named} | {_size(found, fault)} |"


def _rate(own: Sequence[Seen]) -> float:
    return sum(bool(s.alarms) for s in own) / len(own)


def _bias(found: Sequence[Seen], fault: Fault, units: int) -> float | None:
    """Mean over seeds of (corrupted - clean) / standard error of the clean one."""
    clean = {s.seed: s for s in found if not s.fault and s.experiment == fault.experiment and s.units == units}
    gaps = [
        (s.effect - c.effect) / c.std_error
        for s in found
        if s.fault == fault.name and s.units == units and (c := clean.get(s.seed))
        if s.effect is not None and c.effect is not None and c.std_error
    ]
    return float(np.mean(gaps)) if gaps else None


def _size(found: Sequence[Seen], fault: Fault) -> str:
    rates = {n: _rate([s for s in found if s.fault == fault.name and s.units == n]) for n in sorted({s.units for s in found if s.fault == fault.name})}  # fmt: skip
    enough: list[int] = []
    for n in sorted(rates, reverse=True):
        if rates[n] < CAUGHT:
            break
        enough.append(n)
    if not enough:
        return f"above {max(rates):,}"
    smallest = min(enough)
    return f"{smallest:,} or fewer" if smallest == min({s.units for s in found}) else f"{smallest:,}"


def _missed(found: Sequence[Seen], units: int) -> Iterator[str]:
    """Faults that few seeds catch, with what stands against it."""
    missed = [f for f in FAULTS if _rate([s for s in found if s.fault == f.name and s.units == units]) < CAUGHT]
    yield f"## Not caught with {units:,} users"
    yield ""
    for fault in missed:
        bias = _bias(found, fault, units) or 0.0
        matters = "undetectable at this size" if abs(bias) > HALF else "the bias is below half a standard error"
        why = fault.why or "the sample ratio needs more users to show it"
        yield f"- `{fault.name}`: {why}; {matters} ({bias:+.1f}), nine in ten are caught from: {_size(found, fault)}."
    if not missed:
        yield "Every fault is caught on nine seeds in ten."
    yield ""


def _false_alarms(clean: Sequence[Seen]) -> Iterator[str]:
    """Alarms of clean experiments against what chance allows."""
    limit = int(binom.ppf(0.999, len(clean), 0.001))
    checks = Counter(check for s in clean for check in s.alarms)
    yield "## False alarms"
    yield ""
    yield f"Over {len(clean)} clean experiments, checks that test a hypothesis (at 0.001 or less each) may raise {limit} alarms"
    yield "each by chance (the 99.9% quantile); those that count what must not be there, none."
    yield ""
    yield "| check | alarms | may be |"
    yield "|---|---|---|"
    others = sorted(check for check in checks if check not in STATISTICAL)
    for check in (*STATISTICAL[:2], *STATISTICAL[3:7], *STATISTICAL[8:], *others):
        yield f"| `{check}` | {checks[check]} | {limit if check in STATISTICAL else 0} |"
    if not others:
        yield "| all others together | 0 | 0 |"
