"""Where a run stands in time: which look it is, or why it is none (semantics.md, section 7)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from metricdef.analysis.look_record import LookRecord, before
from metricdef.analysis.sequential_design import SequentialDesign
from metricdef.analysis.settings import Settings


@dataclass(frozen=True, slots=True)
class LookPoint:
    """The look that a run is.

    Attributes:
        number: Of the planned look, from 1; None for one that the plan does not name.
        fraction: Of the plan, by which alpha is spent; None where only tests valid at any time are made.
        final: Nothing is left to look at.
        following: When the next planned look lies; None after the last.
        earlier: Recorded looks that saw less.
        recorded: What was recorded as of the same instant, when this is a replay.
        of: How many looks the plan has; None for a replay of a look of another plan.
    """

    number: int | None
    fraction: float | None
    final: bool
    following: datetime | None
    earlier: tuple[LookRecord, ...] = ()
    recorded: LookRecord | None = None
    of: int | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the run stands.

    Attributes:
        early: Why nothing can be decided; None where the rule applies.
        hidden: No estimate is shown.
        look: The look that it is; None for a fixed design, and where a run is no look.
        earlier: Recorded looks that saw less.
    """

    early: str | None
    hidden: bool
    look: LookPoint | None = None
    earlier: tuple[LookRecord, ...] = ()


def stage_of(as_of: datetime, settings: Settings, history: Sequence[LookRecord] = ()) -> Stage:
    """The stage of a run as of an instant, after the looks recorded so far."""
    earlier = before(history, as_of)
    if as_of < settings.shown_from:
        why = f"results are held back until {iso(settings.shown_from)}: only health is shown"
        return Stage(why, True, None, earlier)
    design = settings.sequential
    if design is None:
        if as_of >= settings.planned_end:
            return Stage(None, False)
        end = iso(settings.planned_end)
        return Stage(
            f"before_planned_end: the fixed design is read at {end}, when every window is complete", hidden=False
        )
    recorded = next((r for r in history if r.as_of == as_of), None)
    if recorded is not None:
        return Stage(None, False, _replayed(design, settings, recorded, earlier), earlier)
    last = max((r.as_of for r in history), default=None)
    if last is not None and as_of < last:
        return Stage(f"unplanned: a look has already seen more, as of {iso(last)}", True, None, earlier)
    return _new(as_of, design, settings, earlier)


def _new(as_of: datetime, design: SequentialDesign, settings: Settings, earlier: tuple[LookRecord, ...]) -> Stage:
    if design.method == "always_valid":
        final = as_of >= settings.planned_end
        return Stage(None, False, LookPoint(None, None, final, None, earlier), earlier)
    position = bisect_right(design.looks, as_of)  # planned looks that lie at or before as-of
    following = design.looks[position] if position < len(design.looks) else None
    # Counted by today's plan, which an amendment may have changed since.
    taken = max((bisect_right(design.looks, r.as_of) for r in earlier if r.number is not None), default=0)
    spent = max((r.fraction for r in earlier if r.fraction is not None), default=0.0)
    if spent == 1:
        at = max(r.as_of for r in earlier if r.fraction is not None)
        why = f"unplanned: the last look was taken as of {iso(at)}; run it again as of then"
        return Stage(why, True, None, earlier)
    if position > taken or following is None:
        final = position == len(design.looks)
        # Where an amendment has changed the plan, what is spent stays spent.
        fraction = max(position / len(design.looks), spent)
        point = LookPoint(position, fraction, final, following, earlier, of=len(design.looks))
        return Stage(None, False, point, earlier)
    if design.method == "hybrid":
        return Stage(None, False, LookPoint(None, None, False, following, earlier), earlier)
    if design.unplanned == "spend":
        fraction = _between(as_of, design)
        if fraction > spent:
            return Stage(None, False, LookPoint(None, fraction, False, following, earlier), earlier)
    assert following is not None  # noqa: S101 - else the last look is due or was taken
    number, of = position + 1, len(design.looks)
    return Stage(
        f"unplanned: look {number} of {of} lies at {iso(following)}; until then only health is shown",
        True,
        None,
        earlier,
    )


def _between(as_of: datetime, design: SequentialDesign) -> float:
    """The planned fraction at an instant between two looks (or the start and the first): linear in time."""
    position = bisect_right(design.looks, as_of)
    since = design.looks[position - 1] if position else design.start
    whole = design.looks[position] - since
    return (position + (as_of - since) / whole) / len(design.looks)


def _replayed(
    design: SequentialDesign, settings: Settings, recorded: LookRecord, earlier: tuple[LookRecord, ...]
) -> LookPoint:
    if design.method == "always_valid":
        return LookPoint(None, None, recorded.as_of >= settings.planned_end, None, earlier, recorded)
    position = bisect_right(design.looks, recorded.as_of)
    following = design.looks[position] if position < len(design.looks) else None
    # Of the plan as it was then: the last look of every plan is at all of it.
    number, fraction = recorded.number, recorded.fraction
    of = len(design.looks) if number is not None and fraction == number / len(design.looks) else None
    return LookPoint(number, fraction, fraction == 1, following, earlier, recorded, of)


def iso(moment: datetime) -> str:
    """An instant as the readout writes it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
