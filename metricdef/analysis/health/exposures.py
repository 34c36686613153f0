"""Exposure rows that do not count, by reason."""

from __future__ import annotations

from collections.abc import Iterator

from metricdef.analysis.cells import Cells
from metricdef.analysis.readout import HealthRow, Status

_ROW_CHECKS = (
    (
        "unknown_arm",
        "exposure rows name an arm that the experiment does not have",
        "add the arm, or give its key with `key:`",
    ),
    ("null_unit", "exposure rows have no unit", "mend the logging of the unit's id"),
    ("null_time", "exposure rows have no timestamp", "mend the logging of the timestamp"),
    ("not_loaded", "exposure rows had not been loaded by as-of", ""),
    ("before_start", "exposure rows lie before the start", "check `start` against the roll-out"),
    ("on_or_after_end", "exposure rows lie on or after the end", ""),
    ("after_as_of", "exposure rows lie at or after as-of", ""),
)


def check_exposures(cells: Cells) -> Iterator[HealthRow]:
    """Exposure rows that were left out, by reason; those that point to a mistake warn."""
    total = cells.audit("rows")
    if total == 0:
        plan = cells.plan
        source = plan.sources[plan.exposure_source]
        message = f"no row of `{plan.exposure_source}` has `{source.experiment}` = `{plan.experiment_key}`: check `exposure.key`"
        yield HealthRow("exposure_rows", "warn", message, 0.0, None, 0.0)
    for name, what, advice in _ROW_CHECKS:
        count = cells.audit(name)
        if count or advice:
            status: Status = "warn" if count and advice else "pass"
            hint = f": {advice}" if status == "warn" else ""
            yield HealthRow(f"exposure_{name}", status, f"{count:,} of {total:,} {what}{hint}", float(count), None, 0.0)
