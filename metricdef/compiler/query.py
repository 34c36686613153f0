"""A compiled experiment: the exact statements that run, in order."""

from __future__ import annotations

from dataclasses import dataclass

from metricdef.compiler.plan import Plan


@dataclass(frozen=True, slots=True)
class Query:
    """SQL of one plan in one dialect. The last statement returns the moments; those before it fill temporary tables."""

    plan: Plan
    dialect: str
    session: tuple[str, ...]
    statements: tuple[str, ...]
    sql_hash: str

    @property
    def text(self) -> str:
        """The file that a job runs: session settings and statements, each ended by a semicolon."""
        session = "".join(f"{statement};\n" for statement in self.session)
        header, _, first = self.statements[0].partition("\n\n")
        rest = "".join(f"{statement};\n" for statement in (first, *self.statements[1:]))
        return f"{header}\n\n{session}{rest}"
