"""Plan and result to Readout: the one road of this room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from metricdef import __version__
from metricdef.analysis.alert import alert_of
from metricdef.analysis.breakdowns import break_down, hidden_levels
from metricdef.analysis.cells import Cells, read_cells
from metricdef.analysis.decision import decide
from metricdef.analysis.design import design_of
from metricdef.analysis.estimates import estimate_effects
from metricdef.analysis.evidence import Evidence
from metricdef.analysis.families import judge
from metricdef.analysis.health import arm_rows, check_health
from metricdef.analysis.health.schema import Columns, check_schema
from metricdef.analysis.ledger import error_budget
from metricdef.analysis.look_readout import check_frozen, earlier_srm, look_row, looking_of
from metricdef.analysis.look_record import LookRecord, ResultLook, carried_over
from metricdef.analysis.look_rows import Looking
from metricdef.analysis.look_verdicts import settle
from metricdef.analysis.moment_rows import moment_rows
from metricdef.analysis.novelty import novelty_rows
from metricdef.analysis.observed import View
from metricdef.analysis.readout import EstimateRow, Readout
from metricdef.analysis.schedule import Stage, iso, stage_of
from metricdef.analysis.sensitivity import compare_analyses
from metricdef.analysis.series import daily_series
from metricdef.analysis.settings import Settings, analysis_settings
from metricdef.compiler.exposure_stages import AUDIT
from metricdef.compiler.plan import Plan
from metricdef.compiler.query import Query
from metricdef.compiler.render import render
from metricdef.definitions.project import Project
from metricdef.definitions.used import experiment_metrics, renamed_metrics

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class _Estimates:
    """Judged rows, what stands behind them, and what a look records of them."""

    rows: list[EstimateRow]
    evidence: Evidence | None
    results: list[ResultLook]


def analyse(
    project: Project,
    query: Query,
    table: pa.Table,
    revision: str | None = None,
    history: Sequence[LookRecord] = (),
    schema: tuple[Columns, Columns] | None = None,
    place: Mapping[str, str] | None = None,
) -> Readout:
    """The readout of one run.

    Args:
        project: The definitions.
        query: What was executed; its caps are those that `frozen_caps` of the looks before has.
        table: Its result.
        revision: Git commit of the definitions.
        history: Looks recorded so far, of a sequential design. What this run adds is the readout's `look.record`.
        schema: Columns of the sources as they were, and as the warehouse has them, where both are known.
        place: Profile that the table was read with, and a hash of where that is, where it is known.

    Raises:
        WarehouseError: `table` is not the query's result.
        UsageError: The query takes a cap from the data that an earlier look has fixed.
    """
    plan = query.plan
    experiment = project.experiments[plan.experiment]
    settings = analysis_settings(project, plan)
    renamed = renamed_metrics(project)
    history = carried_over(history, renamed)
    stage = stage_of(plan.as_of, settings, history)
    check_frozen(plan, stage)
    cells = read_cells(plan, table)
    looking = looking_of(plan, settings, stage)
    with_mixed = settings.mixed == "first_arm"
    arms = arm_rows(cells, with_mixed=with_mixed)
    final = stage.early is None and settings.sequential is None
    health = check_health(cells, arms, settings, final=final, hidden=stage.hidden)
    health = earlier_srm(health, stage.earlier, plan)
    if schema is not None and schema[0]:
        health = (*health, *check_schema(*schema, _text_over_sources(query)))
    view = View(cells, with_mixed)
    dropped = _dropped(project, plan)
    shown = not stage.hidden
    # Breakdowns are tested once, at the planned end: they have no part in the looks.
    interim = stage.early is not None or not _is_end(stage, settings)
    found = (
        _estimates(view, settings, dropped, interim=interim and looking is None, looking=looking)
        if shown or looking
        else _Estimates([], None, [])
    )
    hidden = hidden_levels(view, settings.min_units)
    split = break_down(view, settings, hidden, interim=interim) if shown else []
    treatments = [arm.name for arm in plan.arms[1:]]
    decision = decide(found.rows, health, settings, treatments, stage.early, found.evidence, looking)
    rows = found.rows if shown else []
    beside, others = (
        compare_analyses(view, settings, rows, dropped, experiment.analysis.sensitivity, looking)
        if shown and stage.early is None
        else ((), [])
    )
    return Readout(
        experiment=plan.experiment,
        label=experiment.label or plan.experiment,
        hypothesis=" ".join(experiment.hypothesis.split()),
        status=experiment.status,
        as_of=iso(plan.as_of),
        window={"start": _iso_us(plan.start), "end": _iso_us(plan.end), "planned_end": iso(settings.planned_end)},
        look=look_row(cells, looking, _named([*found.results, *others], renamed), health)
        if looking and stage.look
        else None,
        provenance=_provenance(query, revision, place),
        arms=arms,
        health=health,
        estimates=(*rows, *split),
        decision=decision,
        ledger=error_budget(plan, rows, settings, found.evidence, _untested(stage)),
        excluded_units=_excluded(cells, settings),
        sensitivity=beside,
        novelty=tuple(novelty_rows(view, settings, rows)) if shown and not interim else (),
        series=tuple(daily_series(view, settings, project.settings.defaults.timezone, rows, looking)) if shown else (),
        moments=tuple(moment_rows(cells, hidden, with_mixed=with_mixed)) if shown else (),
        alert=alert_of(plan.experiment, experiment, decision, iso(plan.as_of)),
        design=design_of(project, plan),
        sql=query.text,
    )


def _named(results: Sequence[ResultLook], renamed: Mapping[str, str]) -> list[ResultLook]:
    """Each result with the name that its metric had at earlier looks."""
    before = {new: old for old, new in renamed.items()}
    return [replace(result, renamed_from=before.get(result.metric)) for result in results]


def _text_over_sources(query: Query) -> str | None:
    """The SQL that reads the sources, with all their columns that values need; None: any may be needed."""
    if query.plan.dropped:
        return None  # what the warehouse refused is not in the SQL, and perhaps was refused for its columns
    if query.plan.state is None:
        return query.text
    return render(replace(query.plan, state=None), query.dialect).text  # the file read them before, into its state


def _is_end(stage: Stage, settings: Settings) -> bool:
    """Whether everything that is tested once is tested now."""
    design = settings.sequential
    return design is None or (stage.look is not None and stage.look.final and design.method != "always_valid")


def _untested(stage: Stage) -> str | None:
    """Why the ledger cannot say yet what the tests could have found."""
    if stage.early is None and stage.look is not None and not stage.look.final:
        return "looks are still to come"
    return stage.early


def _estimates(
    view: View,
    settings: Settings,
    dropped: Sequence[EstimateRow],
    *,
    interim: bool,
    looking: Looking | None = None,
) -> _Estimates:
    """Every row, judged at the planned end or at a look; `dropped` keep their places in the families."""
    found = [
        estimated
        for metric in view.cells.plan.metrics
        for estimated in estimate_effects(view, metric, settings, interim=interim, looking=looking)
    ]
    rows = [*(estimated.row for estimated in found), *dropped]
    effects = {(e.row.metric, e.row.arm): e.effect for e in found if e.effect is not None}
    readings = {(e.row.metric, e.row.arm): e.reading for e in found if e.reading is not None}
    evidence = Evidence(view, effects, readings)
    if interim:
        return _Estimates(rows, evidence, [])
    rows = judge(rows, settings, evidence)
    if looking is not None and not looking.harm_only:
        rows = settle(rows, readings, looking)
    return _Estimates(rows, evidence, [e.result for e in found if e.result is not None])


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


def _provenance(query: Query, revision: str | None, place: Mapping[str, str] | None) -> dict[str, Any]:
    """What made the numbers; what was promised about them is added where the lock is known."""
    return {
        "definitions": query.plan.fingerprint,
        "sql": query.sql_hash,
        "metricdef": __version__,
        "dialect": query.dialect,
        "revision": revision,
        "place": dict(place) if place else None,
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


def _iso_us(us: int) -> str:
    return iso(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))
