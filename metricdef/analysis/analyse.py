"""Plan and result to Readout: the one road of this room."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from metricdef import __version__
from metricdef.analysis.cells import Cells, read_cells
from metricdef.analysis.decision import decide
from metricdef.analysis.estimates import estimate_metric
from metricdef.analysis.families import judge
from metricdef.analysis.health import arm_rows, check_health
from metricdef.analysis.readout import EstimateRow, Readout
from metricdef.analysis.settings import Settings, analysis_settings
from metricdef.compiler.plan import Block, Plan
from metricdef.compiler.query import Query
from metricdef.definitions.project import Project
from metricdef.errors import NotComputable
from metricdef.stats.moments import Moments

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
    rows = (
        []
        if stage.hidden
        else _estimates(cells, plan, settings, with_mixed=with_mixed, interim=stage.early is not None)
    )
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
        estimates=tuple(rows),
        decision=decide(rows, health, settings, treatments, stage.early),
        ledger=_ledger(plan, settings),
        excluded_units=_excluded(cells, settings),
        sensitivity=()
        if stage.hidden or stage.early
        else tuple(_sensitivity(cells, plan, settings, with_mixed=not with_mixed)),
        series=(),
        moments=() if stage.hidden else tuple(_moments(cells, with_mixed=with_mixed)),
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


def _estimates(cells: Cells, plan: Plan, settings: Settings, *, with_mixed: bool, interim: bool) -> list[EstimateRow]:
    rows = [
        row
        for metric in plan.metrics
        for row in estimate_metric(cells, metric, settings, with_mixed=with_mixed, interim=interim)
    ]
    return rows if interim else judge(rows, settings)


def _sensitivity(cells: Cells, plan: Plan, settings: Settings, *, with_mixed: bool) -> list[dict[str, Any]]:
    """The other policy for mixed units, from the same query, where there are any."""
    if not any(cells.count("units_assigned", arm.name, mixed=True) for arm in plan.arms):
        return []
    name = "mixed_first_arm" if with_mixed else "mixed_excluded"
    found = []
    for row in _estimates(cells, plan, settings, with_mixed=with_mixed, interim=False):
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
    arms = [arm.name for arm in cells.plan.arms]
    mixed = sum(cells.count("units_assigned", arm, mixed=True) for arm in arms)
    kept = settings.mixed == "first_arm"
    outside = sum(
        cells.count("units_assigned", arm, mixed=None if kept else False)
        - cells.count("units_analysed", arm, mixed=None if kept else False)
        for arm in arms
    )
    found = {"mixed": 0 if kept else mixed, "outside_population": outside}
    for block in cells.plan.blocks:
        if block.horizon is not None:
            found[f"immature_{block.name.removeprefix('mature_')}"] = sum(
                cells.count("units_analysed", arm, mixed=None if kept else False)
                - cells.eligible(block.name, arm, with_mixed=kept)
                for arm in arms
            )
    return found | {
        f"rows_{name}": cells.audit(name)
        for name in (
            "null_unit",
            "null_time",
            "before_start",
            "on_or_after_end",
            "after_as_of",
            "not_loaded",
            "unknown_arm",
        )
    }


def _moments(cells: Cells, *, with_mixed: bool) -> list[dict[str, Any]]:
    """The sufficient statistics by block and arm.

    A covariance is null where no estimate needs it. A column whose sums are unusable is left out and named.
    """
    return [
        _block_moments(cells, block, arm.name, with_mixed=with_mixed)
        for block in cells.plan.blocks
        for arm in cells.plan.arms
    ]


def _block_moments(cells: Cells, block: Block, arm: str, *, with_mixed: bool) -> dict[str, Any]:
    names = [value.name for value in block.values]
    single: dict[str, Moments] = {}
    for name in names:
        try:
            single[name] = cells.moments(block.name, [name], arm, with_mixed=with_mixed)
        except NotComputable:
            continue
    usable = list(single)
    n = cells.eligible(block.name, arm, with_mixed=with_mixed)
    cov: list[list[float | None]] | None = None
    if n > 1:
        cov = [[None] * len(usable) for _ in usable]
        for i, j in block.products:
            if names[i] in single and names[j] in single:
                pair = list(dict.fromkeys((names[i], names[j])))
                value = float(cells.moments(block.name, pair, arm, with_mixed=with_mixed).cov[0, -1])
                a, b = usable.index(names[i]), usable.index(names[j])
                cov[a][b] = cov[b][a] = value
    return {
        "block": block.name,
        "arm": arm,
        "segment": None,
        "epoch": None,
        "n": n,
        "columns": usable,
        "unusable": [name for name in names if name not in single],
        "centre": [cells.centre(block.name, name) for name in usable],
        "mean": [float(m.mean[0]) for m in single.values()],
        "cov": cov,
        "third": [float(m.third[0]) for m in single.values()],
        "max_abs": [float(m.max_abs[0]) for m in single.values()],
        "nonzero": [int(m.nonzero[0]) for m in single.values()],
        "capped": [int(m.capped[0]) for m in single.values()],
    }


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _iso_us(us: int) -> str:
    return _iso(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))
