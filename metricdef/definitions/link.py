"""References between definitions, and the rules that need more than one of them.

A definition that failed validation still counts as declared, so that one mistake is reported once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from metricdef.definitions.link_experiment import check_experiment
from metricdef.definitions.link_hygiene import check_hygiene
from metricdef.definitions.link_source import check_segment, check_source
from metricdef.definitions.link_tests import check_test
from metricdef.definitions.lookup import check_extra, check_filter, unknown
from metricdef.definitions.models import ROLES
from metricdef.definitions.policy import check_policy
from metricdef.definitions.project import Project
from metricdef.definitions.yaml_source import Document
from metricdef.errors import Diagnostic, suggest
from metricdef.metrics import Metric, Reference
from metricdef.metrics.ratio import PART_TYPES

_SECRET_KEY = re.compile(r"password|pwd|passcode|token|secret|passphrase|private_key(?!_file)|api_?key", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_VARIABLES = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(?::-[^}]*)?\}")
_CREDENTIALS_IN_URL = re.compile(r"://[^/\s@]*:[^/\s@$]+@|token=(?!\$\{)")


def is_literal_secret(key: str, value: object) -> bool:
    """Whether a profile's value holds a secret in clear: also as the default of a variable, or inside an address."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        return False
    text = str(value)
    if _SECRET_KEY.search(key) and not key.lower().endswith(("_file", "_path", "_url")):
        return _VARIABLE.fullmatch(text) is None
    return _CREDENTIALS_IN_URL.search(text) is not None


def link(project: Project) -> list[Diagnostic]:
    """Everything wrong with references and between definitions."""
    return [
        *_check_settings(project),
        *check_policy(project),
        *check_hygiene(project),
        *(d for name in project.sources for d in check_source(project, name)),
        *(d for name in project.segments for d in check_segment(project, name)),
        *(d for name, metric in project.metrics.items() for d in check_metric(project, name, metric)),
        *_check_sets(project),
        *(d for name in project.experiments for d in check_experiment(project, name)),
        *(d for name in project.tests for d in check_test(project, name)),
    ]


