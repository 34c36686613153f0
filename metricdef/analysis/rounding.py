"""P-values in words, for people: programs read the document's doubles."""

from __future__ import annotations

import math

SMALLEST_P = 1e-4
TINIEST_P = 1e-15  # below it doubles say little


def significant_decimals(value: float, digits: int) -> int:
    """Decimals at which `value` has that many significant digits."""
    if value == 0 or not math.isfinite(value):
        return 0
    # The exponent after rounding: 0.0996 has two digits at two decimals, as 0.10.
    return digits - 1 - int(f"{abs(value):.{digits - 1}e}".partition("e")[2])


def p_text(p: float, alpha: float | None = None, smallest: float = SMALLEST_P) -> str:
    """Two significant digits, more where rounding would put p on the other side of alpha; `< 0.0001` below `smallest`.

    Held against an alpha that is smaller still, p is written out.
    """
    if p < smallest and (alpha is None or alpha >= smallest):
        return f"< {smallest:.4f}" if smallest >= SMALLEST_P else f"< {smallest:.0e}"
    if p < TINIEST_P:
        return f"< {TINIEST_P:.0e}"
    if p >= 0.995:
        return "1.0" if p >= 1 else "> 0.99"
    for digits in range(2, 7):
        text = f"{p:.{significant_decimals(p, digits)}f}" if p >= SMALLEST_P else _scientific(p, digits)
        if alpha is None or (float(text) <= alpha) == (p <= alpha):
            return text
    return text


def _scientific(p: float, digits: int) -> str:
    mantissa, _, exponent = f"{p:.{digits - 1}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def equation(name: str, p: float, alpha: float | None = None, smallest: float = SMALLEST_P) -> str:
    """`p = 0.012`, or `p < 0.0001`."""
    text = p_text(p, alpha, smallest)
    return f"{name} {text}" if text[0] in "<>" else f"{name} = {text}"
