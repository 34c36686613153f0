"""What metricdef's SQL is compared with, as DuckDB SQL of the benchmark's own making.

Two follow the shape of queries that GrowthBook wrote until 2025: units with their first exposure, a CASE column a metric over
the facts and again over the join of units with facts, covariates from a join of their own, one row a unit, then plain sums.
`grouped` has all metrics in one such query (its pull request 1923 of 2023), `per_metric` one query for each, with the
metric's own filter. `grouped_filtered`: what the grouped query became in 2025, when the filters of all metrics came to
limit the scan (4434), and covariates are taken from the one join.

`by_hand`: one query a metric as a careful analyst writes it, with its own filter and a single join. `limit`: scan, join and
one sum a user, without which no metric can be computed. `scan`: reading the needed columns.
"""

from __future__ import annotations

from datetime import datetime

from benchmarks.metrics import (
    LOOKBACK,
    EventQuantile,
    Names,
    Part,
    Spec,
    means,
    needed_columns,
    needed_events,
    quantiles,
)
from benchmarks.warehouse import DAY, END, EXPERIMENT, FIRST_DAY, START


def per_metric(names: Names) -> list[str]:
    """One statement for each of the named metrics, means first."""
    single = [spec.name for spec in means(names)] + [spec.name for spec in quantiles(names)]
    return [_grouped({name}, filtered=True, joined_twice=True) for name in single]


def by_hand(names: Names) -> list[str]:
    """One statement for each of the named metrics, means first."""
    return [_mean_query(spec) for spec in means(names)] + [_quantile_query(spec) for spec in quantiles(names)]


def scan(names: Names) -> list[str]:
    """Reads the needed columns of all events, without a filter."""
    sums = ["SUM(STRLEN(user_id))", "SUM(STRLEN(event_name))", "MAX(event_at)"]
    return [f"SELECT {', '.join([*sums, *(f'SUM({c})' for c in needed_columns(names))])} FROM events"]


def limit(names: Names) -> list[str]:
    """Joins the needed events to the experiment's users and sums one column per user."""
    return [
        f"""
WITH units AS ({_units()}),
per_user AS (
  SELECT e.user_id, u.arm, SUM(CASE WHEN e.event_at >= u.t0 THEN e.revenue END) AS y
  FROM events AS e
  INNER JOIN units AS u ON u.user_id = e.user_id
  WHERE {_needed_rows("e", needed_events(names))}
  GROUP BY e.user_id, u.arm
)
SELECT arm, COUNT(*), SUM(y) FROM per_user GROUP BY arm"""
    ]


def grouped(names: Names) -> list[str]:
    """One statement for all of the named metrics."""
    return [_grouped(names, filtered=False, joined_twice=True)]


def grouped_filtered(names: Names) -> list[str]:
    """The same, where the scan has the conditions of all metrics and covariates need no join of their own."""
    return [_grouped(names, filtered=True, joined_twice=False)]


