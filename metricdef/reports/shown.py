"""How a readout shows itself in Python; pages are imported when they are asked for."""

from __future__ import annotations

from metricdef.analysis.readout import Readout, show_by


def _html(readout: Readout) -> str:
    from metricdef.reports.page import render_page

    return render_page(readout)


def _notebook(readout: Readout) -> str:
    from metricdef.reports.page import render_notebook

    return render_notebook(readout)


def show_readouts() -> None:
    """From now on readouts have pages."""
    show_by("html", _html)
    show_by("notebook", _notebook)
