"""What a program may act on when the rule says stop: the flag to roll back, and why."""

from __future__ import annotations

from typing import Any

from metricdef.analysis.readout import DecisionRow
from metricdef.definitions.models import Experiment


def alert_of(name: str, experiment: Experiment, decision: DecisionRow, as_of: str) -> dict[str, Any] | None:
    """The alert of a readout; None where no arm is to be stopped.

    Args:
        name: Of the experiment.
        experiment: Its definition.
        decision: What the rule says.
        as_of: As in the readout.
    """
    stopping = [arm for arm, what in decision.by_arm.items() if what == "stop"]
    if decision.recommendation != "stop" and not stopping:
        return None
    flag = experiment.flag
    return {
        "action": "stop",
        "experiment": name,
        "as_of": as_of,
        "arms": stopping,
        "whole_experiment": decision.recommendation == "stop",
        "because": list(decision.because),
        "authority": list(decision.authority),
        "flag": {"provider": flag.provider, "key": flag.key, "rollback": flag.rollback} if flag else None,
    }
