"""Every field of every definition has a fate: it makes numbers, is refused, is checked, or is only shown.

A field that nobody lists here would be accepted and ignored. Add it with what it does, and test that.
"""

import pytest
from pydantic import BaseModel

from metricdef.definitions import models
from metricdef.metrics import TYPES, base, fields, funnel, ratio

# used: it changes the SQL or the analysis. checked: `check` holds it against other definitions. refused: `run` names it
# as not computed yet, where it is set to anything but its default. shown: it is printed and means nothing else.
FATES = {
    "Source": {
        "used": "kind table sql dialect entities timestamp timezone loaded_at settles_after filter measures dimensions experiment arm valid_from valid_to partition grain expect",
        "refused": "dbt_model",
        "shown": "description",
    },
    "Expectations": {"used": "not_null unique accepted fresh_within max_late"},
    "Segment": {"used": "source filter lookback", "shown": "description"},
    "Target": {"used": "margin equivalence mde"},
    "MetricSet": {"used": "primary secondary guardrail", "shown": "description"},
    "Trigger": {"used": "source filter"},
    "Exposure": {"used": "source key filter mixed trigger", "checked": "assignment"},
    "Arm": {"used": "share key", "shown": "description"},
    "RampStep": {"used": "start shares"},
    "Validation": {"used": "hold srm_alpha aa_lookback"},
    "Outcomes": {"used": "primary secondary guardrail sets"},
    "Futility": {"refused": "spending gamma binding"},
    "Sequential": {
        "used": "method",
        "refused": "spending bounds gamma looks unplanned planned_units futility anytime_alpha final_alpha",
    },
    "Correction": {"used": "method order alpha edges"},
    "Multiplicity": {"used": "primary secondary guardrail"},
    "Alphas": {"used": "success non_inferiority deterioration quality"},
    "Analysis": {
        "used": "confidence alpha covariates sequential multiplicity strata breakdowns novelty sensitivity",
        "refused": "bayes",
    },
    "Conditions": {"used": "primary secondary guardrail"},
    "ShipConditions": {"used": "primary secondary guardrail quality"},
    "Decision": {"used": "ship stop practical", "shown": "authority"},
    "Amendment": {"shown": "on by what why"},
    "Outcome": {"checked": "arm", "shown": "decided note"},
    "Flag": {"shown": "provider key rollback"},
    "Experiment": {
        "used": "unit cluster cluster_effect exposure population arms baseline ramp start end validation metrics analysis decision prefer",
        "checked": "outcome",
        "shown": "label description owners status hypothesis amendments flag",
    },
    "GivenExposure": {"used": "arm at"},
    "MetricTest": {"used": "metric exposures given as_of expect expect_units", "shown": "description"},
    "Defaults": {"used": "unit timezone window immature confidence covariates multiplicity srm_alpha"},
    "ProjectSettings": {
        "used": "version entities defaults profiles default_profile lint query_timeout output_schema min_units max_bytes",
        "refused": "dialect dbt_manifest retention",
        "shown": "name",
    },
    "Cap": {"used": "lower upper zeros"},
    "Covariates": {"used": "lookback extra"},
    "Deprecated": {"checked": "use", "shown": "since"},
    "InlinePart": {"used": "source agg measure filter"},
    "Step": {"used": "name source filter within"},
    "MeanMetric": {"used": "source agg measure filter missing cap per"},
    "ProportionMetric": {"used": "source filter"},
    "RatioMetric": {"used": "numerator denominator"},
    "ThresholdMetric": {"used": "source agg measure filter missing cap at_least more_than at_most less_than"},
    "RetentionMetric": {"used": "source filter min_rows"},
    "FunnelMetric": {"used": "steps order"},
    "QuantileMetric": {"used": "source measure filter quantile of agg missing"},
}
OF_EVERY_METRIC = {
    "used": "type window immature covariates direction format renamed_from",
    "checked": "deprecated",
    "shown": "description label owner tags",
}
MODULES = (models, base, fields, ratio, funnel)


def all_models() -> dict[str, type[BaseModel]]:
    found = {t.__name__: t for t in TYPES.values()}
    for module in MODULES:
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, BaseModel) and value.model_fields:
                found[value.__name__] = value
    return {name: model for name, model in found.items() if name != "Metric"}


def test_every_model_is_listed():
    assert set(FATES) == set(all_models())


@pytest.mark.parametrize("name", FATES)
def test_every_field_has_one_fate(name):
    fates = [FATES[name]] + ([OF_EVERY_METRIC] if name.endswith("Metric") else [])
    listed = [field for fate in fates for names in fate.values() for field in names.split()]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(all_models()[name].model_fields)
