"""The readouts of a project: every JSON file in one folder, whatever its name; each says itself what it is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from metricdef.analysis.document import read_document
from metricdef.analysis.health.outcomes import OUTCOME_CHECKS
from metricdef.analysis.readout import DecisionRow, Readout
from metricdef.definitions.project import Project
from metricdef.errors import UsageError
from metricdef.reports.words import parse_instant

FOLDER = "readouts"  # in the project's folder, where none is named


@dataclass(frozen=True, slots=True)
class File:
    """A readout and the file that it stands in. Of its largest parts it has nothing: `Stored.whole` reads them again."""

    path: Path
    readout: Readout


@dataclass(frozen=True, slots=True)
class Stored:
    """Readouts by experiment, by as-of, and what is wrong with files that hold none."""

    project: Project
    files: Mapping[str, tuple[File, ...]]
    problems: tuple[str, ...] = ()

    def count(self, experiment: str) -> int:
        """How many there are of an experiment."""
        return len(self.files.get(experiment, ()))

    def latest(self, experiment: str) -> Readout | None:
        """The readout with the latest as-of: it has exposures and health."""
        found = self.files.get(experiment, ())
        return found[-1].readout if found else None

    def results(self, experiment: str) -> Readout | None:
        """The latest one that shows results: later ones may hold them back."""
        found = self._results(experiment)
        return found.readout if found else None

    def whole(self, experiment: str) -> Readout | None:
        """The same with all its parts; None where its file is another by now."""
        found = self._results(experiment)
        if found is None:
            return None
        try:
            whole = held_back(self.project, read_document(found.path.read_text(encoding="utf-8")))
        except (UsageError, OSError, UnicodeDecodeError):
            return None
        return whole if (whole.experiment, whole.as_of) == (experiment, found.readout.as_of) else None

    def _results(self, experiment: str) -> File | None:
        return next((file for file in reversed(self.files.get(experiment, ())) if file.readout.estimates), None)


def read_stored(project: Project, folder: Path) -> Stored:
    """Every readout below `folder`; none where there is no such folder. Of two with the same as-of, the first file's."""
    found: dict[str, dict[datetime, File]] = {}
    problems = []
    for path in sorted(folder.rglob("*.json")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts) or not path.is_file():
            continue
        shown = path.relative_to(folder).as_posix()
        try:
            readout = held_back(project, read_document(path.read_text(encoding="utf-8"), shown))
        except UsageError as error:
            problems.append(error.message)
            continue
        except (OSError, UnicodeDecodeError):
            problems.append(f"{shown} cannot be read")
            continue
        at = parse_instant(readout.as_of)
        if readout.experiment not in project.experiments:
            problems.append(f"{shown} is of `{readout.experiment}`, which is no experiment of this project")
        elif at is None:
            problems.append(f"{shown} has no instant as its `as_of`")
        else:
            small = replace(readout, moments=(), series=(), sensitivity=())
            found.setdefault(readout.experiment, {}).setdefault(at, File(path, small))
    ordered = {name: tuple(by[at] for at in sorted(by)) for name, by in sorted(found.items())}
    return Stored(project, ordered, tuple(problems))


def held_back(project: Project, readout: Readout) -> Readout:
    """The readout without what the protocol, as it is now, holds back: whatever shows results."""
    experiment = project.experiments.get(readout.experiment)
    at = parse_instant(readout.as_of)
    if experiment is None or at is None:
        return readout
    sequential, hold = experiment.analysis.sequential, experiment.validation.hold
    shown_from = experiment.start.at(project.settings.defaults.timezone)
    shown_from += timedelta(microseconds=hold.microseconds if hold else 0)
    planned = sequential is not None and sequential.method != "fixed"
    if at >= shown_from and not (planned and readout.look is None):
        return readout
    decision = readout.decision
    if readout.estimates and decision.recommendation != "invalid":
        decision = DecisionRow("hold", None, ("the protocol holds the results of this readout back by now",))
    # Named one by one: what a later version adds is held back until somebody says that it shows nothing.
    return Readout(
        experiment=readout.experiment,
        label=readout.label,
        hypothesis=readout.hypothesis,
        status=readout.status,
        as_of=readout.as_of,
        window=readout.window,
        look=None,
        provenance=readout.provenance,
        arms=readout.arms,
        health=tuple(row for row in readout.health if row.check not in OUTCOME_CHECKS),
        estimates=(),
        decision=decision,
        ledger={},
        excluded_units=readout.excluded_units,
        sensitivity=(),
        series=(),
        moments=(),
    )