def _check_settings(project: Project) -> Iterator[Diagnostic]:
    settings = project.settings
    document = next(d for d in project.documents.values() if ("version",) in d.keys)
    try:
        ZoneInfo(settings.defaults.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        yield Diagnostic(
            "invalid-value",
            f"`{settings.defaults.timezone}` is not a time zone",
            document.place(("defaults", "timezone")),
            ("write for example Europe/Berlin",),
        )
    if settings.defaults.unit is not None and settings.defaults.unit not in settings.entities:
        yield unknown(
            "entity",
            settings.defaults.unit,
            settings.entities,
            document.place(("defaults", "unit")),
            "the default unit",
        )
    if not settings.profiles:
        yield Diagnostic(
            "missing-key",
            "`profiles` is empty",
            document.place(("profiles",), key=True),
            ("write for example `local: {type: duckdb, path: data.duckdb}`",),
        )
    if settings.default_profile is not None and settings.default_profile not in settings.profiles:
        yield unknown(
            "profile",
            settings.default_profile,
            settings.profiles,
            document.place(("default_profile",)),
            "`default_profile`",
        )
    covariates = settings.defaults.covariates
    for position, extra in enumerate(covariates.extra if covariates else ()):
        place = document.place(("defaults", "covariates", "extra", position))
        yield from check_extra(
            project, extra, place, no_lookback=covariates is not None and not covariates.lookback.microseconds
        )
    for name, profile in settings.profiles.items():
        yield from _check_profile(document, name, profile)
        for key, value in profile.items():
            if is_literal_secret(key, value):
                yield Diagnostic(
                    "literal-secret",
                    f"`{key}` of profile `{name}` is written in clear",
                    document.place(("profiles", name, key), key=True),
                    (f"put it into the environment and write `{key}: ${{{key.upper()}}}`",),
                )


PROFILE_TYPES = ("duckdb", "snowflake", "postgres", "spark", "clickhouse")


def _check_profile(document: Document, name: str, profile: Mapping[str, object]) -> Iterator[Diagnostic]:
    kind = profile.get("type")
    if kind not in PROFILE_TYPES:
        similar = suggest(str(kind), PROFILE_TYPES)
        help_ = f"did you mean `{similar[0]}`?" if similar else f"types: {', '.join(PROFILE_TYPES)}"
        message = f"profile `{name}`: `{kind}` is not a type of warehouse"
        yield Diagnostic("invalid-value", message, document.place(("profiles", name, "type")), (help_,))
    for key, value in profile.items():
        place = document.place(("profiles", name, key), key=True)
        if kind == "duckdb" and key not in ("type", "path", "schemas") and not is_literal_secret(key, value):
            similar = suggest(key, ("path", "schemas"))
            help_ = f"did you mean `{similar[0]}`?" if similar else "keys: path, schemas, type"
            yield Diagnostic("unknown-key", f"`{key}` is not a key of a duckdb profile", place, (help_,))
        if isinstance(value, str) and _VARIABLES.sub("", value).count("${"):
            message = f"profile `{name}`: a variable in `{key}` is not closed"
            yield Diagnostic("invalid-value", message, place, ("write ${NAME} or ${NAME:-default}",))


def check_metric(project: Project, name: str, metric: Metric) -> Iterator[Diagnostic]:
    """References of one metric and contradictions inside it."""
    for problem in metric.problems():
        yield Diagnostic(
            problem.rule,
            f"metric `{name}`: {problem.message}",
            project.place("metrics", name, *problem.path),
            (problem.help,) if problem.help else (),
        )
    for reference in metric.references():
        yield from _check_reference(project, name, reference)
    if metric.deprecated and not project.is_declared("metrics", metric.deprecated.use):
        yield unknown(
            "metric",
            metric.deprecated.use,
            project.declared("metrics"),
            project.place("metrics", name, "deprecated", "use"),
            "`deprecated.use`",
        )
    yield from _check_renamed(project, name, metric)
    if metric.covariates:
        for position, extra in enumerate(metric.covariates.extra):
            place = project.place("metrics", name, "covariates", "extra", position)
            yield from check_extra(project, extra, place, no_lookback=not metric.covariates.lookback.microseconds)


def _check_renamed(project: Project, name: str, metric: Metric) -> Iterator[Diagnostic]:
    """Looks recorded under an old name must belong to one metric of today."""
    old = metric.renamed_from
    if old is None:
        return
    others = [n for n, other in project.metrics.items() if other.renamed_from == old and n != name]
    problem = (
        f"`{old}`, which is still there"
        if old in project.declared("metrics")
        else f"`{old}`, and so does `{others[0]}`"
        if others
        else None
    )
    if problem is not None:
        yield Diagnostic(
            "renamed-from",
            f"metric `{name}`: `renamed_from` names {problem}",
            project.place("metrics", name, "renamed_from"),
            ("looks under the old name can go on as one metric only: remove `renamed_from` from the other",),
        )


def _check_reference(project: Project, name: str, reference: Reference) -> Iterator[Diagnostic]:
    source = project.sources.get(reference.source or "")
    if reference.kind == "metric":
        yield from _check_part(project, name, reference)
    elif reference.kind == "source":
        if not project.is_declared("sources", reference.name):
            place = project.place("metrics", name, *reference.path)
            yield unknown("source", reference.name, project.declared("sources"), place, f"metric `{name}`")
        elif (found := project.sources.get(reference.name)) is not None and found.kind == "attributes":
            yield Diagnostic(
                "source-kind",
                f"metric `{name}`: source `{reference.name}` holds attributes, which have no time",
                project.place("metrics", name, *reference.path),
                ("use a source of events",),
            )
    elif source is not None and reference.kind == "measure":
        if reference.name not in source.measures:
            place = project.place("metrics", name, *reference.path)
            yield unknown(
                "measure", reference.name, source.measures, place, f"metric `{name}`: source `{reference.source}`"
            )
    elif source is not None:
        yield from check_filter(project, str(reference.source), reference.name, ("metrics", name, *reference.path))


def _check_part(project: Project, name: str, reference: Reference) -> Iterator[Diagnostic]:
    place = project.place("metrics", name, *reference.path)
    if not project.is_declared("metrics", reference.name):
        yield unknown(
            "metric", reference.name, project.declared("metrics"), place, f"{reference.path[0]} of metric `{name}`"
        )
        return
    part = project.metrics.get(reference.name)
    if cycle := _cycle(project, name, reference.name):
        yield Diagnostic(
            "ratio-cycle",
            f"{reference.path[0]} of metric `{name}` leads back to itself: {' → '.join(cycle)}",
            place,
            (f"a ratio is made of metrics of type {', '.join(PART_TYPES)}",),
        )
    elif part is not None and part.type not in PART_TYPES:
        yield Diagnostic(
            "ratio-part",
            f"{reference.path[0]} of metric `{name}`: `{reference.name}` is a {part.type}",
            place,
            (f"a ratio is made of metrics of type {', '.join(PART_TYPES)}",),
        )
    elif part is not None and getattr(part, "agg", "sum") not in ("sum", "count", "count_distinct", "active_days"):
        yield Diagnostic(
            "ratio-part",
            f"{reference.path[0]} of metric `{name}`: `{reference.name}` has `agg: {getattr(part, 'agg', '')}`",
            place,
            ("a ratio's parts are sums, counts, distinct counts, active days, proportions or thresholds",),
        )
    elif part is not None and getattr(part, "per", None) is not None:
        yield Diagnostic(
            "ratio-part",
            f"{reference.path[0]} of metric `{name}`: `{reference.name}` is itself a ratio, per day",
            place,
            ("name the active days without `per: day`",),
        )
    elif part is not None and getattr(part, "missing", None) == "exclude":
        yield Diagnostic(
            "ratio-part", f"{reference.path[0]} of metric `{name}`: `{reference.name}` says `missing: exclude`", place
        )


def _cycle(project: Project, name: str, first: str) -> list[str]:
    """The way from a ratio through parts that are ratios back to it; empty where there is none."""
    ways = [[name, first]]
    seen = {first}
    while ways:
        way = ways.pop()
        if way[-1] == name:
            return way
        part = project.metrics.get(way[-1])
        for reference in part.references() if part is not None and part.type == "ratio" else ():
            if reference.kind == "metric" and reference.name not in seen:
                seen.add(reference.name)
                ways.append([*way, reference.name])
    return []


def _check_sets(project: Project) -> Iterator[Diagnostic]:
    for name, metric_set in project.metric_sets.items():
        for role in ROLES:
            for metric in getattr(metric_set, role):
                if not project.is_declared("metrics", metric):
                    place = project.place("metric_sets", name, role, metric, key=True)
                    yield unknown(
                        "metric", metric, project.declared("metrics"), place, f"{role} of metric set `{name}`"
                    )
