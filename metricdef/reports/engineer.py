"""The part of a page for those who check the numbers: definitions, tests, moments, the error budget, SQL, provenance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metricdef.analysis.readout import EstimateRow, Readout, TestRow
from metricdef.analysis.rounding import TINIEST_P, p_text
from metricdef.reports import words
from metricdef.reports.comparisons import ROLES
from metricdef.reports.effect_rows import metric_design
from metricdef.reports.lines import visible
from metricdef.reports.numbers import MINUS, count, percent

MOST_ROWS = 200  # of one table; the document has all
LONGEST_SQL = 150_000  # characters


def engineer(readout: Readout) -> dict[str, Any]:
    """Tables of what stands behind the effects; `more` says what a table leaves out."""
    tests = [found for i, row in enumerate(readout.estimates) if row.segment is None for found in _tests(i, row)]
    moments = [found for i, block in enumerate(readout.moments) for found in _moments(i, block)]
    sql = readout.sql or ""
    return {
        "definitions": list(_definitions(readout)),
        "topics": list(_topics(readout)),
        "tests": tests[:MOST_ROWS],
        "more_tests": _more(tests),
        "moments": moments[:MOST_ROWS],
        "more_moments": _more(moments),
        "ledger": list(_ledger(readout)),
        "sql": sql if len(sql) <= LONGEST_SQL else "",
        "sql_said": _sql_said(readout),
        "provenance": list(_provenance(readout)),
    }


def _more(rows: list[Any]) -> str:
    more = len(rows) - MOST_ROWS
    return f"{count(more)} more rows are in the JSON document." if more > 0 else ""


def _definitions(readout: Readout) -> Iterator[dict[str, Any]]:
    firsts = {row.metric: row for row in reversed(readout.estimates) if row.segment is None}
    for row in sorted(firsts.values(), key=lambda r: ROLES.index(r.role) if r.role in ROLES else len(ROLES)):
        declared = metric_design(readout, row.metric)
        if declared:
            yield {
                "metric": visible(row.metric),
                "label": visible(row.label),
                "role": visible(row.role),
                "type": visible(declared["type"]),
                "description": visible(declared.get("description") or ""),
                "sentence": visible(declared.get("sentence") or ""),
                "owner": visible(declared.get("owner") or ""),
                "made": _made(row),
            }


def _made(row: EstimateRow) -> str:
    """How its effect is estimated."""
    made = row.estimator
    if made is None:
        return ""
    named = words.ESTIMATORS.get(made.name) or words.PLAIN_ESTIMATORS.get(made.name) or words.spelled(made.name)
    return f"{named} for {', '.join(map(words.covariate, made.covariates))}" if made.covariates else named


def _topics(readout: Readout) -> Iterator[tuple[str, str]]:
    """The protocol in words."""
    for name, text in ((readout.design or {}).get("topics") or {}).items():
        yield visible(name).capitalize(), visible(text)


def figure(value: float | None) -> str:
    """A number at six digits, as a checker compares it."""
    return "-" if value is None else f"{value:.6g}".replace("-", MINUS)


def _tests(place: int, row: EstimateRow) -> Iterator[dict[str, Any]]:
    for k, test in enumerate(row.tests):
        yield {
            "path": f"estimates.{place}.tests.{k}",
            "metric": visible(row.metric),
            "arm": visible(row.arm),
            "hypothesis": words.HYPOTHESES.get(test.hypothesis) or words.spelled(test.hypothesis),
            "null": figure(test.null) + (" (relative)" if test.null_kind == "relative" else ""),
            "statistic": figure(test.statistic),
            "df": figure(test.df),
            "p": p_text(test.p_value, test.alpha, TINIEST_P),
            "adjusted": _adjusted(test),
            "alpha": f"{test.alpha:g}",
            "shown": "shown" if test.rejected else "not shown",
        }


def _adjusted(test: TestRow) -> str:
    if test.procedure == "none" or test.p_adjusted is None:
        return ""
    return f"{p_text(test.p_adjusted, test.alpha, TINIEST_P)} ({words.procedure(test.procedure)})"


def _moments(place: int, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Overall ones, a row a column; those of levels stay in the document."""
    if block.get("segment") is not None or not block.get("columns"):
        return
    for k, column in enumerate(block["columns"]):
        cov = block["cov"][k][k] if block.get("cov") and block["cov"][k] else None
        yield {
            "path": f"moments.{place}",
            "column_number": k,
            "block": visible(block["block"]),
            "arm": visible(block["arm"]) + (f", epoch {block['epoch']}" if block.get("epoch") is not None else ""),
            "column": visible(column),
            "n": count(block["n"]),
            "mean": figure(block["mean"][k]),
            "variance": figure(cov),
            "nonzero": count(block["nonzero"][k]) if block["nonzero"][k] is not None else "-",
            "capped": count(block["capped"][k]) if block["capped"][k] is not None else "-",
        }


def _ledger(readout: Readout) -> Iterator[tuple[str, str]]:
    ledger = readout.ledger
    for name, key in (("A false ship", "false_ship"), ("A false stop", "false_stop"), ("A good change held back", "block_good_change")):  # fmt: skip
        value = ledger.get(key)
        yield name, "not known" if value is None else "not bounded" if value >= 1 else f"at most {percent(value)}"
    if ledger.get("block_good_change_basis"):
        yield "How the last is meant", visible(ledger["block_good_change_basis"])


def _sql_said(readout: Readout) -> str:
    if not readout.sql:
        return "The document holds no SQL."
    if len(readout.sql) > LONGEST_SQL:
        return f"The SQL has {count(len(readout.sql))} characters: it is in the JSON document, under `sql`."
    return "What `compile` writes for this instant, and `run` executes. The hash of what was executed stands below."


def _provenance(readout: Readout) -> Iterator[tuple[str, str]]:
    found = readout.provenance
    names = (("definitions", "Definitions"), ("sql", "SQL"), ("metricdef", "metricdef"), ("dialect", "Dialect"), ("revision", "Revision"), ("protocol", "Protocol"))  # fmt: skip
    yield from ((label, visible(found[key])) for key, label in names if found.get(key))
    if "locked" in found:
        yield "Protocol locked", "yes" if found["locked"] else "no"
    if record := found.get("record"):
        yield "Record", f"{count(record['entries'])} rows, head {visible(record['head'])}"
