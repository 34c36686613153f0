"""What identifies the definitions behind a result."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from metricdef.definitions.project import Project
from metricdef.definitions.used import used_by


def fingerprint(project: Project, name: str) -> str:
    """Hash of every definition that experiment `name` uses, as written: no environment, no clock, no key order."""
    used = used_by(project, project.experiments[name])
    root = next(d for d in project.documents.values() if ("version",) in d.keys)
    content: dict[str, Any] = {key: root.data.get(key) for key in ("defaults", "entities", "dialect")}
    content |= {key: root.data[key] for key in ("min_units",) if key in root.data}
    for kind, names in (
        ("experiments", (name,)),
        ("metrics", used.metrics),
        ("sources", used.sources),
        ("segments", used.segments),
        ("metric_sets", used.metric_sets),
    ):
        content[kind] = {n: project.origins[kind, n].data[kind][n] for n in names}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]
