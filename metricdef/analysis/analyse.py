"""Plan and result to Readout: the one road of this room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from metricdef import __version__
from metricdef.analysis.breakdowns import break_down, hidden_levels
from metricdef.analysis.cells import Cells, read_cells
from metricdef.analysis.decision import decide
from metricdef.analysis.estimates import estimate_effects
from metricdef.analysis.evidence import Evidence
from metricdef.analysis.families import judge
from metricdef.analysis.health import arm_rows, check_health
from metricdef.analysis.ledger import error_budget
from metricdef.analysis.moment_rows import moment_rows
from metricdef.analysis.observed import View
from metricdef.analysis.readout import EstimateRow, Readout
from metricdef.analysis.series import daily_series
from metricdef.analysis.settings import Settings, analysis_settings
from metricdef.compiler.exposure_stages import AUDIT
from metricdef.compiler.plan import Plan
from metricdef.compiler.query import Query
from metricdef.definitions.project import Project
from metricdef.definitions.used import experiment_metrics

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the run stands in time: `early` says why nothing can be decided, None at the planned end."""

    early: str | None
    hidden: bool


def analyse(project: Project, query: Query, table: pa.Table, revision: str | None = None) -> Readout:
    """The readout of one run. Raises WarehouseError where `table` is not the query's result."""
    plan = query.plan
    experiment = project.experiments[plan.experiment]
    settings = analysis_settings(project, plan)
    cells = read_cells(plan, table)
    stage = _stage(plan, settings)
    with_mixed = settings.mixed == "first_arm"
    arms = arm_rows(cells, with_mixed=with_mixed)
    health = check_health(cells, arms, settings, final=stage.early is None)
    view = View(cells, with_mixed)
    interim = stage.early is not None
    dropped = _dropped(project, plan)
    rows, evidence = ([], None) if stage.hidden else _estimates(view, settings, dropped, interim=interim)
    hidden = hidden_levels(cells, settings.min_units)
    split = [] if stage.hidden else break_down(view, settings, hidden, interim=interim)
    treatments = [arm.name for arm in plan.arms[1:]]
    return Readout(
        experiment=plan.experiment,
        label=experiment.label or plan.experiment,
        hypothesis=" ".join(experiment.hypothesis.split()),
        status=experiment.status,
        as_of=_iso(plan.as_of),
        window={"start": _iso_us(plan.start), "end": _iso_us(plan.end), "planned_end": _iso(settings.planned_end)},
        look=None,
        provenance=_provenance(query, revision),
        arms=arms,
        health=health,
        estimates=(*rows, *split),
        decision=decide(rows, health, settings, treatments, stage.early, evidence),
        ledger=error_budget(plan, rows, settings, evidence, stage.early),
        excluded_units=_excluded(cells, settings),
        sensitivity=()
        if stage.hidden or stage.early
        else tuple(_sensitivity(View(cells, not with_mixed), settings, dropped)),
        series=() if stage.hidden else tuple(daily_series(view, settings, project.settings.defaults.timezone)),
        moments=() if stage.hidden else tuple(moment_rows(cells, hidden, with_mixed=with_mixed)),
    )


def _stage(plan: Plan, settings: Settings) -> Stage:
    if plan.as_of < settings.shown_from:
        return Stage(f"results are held back until {_iso(settings.shown_from)}: only health is shown", hidden=True)
    if plan.as_of < settings.planned_end:
        return Stage(
            f"before_planned_end: the fixed design is read at {_iso(settings.planned_end)}, when every window is complete",
            hidden=False,
        )
    return Stage(None, hidden=False)


def _estimates(
    view: View, settings: Settings, dropped: Sequence[EstimateRow], *, interim: bool
) -> tuple[list[EstimateRow], Evidence]:
    """Every row, judged once the planned end is reached; `dropped` keep their places in the families."""
    found = [
        estimated
        for metric in view.cells.plan.metrics
        for estimated in estimate_effects(view, metric, settings, interim=interim)
    ]
    rows = [*(estimated.row for estimated in found), *dropped]
    effects = {(e.row.metric, e.row.arm): e.effect for e in found if e.effect is not None}
    evidence = Evidence(view, effects)
    return (rows if interim else judge(rows, settings, evidence)), evidence


def _dropped(project: Project, plan: Plan) -> list[EstimateRow]:
    """Rows of metrics that the engine refused: they keep their place, with its reason."""
    baseline, *others = (arm.name for arm in plan.arms)
    targets = experiment_metrics(project, project.experiments[plan.experiment])
    return [
        EstimateRow(
            metric=name,
            label=d.metric.label or name,
            format=d.metric.format,
            direction=d.metric.direction,
            role=d.role,
            arm=arm,
            baseline=baseline,
            units=(0, 0),
            is_share=d.metric.takes_points,
            equivalence=margin.text if (margin := targets[name][1].equivalence) else None,
            reason="sql_refused",
            message=d.reason,
        )
        for name, d in plan.dropped.items()
        for arm in others
    ]


def _sensitivity(view: View, settings: Settings, dropped: Sequence[EstimateRow]) -> list[dict[str, Any]]:
    """The other policy for mixed units, from the same query, where there are any."""
    cells = view.cells
    if not any(cells.count("units_assigned", arm.name, mixed=True) for arm in cells.plan.arms):
        return []
    name = "mixed_first_arm" if view.with_mixed else "mixed_excluded"
    found = []
    # Order statistics are those of the declared policy, so quantiles have no other.
    shown = {m.name for m in cells.plan.metrics if m.quantile is None}
    for row in _estimates(view, settings, dropped, interim=False)[0]:
        if row.metric not in shown:
            continue
        absolute = asdict(row.absolute) if row.absolute else None
        found.append(
            {
                "analysis": name,
                "metric": row.metric,
                "arm": row.arm,
                "units": row.units,
                "absolute": absolute,
                "p_value": row.p_value,
                "verdict": row.verdict,
                "reason": row.reason,
            }
        )
    return found


def _provenance(query: Query, revision: str | None) -> dict[str, Any]:
    """What made the numbers; what was promised about them is added where the lock is known."""
    return {
        "definitions": query.plan.fingerprint,
        "sql": query.sql_hash,
        "metricdef": __version__,
        "dialect": query.dialect,
        "revision": revision,
    }


def _excluded(cells: Cells, settings: Settings) -> dict[str, int]:
    """Units and exposure rows that are not in the estimates, by reason."""
    plan = cells.plan
    arms = [arm.name for arm in plan.arms]
    mixed = sum(cells.count("units_assigned", arm, mixed=True) for arm in arms)
    kept = settings.mixed == "first_arm"

    def total(name: str) -> int:
        return sum(cells.count(name, arm, mixed=None if kept else False) for arm in arms)

    found = {
        "mixed": 0 if kept else mixed,
        "outside_population": total("units_assigned") - total("units_in_population"),
    }
    if plan.trigger:
        found["untriggered"] = total("units_in_population") - total("units_analysed")
    analysed = total("clusters_analysed" if plan.cluster else "units_analysed")
    for block in plan.blocks:
        if block.horizon is not None and block.anchor == "outcome":
            eligible = sum(cells.eligible(block.name, arm, with_mixed=kept) for arm in arms)
            found[f"immature_{block.name.removeprefix('mature_')}"] = analysed - eligible
    reasons = [f"rows_{name}" for name in AUDIT if name != "rows"]
    found |= {reason: cells.audit(reason.removeprefix("rows_")) for reason in reasons}
    return found | ({"null_cluster": cells.audit("null_cluster")} if plan.cluster else {})


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _iso_us(us: int) -> str:
    return _iso(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))
