"""What a look leaves behind for those that follow: plain numbers, as they were seen, that go to JSON and back exactly."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from metricdef.stats.look_times import EpochPart


@dataclass(frozen=True, slots=True)
class SideLook:
    """One one-sided test at a look.

    Attributes:
        z: Normal score of its p-value, positive towards its alternative.
        p_value: One-sided, valid over all looks up to this one: it never rises.
    """

    z: float
    p_value: float


@dataclass(frozen=True, slots=True)
class ResultLook:
    """One metric and arm at a look.

    Attributes:
        metric: Its name.
        arm: Compared with the baseline.
        units: In both arms.
        estimator: Chosen at the first look and kept.
        information: 1 / se^2 of the difference.
        estimate: The difference.
        std_error: Of it; None for the score family.
        df: Of Welch's t; None for a normal statistic.
        lower: Of the interval at this look alone, at the row's own level; None where the look spent nothing.
        upper: The same.
        relative: The same of the relative effect where that is bounded.
        sides: By the name of the test, such as `superiority:greater`.
        meaning: Hash of what the figures rest on; only looks of one meaning are read together.
        ready: Whether both arms were large enough for a test valid at any time.
        renamed_from: The metric's name at earlier looks, where it has another now.
        time: Of the looks' joint law where it is not the information: with a ramp, and of clusters.
        epochs: What each epoch of a ramp had in the estimate.
        tuned: Units of the pair for which tests valid at any time are tightest, as the first look took them.
        analysis: Of which sensitivity analysis; empty of the main one.
    """

    metric: str
    arm: str
    units: int
    estimator: str
    information: float
    estimate: float
    std_error: float | None
    df: float | None
    lower: float | None
    upper: float | None
    relative: tuple[float, float] | None
    sides: Mapping[str, SideLook]
    meaning: str = ""
    ready: bool = False
    renamed_from: str | None = None
    time: float | None = None
    epochs: tuple[EpochPart, ...] = ()
    tuned: float | None = None
    analysis: str = ""


@dataclass(frozen=True, slots=True)
class LookRecord:
    """One recorded look.

    Attributes:
        as_of: What it saw: rows before this instant.
        number: Of the planned look, from 1; None for one that the plan does not name.
        fraction: Of the plan, by which alpha is spent; None where only a test valid at any time was made.
        results: Every metric and arm that could be computed.
        caps: Limits of percentile caps that are fixed from now on, by `Percentile.keys`.
        srm: P-value of each sample ratio check, the smallest so far.
        readout: Hash of the readout document, added by who keeps the record.
        shares: Hash of the arms' shares up to then, which the sample ratio was tested against.
    """

    as_of: datetime
    number: int | None
    fraction: float | None
    results: tuple[ResultLook, ...] = ()
    caps: Mapping[str, float] = field(default_factory=dict)
    srm: Mapping[str, float] = field(default_factory=dict)
    readout: str | None = None
    shares: str | None = None

    def result(self, metric: str, arm: str, analysis: str = "") -> ResultLook | None:
        """What was seen of one metric and arm, in the main analysis or another."""
        key = (metric, arm, analysis)
        return next((r for r in self.results if (r.metric, r.arm, r.analysis) == key), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` gives back the same record."""
        return {**asdict(self), "as_of": self.as_of.astimezone(UTC).isoformat().replace("+00:00", "Z")}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LookRecord:
        """The record of `to_dict`; keys that it does not know are passed over. Raises KeyError, ValueError, TypeError."""
        results = tuple(_result(found) for found in data["results"])
        fraction, number = data["fraction"], data["number"]
        return cls(
            as_of=datetime.fromisoformat(str(data["as_of"])).astimezone(UTC),
            number=None if number is None else int(number),
            fraction=None if fraction is None else float(fraction),
            results=results,
            caps={str(key): float(value) for key, value in data["caps"].items()},
            srm={str(key): float(value) for key, value in data["srm"].items()},
            readout=data.get("readout"),
            shares=data.get("shares"),
        )


def _result(data: Mapping[str, Any]) -> ResultLook:
    # Fields that the first records did not have.
    later = ("meaning", "ready", "renamed_from", "time", "epochs", "tuned", "analysis")
    known = {name: data[name] for name in ResultLook.__dataclass_fields__ if name not in later}
    relative = known["relative"]
    return ResultLook(
        **{
            **known,
            "meaning": str(data.get("meaning", "")),
            "ready": bool(data.get("ready", False)),
            "renamed_from": data.get("renamed_from"),
            "time": _number(data.get("time")),
            "epochs": tuple(EpochPart(**part) for part in data.get("epochs", ())),
            "tuned": _number(data.get("tuned")),
            "analysis": str(data.get("analysis", "")),
            "relative": None if relative is None else (float(relative[0]), float(relative[1])),
            "sides": {name: SideLook(float(s["z"]), float(s["p_value"])) for name, s in data["sides"].items()},
        }
    )


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))


def frozen_caps(history: Sequence[LookRecord]) -> dict[str, float]:
    """Limits that looks so far have fixed: the first value of each stays."""
    found: dict[str, float] = {}
    for record in sorted(history, key=lambda r: r.as_of):
        for key, value in record.caps.items():
            found.setdefault(key, value)
    return found


def before(history: Sequence[LookRecord], as_of: datetime) -> tuple[LookRecord, ...]:
    """Looks that saw less, in the order of what they saw."""
    return tuple(sorted((r for r in history if r.as_of < as_of), key=lambda r: r.as_of))


def carried_over(history: Sequence[LookRecord], renamed: Mapping[str, str]) -> tuple[LookRecord, ...]:
    """The looks with every metric under the name that it has now.

    `renamed`: names of today by those before. Renamings between two looks are known from the later one.
    """
    found: list[LookRecord] = []
    for record in sorted(history, key=lambda r: r.as_of):
        names = {r.renamed_from: r.metric for r in record.results if r.renamed_from is not None}
        found = [*(_renamed(past, names) for past in found), record]
    return tuple(_renamed(past, renamed) for past in found)


def _renamed(record: LookRecord, names: Mapping[str, str]) -> LookRecord:
    if not names:
        return record
    results = tuple(replace(r, metric=names.get(r.metric, r.metric)) for r in record.results)
    known = {*names, *(r.metric for r in record.results)}
    return replace(record, results=results, caps={_renamed_cap(key, names, known): v for key, v in record.caps.items()})


def _renamed_cap(key: str, names: Mapping[str, str], known: Collection[str]) -> str:
    """`old__numerator.upper` as `new__numerator.upper`."""
    owners = [name for name in known if key.startswith((f"{name}.", f"{name}__"))]
    owner = max(owners, key=len, default="")
    return names[owner] + key.removeprefix(owner) if owner in names else key
