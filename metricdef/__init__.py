"""metricdef: experiment readouts you can review, from YAML to SQL to a decision."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["Project", "__version__", "read_readout"]


def __getattr__(name: str) -> Any:
    """`metricdef.Project` and `metricdef.read_readout`, imported when they are first asked for."""
    if name == "Project":
        from metricdef.api import Project

        return Project
    if name == "read_readout":
        from metricdef.api import read_readout

        return read_readout
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
