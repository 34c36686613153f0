"""What analysts write, apart from metrics: projects, sources, segments, metric sets and experiments (grammar 1)."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt, PositiveInt

from metricdef.metrics.fields import (
    ConfidenceField,
    CovariatesField,
    DurationField,
    Filter,
    InstantField,
    KeyField,
    NameField,
    Names,
    OneSidedField,
    ProbabilityField,
    ShareField,
    SizeField,
    Strict,
    Texts,
    WindowField,
    as_tuple,
)

Role = Literal["primary", "secondary", "guardrail"]
ROLES: tuple[Role, ...] = ("primary", "secondary", "guardrail")


def _named_columns(value: object) -> object:
    """`[platform, country]` is short for a map of each name to itself."""
    return {name: name for name in value} if isinstance(value, list) else value


def _empty_as_map(value: object) -> object:
    """A key with nothing behind it stands for an empty map."""
    return {} if value is None else value


class Expectations(Strict):
    """Data-quality checks of a source."""

    not_null: Names = ()
    unique: Names = ()
    accepted: dict[str, list[str | int | float | bool]] = {}
    fresh_within: DurationField | None = None
    max_late: DurationField | None = None


class Source(Strict):
    """Rows of a table or query: events, exposures or attributes of units."""

    kind: Literal["events", "exposures", "attributes"] = "events"
    description: str | None = None
    table: str | None = None
    sql: str | None = None
    dbt_model: str | None = None
    dialect: str | None = None
    entities: dict[NameField, str]
    timestamp: str | None = None
    timezone: str | None = None
    loaded_at: str | None = None
    partition: str | None = None
    settles_after: DurationField | None = None
    filter: Filter = ()
    measures: dict[NameField, str] = {}
    dimensions: Annotated[
        dict[NameField, str], BeforeValidator(_named_columns, json_schema_input_type=list[str] | dict[NameField, str])
    ] = {}
    experiment: str | None = None
    arm: str | None = None
    valid_from: str | None = None
    valid_to: str | None = None
    grain: str | None = None
    expect: Expectations | None = None


class Segment(Strict):
    """A condition on units, evaluated before or at exposure."""

    description: str | None = None
    source: str
    filter: Filter
    lookback: DurationField | None = None


class Target(Strict):
    """What an experiment says about one of its metrics."""

    mde: SizeField | None = None
    margin: SizeField | None = None
    equivalence: SizeField | None = None


TargetField = Annotated[Target, BeforeValidator(_empty_as_map, json_schema_input_type=Target | None)]
Targets = Annotated[
    dict[str, TargetField], BeforeValidator(_empty_as_map, json_schema_input_type=dict[str, TargetField] | None)
]


class MetricSet(Strict):
    """Metrics that experiments take over together."""

    description: str | None = None
    primary: Targets = {}
    secondary: Targets = {}
    guardrail: Targets = {}


class Trigger(Strict):
    """The moment from which a unit could notice the treatment."""

    source: str
    filter: Filter = ()


class Exposure(Strict):
    """Where and how units enter the experiment."""

    source: str
    key: KeyField | None = None
    filter: Filter = ()
    trigger: Trigger | None = None
    mixed: Literal["exclude", "first_arm", "fail"] = "exclude"
    assignment: Literal["sticky"] | None = None


class Arm(Strict):
    """One variant."""

    share: ShareField | None = None
    key: KeyField | None = None
    description: str | None = None


class RampStep(Strict):
    """Shares that hold from an instant on."""

    start: InstantField = Field(alias="from")
    shares: dict[str, ShareField]


class Validation(Strict):
    """When results may be looked at, and what makes them invalid."""

    hold: DurationField | None = None
    srm_alpha: ProbabilityField | None = None
    aa_lookback: DurationField | None = None


class Outcomes(Strict):
    """The experiment's metrics by role."""

    primary: Targets = {}
    secondary: Targets = {}
    guardrail: Targets = {}
    sets: Names = ()


class Futility(Strict):
    """When to give up early."""

    spending: str
    gamma: float | int | None = None
    binding: bool = False


class Sequential(Strict):
    """How often the data are looked at, and what that costs."""

    method: Literal["fixed", "group_sequential", "always_valid", "hybrid"] = "fixed"
    spending: Literal["obrien_fleming", "pocock", "kim_demets", "hwang_shih_decani"] | None = None
    bounds: Literal["obrien_fleming", "pocock", "haybittle_peto"] | None = None
    gamma: float | int | None = None
    looks: Annotated[
        tuple[DurationField, ...], BeforeValidator(as_tuple, json_schema_input_type=list[DurationField] | DurationField)
    ] = ()
    unplanned: Literal["hide", "spend"] = "hide"
    planned_units: PositiveInt | None = None
    futility: Futility | None = None
    anytime_alpha: ProbabilityField | None = None
    final_alpha: ProbabilityField | None = None


def _method_as_map(value: object) -> object:
    return {"method": value} if isinstance(value, str) else value


CorrectionMethod = Literal[
    "none", "bonferroni", "holm", "hochberg", "hommel", "bh", "by", "fixed_sequence", "graph", "dunnett", "max_t"
]


class Correction(Strict):
    """How a family of tests is corrected."""

    method: CorrectionMethod
    order: Names = ()
    alpha: dict[str, ShareField] | None = None
    edges: dict[str, dict[str, ShareField]] | None = None


CorrectionField = Annotated[
    Correction, BeforeValidator(_method_as_map, json_schema_input_type=CorrectionMethod | Correction)
]


class Multiplicity(Strict):
    """Corrections by role."""

    primary: CorrectionField | None = None
    secondary: CorrectionField | None = None
    guardrail: CorrectionField | None = None


