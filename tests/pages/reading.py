"""The numbers that a page shows, against those of the document, by an own reading of their text."""

from __future__ import annotations

import re
from typing import Any

_NUMBER = re.compile(r"(?<![\w.])[−+-]?\d[\d,]*(?:\.\d+)?(?:e[−-]?\d+)?")


def numbers_of(browser: Any) -> list[dict[str, str]]:
    """Every element that says where its number stands in the document."""
    return list(
        browser.run("""
        return [...document.querySelectorAll('[data-path]')].map(e => ({
            path: e.dataset.path, value: e.dataset.value || '', text: e.textContent.trim(), column: e.dataset.column || '',
            keys: Object.fromEntries([...e.querySelectorAll('[data-key]')].map(c => [c.dataset.key, c.textContent.trim()])),
        }))""")
    )


def parsed(text: str) -> list[tuple[float, float]]:
    """Numbers in a text, each with the size of its last digit."""
    found = []
    for word in _NUMBER.findall(text):
        plain = word.replace("−", "-").replace(",", "")
        mantissa, _, exponent = plain.partition("e")
        last = 10.0 ** -len(mantissa.partition(".")[2]) * 10.0 ** float(exponent or 0)
        found.append((float(plain), last))
    return found


def near(shown: tuple[float, float], wanted: float, width: float = 0.0) -> bool:
    """Whether a number is the wanted one, rounded to its own digits.

    Whole ones may be rounded to tens or hundreds: to two digits of half an interval.
    """
    value, last = shown
    room = 0.5 * last if last < 1 else max(0.5 * last, 0.05 * width / 2)
    return abs(value - wanted) <= room * (1 + 1e-9) + 1e-12 * abs(wanted)


def check_numbers(elements: list[dict[str, Any]], document: dict[str, Any]) -> set[str]:
    """Assert that each element shows its number; the paths that showed one."""
    checked = set()
    for element in elements:
        if _check(element, document):
            checked.add(element["path"])
    return checked


def _check(element: dict[str, Any], document: dict[str, Any]) -> bool:
    path, text = element["path"], element["text"]
    *parents, leaf = path.split(".")
    owner: Any = document
    for name in parents:
        owner = owner[int(name)] if isinstance(owner, list) else owner[name]
    if path == "decision.recommendation":
        assert element["value"] == owner[leaf]
        return True
    if parents[:1] == ["moments"] or "tests" in parents:
        return _check_table(element, owner[int(leaf)])
    if leaf in ("absolute", "relative", "unadjusted", "values", "p"):
        return _check_effect(leaf, text, owner, document)
    wanted = owner[leaf]
    if wanted is None:
        return False
    shown = parsed(text)
    if leaf == "p_value":
        assert text.startswith(("<", ">")) or near(shown[0], wanted), (path, text, wanted)
    else:
        assert near(shown[0], wanted * (100 if leaf.startswith("share") else 1)), (path, text, wanted)
    return True


def _check_effect(leaf: str, text: str, row: dict[str, Any], document: dict[str, Any]) -> bool:
    like = row
    if "is_share" not in row:  # a day
        like = next(r for r in document["estimates"] if (r["metric"], r["arm"]) == (row["metric"], row["arm"]))
    factor = 100 if leaf == "relative" or like["is_share"] or like["format"] == "percent" else 1
    shown = parsed(text)
    if leaf == "values":
        wanted = [row["baseline_value"], row["arm_value"]]
        width = (row["absolute"]["upper"] - row["absolute"]["lower"]) * factor if row["absolute"] else 0.0
    elif leaf == "p":
        wanted = [row["p_value"] if row["p_adjusted"] is None else row["p_adjusted"]]
        if wanted[0] is None or text.startswith(("<", ">")):
            assert wanted[0] is None or wanted[0] < 1e-4 or wanted[0] > 0.99
            return wanted[0] is not None
        factor, width = 1, 0.0
    else:
        found = row[leaf]
        if found is None:
            assert not shown
            return False
        if leaf == "relative" and found["shape"] != "bounded":
            return False
        wanted = [found["estimate"], found["lower"], found["upper"]]
        width = (found["upper"] - found["lower"]) * factor
    if wanted[0] is None:
        return False
    assert len(shown) >= len(wanted), (text, wanted)
    for value, number in zip(wanted, shown, strict=False):
        assert near(number, value * factor, width), (leaf, text, wanted)
    return True


def _check_table(element: dict[str, Any], found: dict[str, Any]) -> bool:
    """A row of tests, or of moments."""
    cells = element["keys"]
    if "statistic" in cells:
        wanted = {"statistic": found["statistic"], "df": found["df"], "null": found["null"], "alpha": found["alpha"]}
        if not cells["p"].startswith(("<", ">")):
            wanted["p"] = found["p_value"]
    else:
        k = int(element["column"])
        cov = found["cov"][k][k] if found["cov"] else None
        wanted = {"n": found["n"], "mean": found["mean"][k], "variance": cov, "nonzero": found["nonzero"][k]}
    for key, value in wanted.items():
        if value is not None:
            shown = parsed(cells[key])[0]
            assert abs(shown[0] - value) <= 1e-5 * abs(value) + 0.5 * shown[1] * (key in ("p", "n")), (
                cells,
                key,
                value,
            )
    return True
