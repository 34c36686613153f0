"""What differs between two states of a protocol, and which amendment covers it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metricdef.definitions.models import Amendment, Experiment
from metricdef.governance.chain import canonical
from metricdef.governance.protocol import Tree

NOTHING = "none"
_LONGEST = 60  # characters of a value in an amendment; of longer ones the beginning and a hash
_KEPT = 40


@dataclass(frozen=True, slots=True)
class Change:
    """One part of the protocol that differs. None stands for nothing: a part that is new, or gone."""

    path: tuple[str, ...]
    before: Any
    after: Any

    @property
    def name(self) -> str:
        """The path as people write it."""
        return ".".join(self.path)

    @property
    def what(self) -> str:
        """What an amendment that covers the change says, word for word."""
        return f"{self.name} {shown(self.before)} -> {shown(self.after)}"


def changes(before: object, after: object, path: tuple[str, ...] = ()) -> Iterator[Change]:
    """Every part that differs, in the order of paths. A part that is new or gone is one change, whatever is in it."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            yield from changes(before.get(key), after.get(key), (*path, key))
    elif canonical(before) != canonical(after):
        yield Change(path, before, after)


def apply(tree: Tree, found: Iterable[Change]) -> Tree:
    """The tree after the changes. Raises KeyError where one does not fit it."""
    whole: Tree = {"": tree}
    for change in found:
        whole = _applied(whole, ("", *change.path), change)
    result: Tree = whole[""]
    return result


def _applied(tree: Tree, path: tuple[str, ...], change: Change) -> Tree:
    key, *rest = path
    if rest:
        return {**tree, key: _applied(tree[key], tuple(rest), change)}
    if canonical(tree.get(key)) != canonical(change.before):
        raise KeyError(change.name)
    others = {k: value for k, value in tree.items() if k != key}
    return others if change.after is None else {**others, key: change.after}


def shown(value: object) -> str:
    """A value on one line."""
    text = NOTHING if value is None else _flow(value)
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_KEPT].rstrip()}... (sha256 {hashlib.sha256(text.encode()).hexdigest()[:8]})"


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_flow(value[key])}' for key in sorted(value))}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    return " ".join(value.split()) if isinstance(value, str) else canonical(value)


def amendments_of(experiment: Experiment) -> list[dict[str, Any]]:
    """The amendments of an experiment as plain data."""
    return [plain_amendment(amendment) for amendment in experiment.amendments]


def plain_amendment(amendment: Amendment) -> dict[str, Any]:
    """An amendment as plain data, whatever its line breaks."""
    return {
        "on": amendment.on.text,
        "by": " ".join(amendment.by.split()),
        "what": [" ".join(text.split()) for text in amendment.what],
        "why": " ".join(amendment.why.split()),
    }


def uncovered(found: Iterable[Change], amendments: Iterable[Mapping[str, Any]]) -> list[Change]:
    """The changes that no amendment names, with the values before and after, in its `what`."""
    said = {text for amendment in amendments for text in amendment["what"]}
    return [change for change in found if change.what not in said]
