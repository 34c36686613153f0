"""Whether a readout that was written before still says what is promised and recorded of its experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metricdef.definitions.project import Project
from metricdef.governance.deviations import deviations
from metricdef.governance.lock import read_entries
from metricdef.governance.protocol import digest, read_protocol
from metricdef.governance.record import LOOKS, read, record_path


def is_current(project: Project, name: str, readout: Mapping[str, Any]) -> bool:
    """Whether the document of a readout has today's protocol and amendments, and the record the rows that it knows of.

    The look that it is must be in the record: one whose writing failed would be no look. Raises RecordBroken, KeyError.
    """
    provenance, look = readout["provenance"], readout["look"]
    protocol = digest(read_protocol(project, name).frozen)[:16]
    if (provenance["protocol"], provenance["locked"]) != (protocol, name in read_entries(project.root)):
        return False
    amended = [found for found in provenance["deviations"] if found["by"] is not None]
    if amended != deviations(project, name):
        return False
    record = read(record_path(project.root, name))
    known = provenance["record"]
    if known is not None and known["head"] not in {entry.hash for entry in record.entries}:
        return False
    taken = {entry.payload["as_of"] for entry in record.entries if entry.kind in LOOKS}
    return look is None or look["record"]["as_of"] in taken