def _grouped(names: Names, *, filtered: bool, joined_twice: bool) -> str:
    columns = [(f"m{k}", spec) for k, spec in enumerate(means(names))]
    events = [(f"q{k}", spec) for k, spec in enumerate(quantiles(names))]
    facts, joined, totals, before = [], [], [], []
    wanted = _needed_rows("events", needed_events(names)) if filtered else _time("events")
    for prefix, spec in columns:
        for i, part in enumerate(spec.parts):
            facts.append(f"CASE WHEN {_rows(part, '')} THEN {_row_value(part, '')} END AS {prefix}_{i}")
            joined.append(f"CASE WHEN {_window(part)} THEN e.{prefix}_{i} END AS {prefix}_y{i}")
            totals.append(f"{_total(part, f'{prefix}_y{i}')} AS {prefix}_y{i}")
            if spec.covariates and not joined_twice:
                joined.append(f"CASE WHEN {_BEFORE} THEN e.{prefix}_{i} END AS {prefix}_x{i}")
            if spec.covariates:
                before.append(
                    f"{_total(part, f'e.{prefix}_{i}' if joined_twice else f'{prefix}_x{i}')} AS {prefix}_x{i}"
                )
    for prefix, quantile in events:
        facts.append(f"CASE WHEN event_name = '{quantile.event}' THEN {quantile.column} END AS {prefix}")
        joined.append(f"CASE WHEN {_AFTER} THEN e.{prefix} END AS {prefix}")
        totals.append(f"COUNT({prefix}) AS {prefix}_m")
        totals.append(f"COUNT(CASE WHEN {prefix} <= {prefix}_at[2] THEN 1 END) AS {prefix}_l")
    ctes = [
        ("units", _units()),
        (
            "facts",
            f"SELECT user_id, event_at, {', '.join(facts)} FROM events WHERE {wanted}",
        ),
        (
            "joined",
            f"SELECT u.arm, u.user_id, u.t0, {', '.join(joined)} FROM units AS u LEFT JOIN facts AS e USING (user_id)",
        ),
    ]
    join = ""
    if events:
        found = ", ".join(f"QUANTILE_CONT({p}, {_grid(spec)}) AS {p}_at" for p, spec in events)
        ctes.append(("event_quantiles", f"SELECT arm, {found} FROM joined GROUP BY arm"))
        join = " INNER JOIN event_quantiles USING (arm)"
    kept = "".join(f", ANY_VALUE({p}_at) AS {p}_at" for p, _ in events)
    ctes.append(
        ("per_user", f"SELECT arm, user_id, t0{kept}, {', '.join(totals)} FROM joined{join} GROUP BY arm, user_id, t0")
    )
    source = "per_user"
    if before:
        rows = f"units AS u INNER JOIN facts AS e USING (user_id) WHERE {_BEFORE}" if joined_twice else "joined"
        ctes.append(("covariates", f"SELECT arm, user_id, {', '.join(before)} FROM {rows} GROUP BY arm, user_id"))
        source = "per_user LEFT JOIN covariates USING (arm, user_id)"
    capped = [(p, spec, name) for p, spec in columns if spec.capped for name in _value_names(spec)]
    if capped:
        limits = ", ".join(f"{_cap(f'{p}_{name}')} AS {p}_{name}_cap" for p, _, name in capped)
        ctes.append(("caps", f"SELECT {limits} FROM {source}"))
        source = f"{source} CROSS JOIN caps"
    results = ["arm", "COUNT(*) AS units"]
    for prefix, spec in columns:
        results += _sums([_value(spec, f"{prefix}_{name}") for name in _value_names(spec)], f"{prefix}_")
    for prefix, _ in events:
        results += [f"ANY_VALUE({prefix}_at) AS {prefix}_at", *_cluster_sums(prefix)]
    return _statement(ctes, f"SELECT {', '.join(results)} FROM {source} GROUP BY arm")


def _mean_query(spec: Spec) -> str:
    totals = [
        f"{_total(part, f'CASE WHEN {_rows(part)} AND {test} THEN {_row_value(part)} END')} AS {letter}{i}"
        for letter in ("yx" if spec.covariates else "y")
        for i, part in enumerate(spec.parts)
        for test in [_window(part) if letter == "y" else _BEFORE]
    ]
    events = sorted({part.event for part in spec.parts})
    ctes = [
        ("units", _units()),
        (
            "per_user",
            f"""SELECT u.user_id, u.arm, u.t0, {", ".join(totals)}
FROM units AS u LEFT JOIN events AS e ON e.user_id = u.user_id AND {_needed_rows("e", events, before=spec.covariates)}
GROUP BY u.user_id, u.arm, u.t0""",
        ),
    ]
    source = "per_user"
    if spec.capped:
        ctes.append(("caps", f"SELECT {', '.join(f'{_cap(n)} AS {n}_cap' for n in _value_names(spec))} FROM per_user"))
        source = "per_user CROSS JOIN caps"
    sums = ", ".join(_sums([_value(spec, name) for name in _value_names(spec)], "m0_"))
    return _statement(ctes, f"SELECT arm, {sums} FROM {source} GROUP BY arm")


def _quantile_query(spec: EventQuantile) -> str:
    ctes = [
        ("units", _units()),
        (
            "joined",
            f"""SELECT u.arm, u.user_id, e.{spec.column} AS q0
FROM units AS u LEFT JOIN events AS e
  ON e.user_id = u.user_id AND {_AFTER} AND {_needed_rows("e", [spec.event], before=False)}""",
        ),
        ("event_quantiles", f"SELECT arm, QUANTILE_CONT(q0, {_grid(spec)}) AS q0_at FROM joined GROUP BY arm"),
        (
            "per_user",
            """SELECT arm, user_id, ANY_VALUE(q0_at) AS q0_at, COUNT(q0) AS q0_m,
  COUNT(CASE WHEN q0 <= q0_at[2] THEN 1 END) AS q0_l
FROM joined INNER JOIN event_quantiles USING (arm) GROUP BY arm, user_id""",
        ),
    ]
    return _statement(
        ctes, f"SELECT arm, ANY_VALUE(q0_at) AS q0_at, {', '.join(_cluster_sums('q0'))} FROM per_user GROUP BY arm"
    )


