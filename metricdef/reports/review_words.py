"""Words of a review that its text, its comment and its document share."""

from __future__ import annotations

from collections.abc import Sequence

from metricdef.definitions.models import ROLES
from metricdef.review.records import CLASSES, Class, ExperimentEffect, Key, Review, singular

STYLES = {"breaking": "red", "protocol deviation": "red", "result-changing": "yellow"}
_MEANS: dict[Class, str] = {
    "metadata": "no number changes",
    "additive": "only new things to compute",
    "rename": "names change, no numbers",
    "result-changing": "numbers change",
    "protocol deviation": "a frozen protocol changes",
    "breaking": "something that is in use is gone",
}


def verdict(review: Review) -> str:
    """The whole in a line: `blocked: protocol deviation (a frozen protocol changes)`."""
    if review.unread:
        return "blocked: the definitions before can't be read, so that nothing is known of what changes"
    if review.blockers:
        worst = review.change or "breaking"
        return f"blocked: {f'{worst} ({_MEANS[worst]})' if worst_is_blocking(worst) else 'the definitions have errors'}"
    if review.change is None:
        return "nothing changes"
    if review.is_first:
        return f"{review.change}: a first project, there is nothing to compare it with"
    amended = review.change == "protocol deviation"
    return f"{review.change}: {'amended as the protocol asks' if amended else _MEANS[review.change]}"


def worst_is_blocking(found: Class) -> bool:
    """Whether a class can stop a change by itself."""
    return CLASSES.index(found) >= CLASSES.index("protocol deviation")


def summary(review: Review) -> str:
    """`2 definitions differ; 3 metrics and 2 experiments (1 running, 1 decided) are affected`."""
    changed = counted(len(review.items), "definition")
    parts = [counted(len(review.metrics), "metric")] if review.metrics else []
    if review.experiments:
        statuses = [effect.status for effect in review.experiments]
        told = [f"{statuses.count(s)} {s}" for s in dict.fromkeys(statuses)]
        parts.append(f"{counted(len(review.experiments), 'experiment')} ({', '.join(told)})")
    count = len(review.metrics) + len(review.experiments)
    verb = "is" if count == 1 else "are"
    affected = f"; {' and '.join(parts)} {verb} affected" if parts else "; no metric and no experiment is affected"
    return f"{changed} {'differs' if len(review.items) == 1 else 'differ'}{affected}"


def counted(found: int, noun: str) -> str:
    """`1 metric`, `2 metrics`."""
    return f"{found:,} {noun}{'' if found == 1 else 's'}"


def touched(effect: ExperimentEffect) -> str:
    """`primary buyers; secondary page_views`: the metrics whose results change, by role."""
    told = []
    for role in ROLES:
        names = [metric for metric, own in effect.metrics.items() if own == role]
        told += [f"{role} {', '.join(names)}"] if names else []
    return "; ".join(told) or "no metric"


def causes(found: Sequence[Key]) -> str:
    """`metric revenue, source orders`."""
    return ", ".join(named(key) for key in found)


def named(key: Key) -> str:
    """`metric revenue`; the project needs no name."""
    kind, name = key
    return "project.yml" if kind == "project" else f"{singular(kind)} {name}"


def consequence(effect: ExperimentEffect) -> str:
    """What to do about an experiment."""
    match effect.change:
        case "breaking":
            return "can't be computed any more" if effect.details != ("gone",) else "its protocol is gone"
        case "protocol deviation":
            open_ones = [d for d in effect.deviations if not d.is_covered]
            return f"{counted(len(open_ones), 'amendment')} missing" if open_ones else "amended: lock it again"
        case "result-changing":
            return "compute it again" if effect.is_live else "nothing was computed yet"
        case "additive":
            return "compute what is new"
    return "nothing to do"
