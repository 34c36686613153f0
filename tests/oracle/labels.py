"""What a generated case really exercises, told from its definitions, its data and the oracle's answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from .drawing import DAY, Frame, changes
from .metric_labels import covariate_labels, metric_labels
from .oracle import Oracle
from .reading import ZERO, Case, Unit, local_day, midnight, parse_duration

Found = Iterator[tuple[str, bool]]

# Labels that the options of a case are made of; the self-test checks that each one occurs.
_OPTIONS = """
    nulls negative offset_1e9 all_zero
    ties tied_attributes mixed_first_tie repeated edge mixed empty_arm no_exposures no_units
    unknown_arm null_unit null_time outside_dates after_as_of other_experiment unknown_unit unit_without_events
    integer_units text_units nasty_units not_loaded outside_population missing_attribute
    as_of_before_end as_of_at_end as_of_after_end iso_dates
    three_arms arm_key sets first_arm exposure_filter source_filter metric_filter filter_list dimension_expression
    loaded_at settles_after two_sources mixed_windows
    population_exposure population_attribute population_events segment_edge
    immature immature_include immature_override window_span window_last window_experiment window_later
    mean min_max count_distinct active_days first_last first_last_tie per_day per_day_cut
    missing_exclude missing_exclude_absent missing_exclude_capped
    proportion
    threshold at_least more_than at_most less_than threshold_capped threshold_exclude threshold_on_limit
    retention min_rows retention_exact_rows
    ratio ratio_window ratio_inline ratio_named ratio_proportion ratio_threshold ratio_active_days ratio_capped
    ratio_two_sources ratio_zero_denominator
    funnel funnel_any funnel_two_sources funnel_first_within funnel_within_edge funnel_tie funnel_not_greedy
    funnel_complete
    quantile quantile_units quantile_events quantile_exclude quantile_without_values quantile_interpolated
    cap cap_lower cap_percentile cap_percentile_lower cap_percentile_ratio cap_percentile_covariate cap_percentile_mixed
    cap_zeros_exclude cap_binds cap_degenerate cap_without_units cap_few_units cap_both_kinds
    covariate covariate_off covariate_override lookback_0d extra_metric extra_attribute extra_exposure extra_new_type
    covariate_threshold covariate_retention covariate_funnel covariate_exclude
    trigger trigger_filter untriggered trigger_later trigger_at_exposure trigger_first_at_end
    attributes_valid attribute_tie attribute_several attribute_gap
    strata strata_two strata_attribute strata_null
    breakdown_exposure breakdown_attribute breakdown_qualified breakdown_expression breakdown_null level_of_one
    ramp ramp_edge ramp_sticky several_epochs ramp_mixed
    clusters per_cluster cluster_mixed cluster_mixed_between cluster_null cluster_of_one cluster_tie cluster_covariate
    cluster_trigger cluster_funnel cluster_ratio
    timezone clock_change midnight source_timezone active_days_split
    ambiguous:segment_without_row ambiguous:extra_is_part ambiguous:ratio_part_immature
    ambiguous:ratio_part_covariates ambiguous:ratio_maturity ambiguous:not_loaded_exposure
    ambiguous:funnel_covariate_within ambiguous:per_day_covariate ambiguous:percentile_of_immature
    ambiguous:threshold_capped_count ambiguous:cluster_capped_count ambiguous:extra_excludes
    ambiguous:lower_above_upper