def _units() -> str:
    """Users of the experiment with their first exposure; those who saw two arms are out."""
    return (
        "SELECT user_id, MIN(exposed_at) AS t0, MIN(variant) AS arm FROM exposures"
        f" WHERE experiment_key = '{EXPERIMENT}' AND exposed_at >= {_at(START)} AND exposed_at < {_at(END)}"
        " GROUP BY user_id HAVING COUNT(DISTINCT variant) = 1"
    )


def _needed_rows(table: str, events: list[str], *, before: bool = True) -> str:
    """Bounds of the scan: event names and time."""
    listed = ", ".join(f"'{event}'" for event in events)
    return f"{table}.event_name IN ({listed}) AND {_time(table, before=before)}"


def _time(table: str, *, before: bool = True) -> str:
    return f"{table}.event_at >= {_at(FIRST_DAY if before else START)} AND {table}.event_at < {_at(END)}"


_BEFORE = f"e.event_at >= u.t0 - INTERVAL {LOOKBACK // DAY} DAY AND e.event_at < u.t0"
_AFTER = "e.event_at >= u.t0"


def _window(part: Part) -> str:
    start = f"u.t0 + INTERVAL {part.start // DAY} DAY" if part.start else "u.t0"
    end = f" AND e.event_at < u.t0 + INTERVAL {part.end // DAY} DAY" if part.end is not None else ""
    return f"e.event_at >= {start}{end}"


def _rows(part: Part, alias: str = "e.") -> str:
    condition = f" AND {alias}{part.condition}" if part.condition else ""
    return f"{alias}event_name = '{part.event}'{condition}"


def _row_value(part: Part, alias: str = "e.") -> str:
    return f"{alias}revenue" if part.agg == "sum" else "1"


def _total(part: Part, values: str) -> str:
    """A user's value; 0 without rows."""
    return {"any": f"COALESCE(MAX({values}), 0)", "count": f"COUNT({values})", "sum": f"COALESCE(SUM({values}), 0)"}[
        part.agg
    ]


def _value_names(spec: Spec) -> list[str]:
    return [f"{letter}{i}" for letter in ("yx" if spec.covariates else "y") for i in range(len(spec.parts))]


def _cap(column: str) -> str:
    return f"QUANTILE_CONT({column}, 0.99) FILTER (WHERE {column} <> 0)"


def _value(spec: Spec, column: str) -> str:
    """A user's value as a double, capped, NULL where the window is not complete."""
    found = f"COALESCE({column}, 0)"  # a user without rows before exposure has no row of covariates
    value = f"CAST({f'LEAST({found}, {column}_cap)' if spec.capped else found} AS DOUBLE)"
    last = max((part.end or 0) for part in spec.parts)
    if not any(part.mature for part in spec.parts):
        return value
    return f"CASE WHEN t0 + INTERVAL {last // DAY} DAY <= {_at(END)} THEN {value} END"


def _sums(values: list[str], prefix: str) -> list[str]:
    found = [f"COUNT({values[0]}) AS {prefix}n"]
    found += [f"SUM({value}) AS {prefix}s{i}" for i, value in enumerate(values)]
    return found + [
        f"SUM({values[i]} * {values[j]}) AS {prefix}p{i}_{j}" for i in range(len(values)) for j in range(i, len(values))
    ]


def _grid(spec: EventQuantile) -> str:
    return f"[{spec.quantile - 0.01:.2f}, {spec.quantile:.2f}, {spec.quantile + 0.01:.2f}]"


def _cluster_sums(prefix: str) -> list[str]:
    """Sums over users of rows, rows at or below the quantile, and their products."""
    m, low = f"CAST({prefix}_m AS DOUBLE)", f"CAST({prefix}_l AS DOUBLE)"
    pairs = {"m": m, "l": low, "mm": f"{m} * {m}", "ml": f"{m} * {low}", "ll": f"{low} * {low}"}
    return [f"SUM({value}) AS {prefix}_{name}" for name, value in pairs.items()]


def _statement(ctes: list[tuple[str, str]], final: str) -> str:
    return "WITH " + ",\n".join(f"{name} AS ({body})" for name, body in ctes) + f"\n{final}"


def _at(moment: datetime) -> str:
    return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}'"
