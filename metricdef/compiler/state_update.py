"""Statements that bring the state of an experiment's units from one day to the next.

Two reads of a source's facts: of the days to read, for units that the state has; of all days, for those that it does not
have yet, or that now have another first exposure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from metricdef.compiler.days import local_day
from metricdef.compiler.dialects import dialect_table
from metricdef.compiler.exposure_stages import exposure_stages, ts_us
from metricdef.compiler.fact_stages import aggregate, rows_stage
from metricdef.compiler.facts import Facts, facts_of
from metricdef.compiler.plan import Plan, State
from metricdef.compiler.render import write_statements
from metricdef.compiler.sql_text import LINE_BREAK, SqlText
from metricdef.compiler.stages import Stage, template
from metricdef.compiler.state import kept_columns, kept_units_stage, state_table, twice, values_table
from metricdef.compiler.state_tests import Days, is_past, state_tests
from metricdef.compiler.zones import local_day_us
from metricdef.errors import UsageError

_ENTRIES = ("md_exposure_rows", "md_entries_of_units", "md_clusters_of_units", "md_clusters", "md_entries")
_LAYOUT = 3  # of the tables and of what their rows mean: another one starts another state
_WRITTEN = "written_us"  # what the tables' parts are made by, where rows are replaced by part
_LONGEST = 30  # characters of an experiment's name in those of its tables: PostgreSQL cuts names at 63


def keep_state(plan: Plan, at_end: Plan, timezone: str, schema: str, dialect: str, schemas: Mapping[str, str]) -> Plan:
    """The plan with what it can read from a state in `schema`.

    `at_end` is the plan of the same experiment as of its end: it names the state, the same on every day. Definitions
    that change what is kept, or which days are read again, start another state. Raises UsageError where nothing can be
    kept, or not there.
    """
    columns = kept_columns(plan)
    if not columns:
        raise UsageError(
            f"nothing of `{plan.experiment}` can be kept from day to day: every value is made of all rows anew",
            ["build it without `--incremental`"],
        )
    sql = SqlText(dialect_table(dialect), schemas)
    bare = _bare(at_end)
    meaning = [str(_LAYOUT), plan.experiment, timezone]
    for facts in facts_of(bare):
        settles = plan.sources[facts.name].settles_after
        meaning += [facts.name, settles.text if settles else "", rows_stage(bare, sql, facts).body]
        meaning += [part["sql"] for part in _parts(bare, sql, facts)]
    digest = hashlib.sha256("\0".join(meaning).encode()).hexdigest()[:8]
    name = f"state_{plan.experiment[:_LONGEST]}_{digest}"
    return replace(
        plan,
        state=State(schema, name, frozenset(c.name for c in columns), tuple(sorted({c.source for c in columns}))),
    )


def render_update(plan: Plan, dialect: str, schemas: Mapping[str, str], days: Days) -> tuple[str, ...]:
    """The statements, without the session's: the tables, the test that the day follows on, one transaction.

    Run again they leave the same rows. What is written counts from the last one on, which notes the run: not where the
    day before is missing, nor before the as-of.
    """
    assert plan.state is not None  # noqa: S101 - asked of plans that have one
    table = dialect_table(dialect)
    sql = SqlText(table, schemas)
    writer = _Writer(plan, plan.state, sql, days)
    # Of one name there is one in a session: those of the query come after these.
    own = table if table.replaces_temporary else replace(table, materialises_ctes=True)
    *temporary, units = write_statements(writer.entries(), writer.new_units(), own)
    inserts = [
        ("units", units),
        *(("days", text) for text in writer.days_read()),
        *(
            (f"values_{plan.state.sources.index(facts.name) + 1}", write_statements(stages, final, table)[-1])
            for facts, stages, final in writer.values()
        ),
        *(("late", text) for text in writer.late()),
        ("runs", writer.run()),
    ]
    begin, commit = ([table.begin], ["COMMIT"]) if table.transactions else ([], [])
    refusals = tuple(state_tests(plan, plan.state, sql, days))
    # Inside: what follows a refusal is undone too, where a client goes on. Else before anything else is made, and the
    # first again after what takes long: the next day may have been added meanwhile.
    test = (*temporary, *begin, *refusals) if begin else (*refusals, *temporary, refusals[0])
    return (
        *writer.tables(),
        *test,
        *writer.clear(),
        *(writer.insert(ending, text) for ending, text in inserts),
        *commit,
    )


def tables_of_state(plan: Plan) -> list[str]:
    """Endings of the names of the state's tables."""
    assert plan.state is not None  # noqa: S101 - asked of plans that have one
    return ["units", *(f"values_{i + 1}" for i in range(len(plan.state.sources))), "days", "late", "runs"]


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes the statements of one run."""

    plan: Plan
    state: State
    sql: SqlText
    days: Days

    @property
    def as_of(self) -> str:
        return self.sql.instant_us(self.plan.as_of_us)

    def table(self, ending: str) -> str:
        return state_table(self.sql, self.state, ending)

    def insert(self, ending: str, text: str) -> str:
        names = ", ".join(name for name, _ in self.columns(ending))
        end = self.sql.dialect.statement_end
        text = text.removesuffix(end)
        return f"INSERT INTO {self.table(ending)} ({names})\nSELECT {names}\nFROM (\n{text}\n) AS state_rows{end}"

    def columns(self, ending: str) -> list[tuple[str, str]]:
        """Names and empty values of a table's columns; of a unit the exposure source's own column has its type."""
        number, text = self.sql.integer("NULL"), self.sql.text("NULL")
        source = self.plan.sources[self.plan.exposure_source]
        unit = ("unit_id", self.sql.name(source.entities[self.plan.unit]))
        written = ("written_us", number)
        match ending:
            case "units":
                return [unit, ("exposed_us", number), written, ("started_anew", number)]
            case "days":
                return [("source", text), ("day_us", number), written]
            case "late":
                counts = [("rows_before", number), ("rows_now", number)]
                return [("source", text), ("day_us", number), written, *counts]
            case "runs":
                return [written, ("as_of", text), ("next_as_of", text)]
            case _:
                own = self.state.sources[int(ending.removeprefix("values_")) - 1]
                kinds = {"sum": "double", "min": "double", "max": "double"}
                parts = [
                    (f"u_{c.name}", getattr(self.sql, kinds.get(c.agg, "integer"))("NULL"))
                    for c in kept_columns(self.plan)
                    if c.source == own
                ]
                return [unit, ("day_us", number), written, ("rows_read", number), *parts]

    def tables(self) -> Iterator[str]:
        for ending in tables_of_state(self.plan):
            create, empty = self.sql.kept(self.table(ending), _WRITTEN), self._no_rows(self.columns(ending))
            if self.sql.dialect.kept_from_query:
                yield f"{create} AS\n{empty}"
            else:
                yield f"{self.sql.dialect.temporary_table.format(name=f'md_empty_{ending}')} AS\n{empty}"
                yield f"{create} (LIKE md_empty_{ending})"

    def _no_rows(self, columns: Sequence[tuple[str, str]]) -> str:
        relation = self.sql.relation(self.plan.exposure_source, self.plan.sources[self.plan.exposure_source])
        listed = ",\n  ".join(f"{empty} AS {name}" for name, empty in columns)
        return f"SELECT\n  {listed}\nFROM {relation}\nWHERE 1 = 0".replace(LINE_BREAK, "\n")

    def clear(self) -> Iterator[str]:
        """Rows of this run and of those that broke off; not which days it read, so that it reads them again.

        The run itself first: where two run at once, or one breaks off here, what is left doesn't count. Where rows are
        replaced by part, those of runs that broke off stay: no unit of theirs is read.
        """
        runs = self.table("runs")
        overwrite = self.sql.dialect.overwrite
        if overwrite:
            yield overwrite.named
            for ending in ("runs", *(e for e in tables_of_state(self.plan) if e not in ("runs", "days"))):
                start = overwrite.part.format(name=self.table(ending), column=_WRITTEN, x=self.as_of)
                yield f"{start}\n{self._no_rows([c for c in self.columns(ending) if c[0] != _WRITTEN])}"
            yield overwrite.session
            return
        yield f"DELETE FROM {runs} WHERE written_us = {self.as_of}"
        for ending in tables_of_state(self.plan):
            if ending != "runs":
                kept = f" AND written_us <> {self.as_of}" if ending == "days" else ""
                yield f"DELETE FROM {self.table(ending)} WHERE written_us NOT IN (SELECT written_us FROM {runs}){kept}"

    def entries(self) -> list[Stage]:
        """Today's units, and those that the state had."""
        alone = replace(self.plan, state=None)
        found = [stage for stage in exposure_stages(alone, self.sql) if stage.name in _ENTRIES]
        before = f"written_us < {self.as_of}"
        return [*found, kept_units_stage(self.sql, self.state, self.plan.as_of_us, before, gone=True)]

    def new_units(self) -> Stage:
        body = template("state_units").render(as_of=self.as_of)
        return Stage("", ("Units that are new, that have another first exposure, or that are gone.",), body)

    def days_read(self) -> Iterator[str]:
        for facts in facts_of(_bare(self.plan)):
            source = self.plan.sources[facts.name]
            arrived = []
            if source.loaded_at:
                own, loaded = (self.sql.utc(c, source.timezone) for c in (source.timestamp or "", source.loaded_at))
                low, before, now = (self.sql.instant(t) for t in (facts.span[0], self.days.before, self.plan.as_of_us))
                arrived = [
                    f"{own} >= {low}",
                    f"{own} < {now}",
                    f"{loaded} < {now}",
                    f"({own} >= {before} OR {loaded} >= {before})",
                ]
            yield (
                template("state_days")
                .render(
                    source=self.sql.text(self.sql.literal(facts.name)),
                    as_of=self.sql.integer(self.as_of),
                    own_days=self._own_days(facts),
                    days=[self.sql.integer(str(day)) for day in self.days.again[facts.name]],
                    relation=self.sql.relation(facts.name, source),
                    day=self.sql.integer(local_day(self.plan, self.sql, ts_us(self.sql, source))),
                    arrived=arrived,
                )
                .replace(LINE_BREAK, "\n")
            )

    def values(self) -> Iterator[tuple[Facts, list[Stage], Stage]]:
        """Of every source twice: the days to read for the units that stand, and all days for the others."""
        plan = _bare(self.plan)
        for facts in facts_of(plan):
            known = f"SELECT day_us FROM {self._own_days(facts)}"
            some = f"{local_day(plan, self.sql, 'fact_rows.ts_us')} IN ({known})"
            recent = facts
            if not plan.sources[facts.name].loaded_at:
                recent = replace(facts, span=(max(facts.span[0], self.days.since[facts.name]), facts.span[1]))
            for rows, only, are_new in ((recent, [some], False), (facts, [], True)):
                these = template("state_entries").render(test=f"{'=' if are_new else '<'} {self.as_of}")
                stages = [
                    kept_units_stage(self.sql, self.state, self.plan.as_of_us, f"written_us <= {self.as_of}"),
                    Stage("md_entries", ("Of these.",), these),
                    replace(rows_stage(plan, self.sql, rows, only, instants=True, few_units=are_new), shared=False),
                ]
                body = template("state_rows").render(
                    facts=facts.table,
                    day=local_day(plan, self.sql, "ts_us"),
                    as_of=self.as_of,
                    parts=_parts(plan, self.sql, facts),
                )
                yield facts, stages, Stage("", ("What every day adds to every unit.",), body)

    def _own_days(self, facts: Facts) -> str:
        own = f"source = {self.sql.literal(facts.name)} AND written_us = {self.as_of}"
        return f"{self.table('days')} WHERE {own}"

    def late(self) -> Iterator[str]:
        """Rows of earlier days that were read again, before and now."""
        for facts in facts_of(_bare(self.plan)):
            last = local_day_us(self.plan.offsets, self.plan.as_of_us - 1)
            if not self.plan.sources[facts.name].loaded_at and min(self.days.again[facts.name]) >= last:
                continue
            # Most runs read no earlier day again: then no unit is looked at.
            any_day = f"(SELECT COUNT(*) FROM {self._own_days(facts)} AND day_us < {last}) > 0"
            stage = kept_units_stage(
                self.sql, self.state, self.plan.as_of_us, f"written_us <= {self.as_of}\n      AND {any_day}"
            )
            body = template("state_late").render(
                source=self.sql.text(self.sql.literal(facts.name)),
                values=values_table(self.sql, self.state, facts.name),
                days=self.table("days"),
                own_days=self._own_days(facts),
                as_of=self.as_of,
                last=last,
            )
            final = Stage("", ("Rows of the units that stand, of earlier days that were read again.",), body)
            yield write_statements([stage], final, self.sql.dialect)[-1]

    def run(self) -> str:
        return template("state_run").render(
            runs=self.table("runs"),
            as_of=self.as_of,
            before=self.sql.instant_us(self.days.before),
            date=self.sql.text(self.sql.literal(self.days.date)),
            following=self.sql.text(self.sql.literal(self.days.following)),
            is_past=is_past(self.sql, self.plan.as_of_us),
            twice=twice(self.sql, self.state, self.plan.as_of_us, own=True),
        )


def _bare(plan: Plan) -> Plan:
    """The plan with nothing but the kept columns, as if there were no state."""
    return replace(plan, unit_columns=kept_columns(plan), funnels=(), metrics=(), trigger=None, daily=False, state=None)


def _parts(plan: Plan, sql: SqlText, facts: Facts) -> list[dict[str, str]]:
    """What the rows of one day add to the values of a unit."""
    return [{"name": f"u_{c.name}", "sql": aggregate(plan, sql, facts, c)} for c in facts.columns]