class Alphas(Strict):
    """One-sided error rates that replace those implied by `confidence`."""

    success: OneSidedField | None = None
    non_inferiority: OneSidedField | None = None
    deterioration: OneSidedField | None = None
    quality: ProbabilityField | None = None


Sensitivity = Literal["unadjusted", "uncapped", "exclude_first_week"]


class Analysis(Strict):
    """How the moments become estimates."""

    confidence: ConfidenceField | None = None
    alpha: Alphas | None = None
    covariates: CovariatesField = None
    strata: Names = ()
    sequential: Sequential | None = None
    multiplicity: Multiplicity | None = None
    sensitivity: Annotated[
        tuple[Sensitivity, ...], BeforeValidator(as_tuple, json_schema_input_type=list[Sensitivity] | Sensitivity)
    ] = ()
    breakdowns: Names = ()
    novelty: Names = ()
    bayes: dict[str, Any] | None = None


Condition = Literal[
    "any_superior",
    "all_superior",
    "any_inferior",
    "all_inferior",
    "any_non_inferior",
    "all_non_inferior",
    "any_equivalent",
    "all_equivalent",
]


class Conditions(Strict):
    """What must hold, by role; all lines together."""

    primary: Condition | None = None
    secondary: Condition | None = None
    guardrail: Condition | None = None


class ShipConditions(Conditions):
    """What must hold to ship; `quality` means the health checks."""

    quality: Literal["all_pass"] | None = None


class Decision(Strict):
    """The rule that turns verdicts into a recommendation."""

    ship: ShipConditions | None = None
    stop: Conditions | None = None
    practical: dict[str, SizeField] = {}
    authority: Names = ()


class Amendment(Strict):
    """A change of the protocol after the start, with its reason; `what` may list several."""

    on: InstantField
    by: str
    what: Texts
    why: str


class Outcome(Strict):
    """What was decided in the end."""

    decided: InstantField
    arm: str
    note: str | None = None


class Flag(Strict):
    """The feature flag that a stop may roll back."""

    provider: str
    key: str
    rollback: str | None = None


class Experiment(Strict):
    """One experiment: the protocol of its analysis."""

    label: str | None = None
    description: str | None = None
    owners: Names
    status: Literal["draft", "running", "stopped", "decided"]
    hypothesis: str
    unit: str | None = None
    cluster: str | None = None
    cluster_effect: Literal["per_unit", "per_cluster"] = "per_unit"
    exposure: Exposure
    population: Names = ()
    arms: dict[NameField, Annotated[Arm, BeforeValidator(_empty_as_map, json_schema_input_type=Arm | None)]]
    baseline: str = "control"
    ramp: Annotated[tuple[RampStep, ...], BeforeValidator(as_tuple)] = ()
    start: InstantField
    end: InstantField
    validation: Validation = Validation()
    metrics: Outcomes
    analysis: Analysis = Analysis()
    decision: Decision = Decision()
    prefer: Names = ()
    amendments: Annotated[tuple[Amendment, ...], BeforeValidator(as_tuple)] = ()
    outcome: Outcome | None = None
    flag: Flag | None = None

    @property
    def shares(self) -> dict[str, Fraction]:
        """Expected share of every arm; equal where none states one."""
        if all(arm.share is None for arm in self.arms.values()):
            return dict.fromkeys(self.arms, Fraction(1, len(self.arms)))
        return {name: arm.share or Fraction(0) for name, arm in self.arms.items()}

    @property
    def ordered_arms(self) -> tuple[str, ...]:
        """The baseline, then the other arms as written."""
        return (self.baseline, *(name for name in self.arms if name != self.baseline))


class GivenExposure(BaseModel):
    """One exposed unit of a test: a column per entity, its arm and when."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    arm: str
    at: InstantField


def _rows(value: object) -> object:
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(row, dict) for row in value)):
        return value
    raise ValueError("rows are a list of maps, or a block of CSV: write for example `orders: [{user_id: 1}]`")


class MetricTest(Strict):
    """A unit test of a metric: rows in, expected figures out."""

    description: str | None = None
    metric: str
    exposures: Annotated[tuple[GivenExposure, ...], BeforeValidator(as_tuple)]
    given: dict[str, Annotated[str | list[dict[str, Any]], BeforeValidator(_rows)]] = {}
    as_of: InstantField | None = None
    expect: Annotated[tuple[dict[str, Any], ...], BeforeValidator(as_tuple)] = ()
    expect_units: Annotated[tuple[dict[str, Any], ...], BeforeValidator(as_tuple)] = ()


class Defaults(Strict):
    """What holds where a definition is silent."""

    unit: str | None = None
    timezone: str = "UTC"
    window: WindowField | None = None
    immature: Literal["exclude", "include"] = "exclude"
    confidence: ConfidenceField = 0.95
    covariates: CovariatesField = None
    multiplicity: Multiplicity | None = None
    srm_alpha: ProbabilityField = 0.001


class ProjectSettings(Strict):
    """`project.yml`: the root of a project."""

    version: Literal[1]
    name: NameField
    entities: Names
    dialect: str | None = None
    dbt_manifest: str | None = None
    defaults: Defaults = Defaults()
    output_schema: str | None = None
    min_units: NonNegativeInt | None = None
    max_bytes: PositiveInt | None = None
    query_timeout: DurationField | None = None
    retention: DurationField | None = None
    profiles: dict[NameField, dict[str, Any]]
    default_profile: str | None = None
    lint: dict[str, Literal["off", "notice", "warning", "error"]] = {}