"""
OPTIONS = tuple(_OPTIONS.split())


def describe(case: Case, frame: Frame, nasty: bool) -> set[str]:
    oracle = Oracle(case)
    found = {label for label, holds in data_labels(oracle, case, frame, nasty) if holds}
    found |= {label for label, holds in exposure_labels(oracle, case, frame) if holds}
    found |= {label for label, holds in definition_labels(oracle) if holds}
    found |= {label for label, holds in unit_labels(oracle) if holds}
    for name in oracle.analysed_metrics():
        found |= {label for label, holds in metric_labels(oracle, name) if holds}
        found |= {label for label, holds in covariate_labels(oracle, name) if holds}
    found |= {label for label, holds in across_metrics(oracle) if holds}
    return found


# --- data -------------------------------------------------------------------------------------------------------------
def data_labels(oracle: Oracle, case: Case, frame: Frame, nasty: bool) -> Found:
    units = oracle.units
    yield "nulls", any(None in row.values() for table in case.tables.values() for row in table.rows)
    numbers = ("amount", "discount", "qty", "pages", "duration")
    measured = [
        row[column]
        for name in ("fct_orders", "fct_sessions")
        if name in case.tables
        for row in case.tables[name].rows
        for column in numbers
        if row.get(column) is not None
    ]
    yield "negative", any(value < 0 for value in measured)
    yield "all_zero", frame.zero and bool(units) and bool(case.tables["fct_orders"].rows)
    yield "offset_1e9", any((row["amount"] or 0) > 1e8 for row in case.tables["fct_orders"].rows)
    yield "integer_units" if frame.integers else "text_units", bool(units)
    yield "nasty_units", nasty and bool(units)
    events = {name: oracle.events(name) for name in oracle.sources if oracle.kind(name) == "events"}
    yield "unknown_unit", bool(units) and any(unit not in units for rows in events.values() for unit in rows)
    yield "unit_without_events", any(all(unit not in rows for rows in events.values()) for unit in units)
    bounds = set(frame.offsets)
    times = [(unit, time) for rows in events.values() for unit, found in rows.items() for time, _, _ in found]
    own = [(units[unit].first_exposure, time) for unit, time in times if unit in units]
    yield "edge", any(time - first in bounds for first, time in own)
    yield "midnight", any(midnight(local_day(time, oracle.timezone), oracle.timezone) == time for _, time in times)
    odd = changes(oracle.timezone, (frame.start - 21 * DAY).date(), (frame.end + 21 * DAY).date())
    yield "clock_change", any(local_day(time, oracle.timezone) in odd for _, time in times)
    orders = oracle.sources["orders"]
    yield (
        "not_loaded",
        oracle.excluded["not_loaded"] > 0
        or (
            "loaded_at" in orders
            and any(
                row["ordered_at"] is not None and row["ordered_at"] < case.as_of <= oracle.loaded(orders, row)
                for row in oracle.rows("orders")
            )
        ),
    )


# --- exposure ---------------------------------------------------------------------------------------------------------
def exposure_labels(oracle: Oracle, case: Case, frame: Frame) -> Found:
    units, excluded = oracle.units, oracle.excluded
    log = oracle.rows("assignments")
    yield "other_experiment", any(row["experiment_key"] == "other_experiment" for row in log)
    yield "ambiguous:not_loaded_exposure", excluded["not_loaded"] > 0
    for reason in ("unknown_arm", "null_unit", "null_time", "after_as_of", "outside_population", "untriggered"):
        yield reason, excluded[reason] > 0
    yield "cluster_null", excluded["null_cluster"] > 0
    yield "outside_dates", excluded["before_start"] + excluded["on_or_after_end"] > 0
    yield "no_units", not frame.units
    yield "no_exposures", not units
    yield "empty_arm", bool(units) and len({record.arm for record in units.values()}) < len(oracle.arms)
    yield "mixed", any(record.mixed for record in units.values())
    rows: dict[Unit, list[dict[str, Any]]] = {}
    for row in log:
        if row["user_id"] in units and row["experiment_key"] == "exp_key" and row["variant"] in oracle.arm_of_key:
            rows.setdefault(row["user_id"], []).append(row)
    yield "repeated", any(len(own) > 1 for own in rows.values())
    first = {
        unit: [row for row in own if row["exposed_at"] == units[unit].first_exposure] for unit, own in rows.items()
    }
    yield "ties", any(len(own) > 1 for own in first.values())
    yield "mixed_first_tie", any(len({row["variant"] for row in own}) > 1 for own in first.values())
    dimensions = ("platform", "is_bot", "score")
    yield (
        "tied_attributes",
        bool(oracle.segments or oracle.analysis)
        and any(len({row[column] for row in own}) > 1 for own in first.values() for column in dimensions),
    )
    begins = [time for time in frame.edges if time not in (frame.start, frame.end, frame.as_of)]
    yield "ramp_edge", "ramp" in oracle.experiment and any(r.first_exposure in begins for r in units.values())
    yield "several_epochs", len({record.epoch for record in units.values()}) > 1
    yield "ramp_mixed", "ramp" in oracle.experiment and any(record.mixed for record in units.values())
    if "trigger" in oracle.experiment["exposure"]:
        yield "trigger", any(record.triggered for record in units.values())
        yield "trigger_filter", "filter" in oracle.experiment["exposure"]["trigger"] and bool(units)
        anchors = [(r.first_exposure, r.anchor) for r in units.values() if r.anchor is not None]
        yield "trigger_later", any(anchor > begin for begin, anchor in anchors)
        yield "trigger_at_exposure", any(anchor == begin for begin, anchor in anchors)
        until = min(oracle.end, oracle.as_of)
        late = [u for u, r in units.items() if not r.triggered and any(t >= until for t in oracle.trigger_times(u))]
        yield "trigger_first_at_end", bool(late)
    relation = "before" if case.as_of < frame.end else "at" if case.as_of == frame.end else "after"
    yield f"as_of_{relation}_end", True


def unit_labels(oracle: Oracle) -> Found:
    records = list(oracle.units.values())
    analysis = oracle.analysis
    strata, breakdowns = analysis.get("strata") or [], analysis.get("breakdowns") or []
    yield "strata", bool(strata) and bool(records)
    yield "strata_two", len({record.strata for record in records}) > 1
    yield "strata_null", any(None in record.strata for record in records)
    found = {name: oracle.find_dimension(name) for name in (*strata, *breakdowns)}
    yield "strata_attribute", any(found[name][0] == "users" for name in strata) and bool(records)
    yield "breakdown_exposure", any(found[name][0] == "assignments" for name in breakdowns) and bool(records)
    yield "breakdown_attribute", any(found[name][0] == "users" for name in breakdowns) and bool(records)
    yield "breakdown_qualified", any("." in name for name in breakdowns)
    yield "breakdown_expression", "adult" in breakdowns and any(record.breakdowns["adult"] for record in records)
    for name in breakdowns:
        levels = Counter(record.breakdowns[name] for record in records)
        yield "breakdown_null", None in levels
        yield "level_of_one", 1 in levels.values()
    uses_attributes = any(source == "users" for source, _ in found.values()) or "known" in oracle.segments
    if "users" in oracle.sources and "valid_from" in oracle.sources["users"]:
        yield "attributes_valid", bool(records) and bool(oracle.attributes("users"))
        known = oracle.attributes("users")
        for record in records:
            rows = known.get(record.unit, [])
            valid = [row for row in rows if (row["valid_from"] or datetime.min) <= record.first_exposure]
            if "valid_to" in oracle.sources["users"]:
                valid = [row for row in valid if (row["valid_to"] or datetime.max) > record.first_exposure]
            yield "attribute_several", len(valid) > 1
            yield "attribute_gap", bool(rows) and not valid
            starts = Counter(row["valid_from"] for row in valid)
            latest = max(starts, key=lambda begin: begin or datetime.min, default=None)
            yield "attribute_tie", starts[latest] > 1 and uses_attributes
    if "active" in oracle.segments:
        lookback = parse_duration(oracle.segments["active"]["lookback"])
        rows_of = oracle.events(oracle.segments["active"]["source"])
        yield (
            "segment_edge",
            any(
                time - record.first_exposure in (-lookback, ZERO)
                for record in records
                for time, _, _ in rows_of.get(record.unit, [])
            ),
        )
    if "known" in oracle.segments and "age is null" in str(oracle.segments["known"]["filter"]):
        yield "ambiguous:segment_without_row", any(unit not in oracle.attributes("users") for unit in oracle.units)
    for cluster in oracle.clusters.values():
        own = [oracle.units[unit] for unit in cluster.units]
        yield "cluster_of_one", len(own) == 1
        yield "cluster_mixed", cluster.mixed
        first = min(record.first_exposure for record in own)
        yield "cluster_tie", sum(record.first_exposure == first for record in own) > 1
        yield "cluster_mixed_between", cluster.mixed and len({r.at_exposure["variant"] for r in own}) > 1


# --- definitions ------------------------------------------------------------------------------------------------------
def definition_labels(oracle: Oracle) -> Found:
    experiment = oracle.experiment
    exposure = experiment["exposure"]
    exposed = bool(oracle.units)
    dates = [experiment[bound] for bound in ("start", "end")]
    yield "iso_dates", any(not isinstance(value, date) and "T" in value for value in dates)
    yield "three_arms", len(oracle.arms) == 3
    yield "arm_key", any("key" in (arm or {}) for arm in experiment["arms"].values())
    yield "sets", "sets" in experiment["metrics"]
    yield "first_arm", exposure.get("mixed") == "first_arm"
    yield "exposure_filter", "filter" in exposure
    yield "population_exposure", "seen" in oracle.segments and exposed
    yield "population_attribute", "known" in oracle.segments and exposed
    yield "population_events", "active" in oracle.segments and any(r.in_population for r in oracle.units.values())
    yield "loaded_at", any("loaded_at" in source for source in oracle.sources.values())
    yield "source_filter", any("filter" in source for source in oracle.sources.values())
    yield "source_timezone", any("timezone" in source for source in oracle.sources.values()) and exposed
    yield "timezone", oracle.timezone != "UTC" and exposed
    yield "ramp", "ramp" in experiment and exposed
    yield "ramp_sticky", "ramp" in experiment and exposure.get("assignment") == "sticky"
    yield "clusters", oracle.cluster is not None and exposed
    yield "per_cluster", experiment.get("cluster_effect") == "per_cluster" and exposed


def across_metrics(oracle: Oracle) -> Found:
    windows = [pair for name in oracle.analysed_metrics() for pair in oracle.windows(oracle.metrics[name])]
    yield "two_sources", len({source for _, source in windows}) > 1
    yield "mixed_windows", len({window for window, _ in windows}) > 1
