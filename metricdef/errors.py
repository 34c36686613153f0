"""What can go wrong, as values: diagnostics with a place in a file, and the exception tree with its exit codes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "notice"]

_SEVERITY_ORDER = {"error": 0, "warning": 1, "notice": 2}


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a file. Lines and columns count from 1; `length` is in characters."""

    file: str
    line: int
    column: int
    length: int = 1
    text: str = ""  # the source line, for the caret


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: a stable rule id, what is wrong in the author's words, where, and how to mend it."""

    rule: str
    message: str
    place: Place | None = None
    help: tuple[str, ...] = ()
    severity: Severity = "error"

    @property
    def order(self) -> tuple[str, int, int, int, str, str]:
        """Sort key: file, line, column, severity, then text, so that output never depends on discovery order."""
        place = self.place or Place("", 0, 0)
        return place.file, place.line, place.column, _SEVERITY_ORDER[self.severity], self.rule, self.message


class MetricdefError(Exception):
    """Base of every error that a user is meant to read; `exit_code` is what the command line returns."""

    exit_code = 2

    def __init__(self, message: str, help: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.help = tuple(help)


class UsageError(MetricdefError):
    """The command, the profile or the project cannot be used as it is (exit code 2)."""


class DefinitionErrors(MetricdefError):
    """The definitions have errors that stop the command (exit code 2)."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(sorted(diagnostics, key=lambda d: d.order))
        super().__init__(f"{len(self.diagnostics)} problem(s) in the definitions")


class WarehouseError(MetricdefError):
    """The warehouse refused the SQL or returned something unexpected (exit code 1)."""

    exit_code = 1


class WarehouseTimeout(WarehouseError):
    """A statement ran into `query_timeout` or was cancelled: no metric's fault in particular."""


class OverBudget(WarehouseError):
    """The statements would read more than `max_bytes`, or the engine does not tell: nothing was run."""


class WarehouseUnavailable(MetricdefError):
    """The warehouse cannot be reached or did not let us in (exit code 3)."""

    exit_code = 3


class RecordBroken(MetricdefError):
    """The record of an experiment is not what was written to it (exit code 1); `faults` are (line, what is wrong)."""

    exit_code = 1

    def __init__(self, file: str, faults: Sequence[tuple[int, str]]) -> None:
        self.faults = tuple(faults)
        shown = "; ".join(f"line {line}: {what}" for line, what in self.faults[:5])
        super().__init__(
            f"the record {file} was changed: {shown}",
            ["`git log -p` shows when; put the lines back as they were written"],
        )


class RecordMoved(MetricdefError):
    """Another process wrote to the record in between (exit code 3): reading it anew and trying again can help."""

    exit_code = 3


class NotComputable(MetricdefError):
    """A statistic has no defined value on these numbers; `reason` is a stable word, the message says why."""

    exit_code = 1

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def suggest(name: str, candidates: Iterable[str], limit: int = 5) -> list[str]:
    """The candidates that look most like `name`, best first, at most `limit`."""
    pool = {candidate.lower(): candidate for candidate in sorted(candidates)}
    return [pool[match] for match in difflib.get_close_matches(name.lower(), pool, n=limit, cutoff=0.6)]
