"""The overall effects as one picture: SVG, and PNG by resvg where that is installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metricdef.analysis.readout import Readout
from metricdef.errors import UsageError
from metricdef.reports.comparisons import ROLES
from metricdef.reports.effect_rows import EffectGroup, effect_groups
from metricdef.reports.lead import headline
from metricdef.reports.lines import visible
from metricdef.reports.pages import page_template

WIDTH = 860
TOP, HEAD, ROW, AXIS, GAP = 72, 24, 26, 36, 14  # heights in pixels
MOST_ROWS = 120  # of one picture
LONGEST = 44  # characters of a name


@dataclass(frozen=True, slots=True)
class Placed:
    """A metric's plot and how far from the top it begins."""

    group: EffectGroup
    top: int
    title: str
    names: tuple[str, ...]
    axis: int


def render_svg(readout: Readout) -> str:
    """Intervals of all metrics by role, each on its own axis, as an SVG file. Raises UsageError without estimates."""
    placed: list[Placed] = []
    top, rows = TOP, 0
    groups = [g for role in ROLES for g in effect_groups(readout, role) if g.strip is not None]
    for group in groups:
        rows += len(group.rows)
        if placed and rows > MOST_ROWS:
            break
        axis = top + HEAD + ROW * len(group.rows)
        names = tuple(_short(row.name) for row in group.rows)
        kind = "relative to the baseline" if group.strip and group.strip.relative else "difference"
        title = " · ".join(part for part in (_short(group.label), group.role, group.better, kind) if part)
        placed.append(Placed(group, top, title, names, axis))
        top = axis + AXIS + GAP
    if not placed:
        raise UsageError("there is nothing to draw: the readout has no estimates")
    left = len(groups) - len(placed)
    return page_template("plot.svg.j2").render(
        title=_short(visible(readout.label) or visible(readout.experiment), 80),
        decision=headline(readout),
        placed=placed,
        width=WIDTH,
        height=top + (18 if left else 0),
        row_height=ROW,
        head=HEAD,
        more=f"{left} more metrics are not drawn" if left else "",
    )


def render_png(svg: str) -> bytes:
    """The picture at twice its size. Raises UsageError where the extra `png` is not installed."""
    try:
        import resvg_py
    except ImportError:
        raise UsageError("a PNG needs one more package", ['pip install "metricdef[png]"', "or write an .svg"]) from None
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=2))


def plot_bytes(readout: Readout, path: Path) -> bytes:
    """The picture in the format that the file's name asks for. Raises UsageError for others than .svg and .png."""
    kind = path.suffix.lower()
    if kind not in (".svg", ".png"):
        raise UsageError(f"{path.name}: a plot is written as .svg or .png")
    svg = render_svg(readout)
    return svg.encode() if kind == ".svg" else render_png(svg)


def _short(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
