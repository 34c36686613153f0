"""metricdef: experiment readouts you can review, from YAML to SQL to a decision."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["Project", "__version__"]


def __getattr__(name: str) -> Any:
    """`metricdef.Project`, imported when it is first asked for."""
    if name == "Project":
        from metricdef.api import Project

        return Project
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
