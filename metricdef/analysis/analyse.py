"""Plan and result to Readout: the one road of this room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from metricdef import __version__
from metricdef.analysis.breakdowns import break_down
from metricdef.analysis.cells import Cells, read_cells
from metricdef.analysis.decision import decide
from metricdef.analysis.estimates import estimate_metric
from metricdef.analysis.families import judge
from metricdef.analysis.health import arm_rows, check_health
from metricdef.analysis.moment_rows import moment_rows
from metricdef.analysis.observed import View
from metricdef.analysis.readout import EstimateRow, Readout
from metricdef.analysis.series import daily_series
from metricdef.analysis.settings import Settings, analysis_settings
from metricdef.compiler.exposure_stages import AUDIT
from metricdef.compiler.plan import Plan
from metricdef.compiler.query import Query
from metricdef.definitions.project import Project

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
    dropped = [] if stage.hidden else _dropped(plan)
    rows = [] if stage.hidden else _estimates(view, settings, dropped, interim=interim)
    split = [] if stage.hidden else break_down(view, settings, interim=interim)
    treatments = [arm.name for arm in plan.arms[1:]]
    return Readout(
        experiment=plan.experiment,
        label=experiment.label or plan.experiment,
        hypothesis=" ".join(experiment.hypothesis.split()),
        status=experiment.status,
        as_of=_iso(plan.as_of),
        window={"start": _iso_us(plan.start), "end": _iso_us(plan.end), "planned_end": _iso(settings.planned_end)},
        look=None,
        provenance=_provenance(query, settings, revision),
        arms=arms,
        health=health,
        estimates=(*rows, *split),
        decision=decide(rows, health, settings, treatments, stage.early),
        ledger=_ledger(plan, settings),
        excluded_units=_excluded(cells, settings),
        sensitivity=() if stage.hidden or stage.early else tuple(_sensitivity(View(cells, not with_mixed), settings)),
        series=() if stage.hidden else tuple(daily_series(view, settings, project.settings.defaults.timezone)),
        moments=() if stage.hidden else tuple(moment_rows(cells, with_mixed=with_mixed)),
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
    view: View, settings: Settings, dropped: Sequence[EstimateRow] = (), *, interim: bool
) -> list[EstimateRow]:
    """Rows in the order of the protocol; those of metrics that the engine refused keep their place in their family."""
    rows = [
        row for metric in view.cells.plan.metrics for row in estimate_metric(view, metric, settings, interim=interim)
    ]
    rows += dropped
    return rows if interim else judge(rows, settings)


def _dropped(plan: Plan) -> list[EstimateRow]:
    """Rows of metrics that the engine refused, with its reason."""
    baseline, *others = (arm.name for arm in plan.arms)
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
            reason="sql_refused",
            message=d.reason,
        )
        for name, d in plan.dropped.items()
        for arm in others
    ]


def _sensitivity(view: View, settings: Settings) -> list[dict[str, Any]]:
    """The other policy for mixed units, from the same query, where there are any."""
    cells = view.cells
    if not any(cells.count("units_assigned", arm.name, mixed=True) for arm in cells.plan.arms):
        return []
    name = "mixed_first_arm" if view.with_mixed else "mixed_excluded"
    found = []
    for row in _estimates(view, settings, interim=False):
        quantile = next(m.quantile for m in cells.plan.metrics if m.name == row.metric)
        if quantile is not None:
            continue  # its order statistics are those of the declared policy
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


def _provenance(query: Query, settings: Settings, revision: str | None) -> dict[str, Any]:
    return {
        "definitions": query.plan.fingerprint,
        "sql": query.sql_hash,
        "metricdef": __version__,
        "dialect": query.dialect,
        "revision": revision,
        "locked": False,
        "deviations": list(settings.deviations),
    }


def _ledger(plan: Plan, settings: Settings) -> dict[str, Any]:
    """Error rates that the rule allows, each one-sided; those that need a power analysis are null."""
    return {
        "confidence": settings.confidence,
        "alpha": {
            "success": settings.success_alpha,
            "non_inferiority": settings.non_inferiority_alpha,
            "deterioration": settings.deterioration_alpha,
            "quality": settings.srm_alpha,
        },
        "multiplicity": dict(settings.methods),
        "false_ship": settings.success_alpha if _ship_is_bounded(plan, settings) else None,
        "false_stop": settings.deterioration_alpha if settings.decision.stop is None else None,
        "block_good_change": None,
    }


def _ship_is_bounded(plan: Plan, settings: Settings) -> bool:
    """Whether shipping takes a superior primary metric whose error is controlled over all chances to find one."""
    treatments = len(plan.arms) - 1
    chances = treatments * sum(metric.role == "primary" for metric in plan.metrics)
    rule = settings.decision.ship.primary if settings.decision.ship else "any_superior"
    if rule == "all_superior" and treatments == 1:
        return True  # every one must be superior: intersection-union
    return rule in ("any_superior", "all_superior") and (settings.methods["primary"] != "none" or chances <= 1)


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
