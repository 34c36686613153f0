"""The catalogue of rules: one page for each rule id, kept as data beside the code that reports it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml

FOLDER = Path(__file__).parent / "rule_pages"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it finds, why that matters, and an example without and with the mistake.

    Examples are changes of a small catalogue, a shop: `wrong` brings the finding, `right` does not. `severity` is what
    a project gets without saying anything. `live`: only the warehouse can tell. `locked`: the shop's experiment runs
    and is locked. `by_hand`: why the examples are not definitions.
    """

    id: str
    group: str
    what: str
    why: str
    wrong: str
    right: str
    severity: Literal["error", "warning", "notice", "off"] = "error"
    live: bool = False
    locked: bool = False
    by_hand: bool = False


@cache
def read_rules() -> dict[str, Rule]:
    """Every rule by its id, sorted by group and within it as written."""
    rules: dict[str, Rule] = {}
    for path in sorted(FOLDER.glob("*.yml")):
        for name, page in yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER).items():  # noqa: S506 - a SafeLoader
            group = path.stem.partition("_")[2].replace("_", " ")
            rules[name] = Rule(name, group, **page)
    return rules
