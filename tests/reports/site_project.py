"""A project with every state of an experiment, a history, a record, readouts and names that mean harm."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from looks import GROUP, SETTINGS, World
from projects import METRICS, SOURCES, experiment, write_definitions

from metricdef.api import Project

HOSTILE = "<script>alert('x')</script>\"'&<img src=x onerror=alert(1)>"
RIGHT_TO_LEFT = "مرحبا \u202egnp.exe"
LONG = "long " + "x" * 195
EMOJI = "👩‍🔬 tëst ../../etc/passwd"
OWNERS = (HOSTILE, RIGHT_TO_LEFT, LONG, EMOJI, "../index", "CON", "con", "Team", "team", "a b", "a-b", "a/b")
WHO = {"GIT_AUTHOR_NAME": "Ada <b>", "GIT_AUTHOR_EMAIL": "ada@example.org", "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org"}  # fmt: skip

TESTS = {
    "tests": {
        "counts_orders": {
            "description": f"An order counts. {HOSTILE}",
            "metric": "orders_per_user",
            "exposures": [{"user": 1, "arm": "control", "at": "2026-01-02"}],
            "given": {"orders": "user_id, happened_at, amount\n1, 2026-01-03, 5\n"},
            "expect": [{"arm": "control", "n": 1, "sum": 1}],
        }
    }
}


def _one(name: str, status: str, primary: str = "buyers", **changes: object) -> dict[str, object]:
    metrics = changes.pop(
        "metrics", {"primary": {primary: {"mde": "5%"}}, "secondary": {"revenue": None, "order_value": None}}
    )
    made = experiment(status=status, metrics=metrics, **changes)["experiments"]["test"]
    return {name: made}


def definitions() -> tuple[dict[str, object], ...]:
    metrics = {
        name: {**metric, "owner": owner}
        for (name, metric), owner in zip(METRICS["metrics"].items(), OWNERS, strict=False)
    }
    metrics["buyers"] |= {"label": HOSTILE, "description": RIGHT_TO_LEFT, "tags": [HOSTILE, "../up", "growth"]}
    metrics["revenue"] |= {"label": LONG, "cap": {"upper": "p99.5"}, "tags": ["growth", "Growth"]}
    metrics["unused"] = {
        "type": "mean",
        "source": "orders",
        "agg": "max",
        "measure": "amount",
        "missing": "exclude",
        "direction": "decrease",
    }
    metrics["steps"] = {
        "type": "funnel", "direction": "increase", "tags": [EMOJI],
        "steps": [{"name": "placed", "source": "orders"}, {"name": "paid", "source": "orders", "filter": "status = 'paid'", "within": "2d"}],
    }  # fmt: skip
    experiments = {
        **_one("looking", "running", analysis={"sequential": GROUP}, label=EMOJI, owners=list(OWNERS)),
        **_one("early", "running", validation={"hold": "7d"}, hypothesis=f"{HOSTILE} {LONG}"),
        **_one("ended", "stopped", metrics={"primary": {"buyers": {"mde": "5%"}}, "guardrail": {"refunds": {"margin": "1pp"}}}),
        **_one("won", "decided", outcome={"decided": "2026-03-01", "arm": "treatment", "note": f"It sells. {HOSTILE}"}),
        **_one("kept", "decided", "orders_per_user", outcome={"decided": "2026-03-02", "arm": "control"}),
        **_one("unread", "decided", outcome={"decided": "2026-02-20", "arm": "control"}),
        **_one("planned", "draft", description=HOSTILE, population=["on_the_web"],
               metrics={"primary": {"buyers": {"mde": "5%"}}, "secondary": {"revenue": None, "order_value": None}, "sets": ["money_back"]}),
    }  # fmt: skip
    shared = {
        "segments": {"on_the_web": {"source": "assignments", "filter": "platform = 'web'", "description": HOSTILE}},
        "metric_sets": {"money_back": {"description": HOSTILE, "guardrail": {"refunds": {"margin": "1pp"}}}},
    }
    return SOURCES, {"metrics": metrics}, {"experiments": experiments}, TESTS, shared


def write_project(root: Path) -> Project:
    """Definitions in git, locks and an amendment, and readouts of what DuckDB holds."""
    write_definitions(root, *definitions(), project=SETTINGS)
    World(n=3000, lift=0.06).fill(root)
    git(root, "init", "-q")
    (root / ".gitignore").write_text("warehouse.duckdb\nreadouts\n")
    commit(root, f"first {HOSTILE}", 1)
    amend(root)
    commit(root, "one more metric", 3)
    project = Project(root)
    for name in ("looking", "won"):
        project.lock(name)
    folder = root / "readouts"
    folder.mkdir()
    write_readout(project, "looking", "2026-01-11", folder / "looking-1.json")
    write_readout(project, "looking", "2026-01-15", folder / "looking-2.json")
    write_readout(project, "early", "2026-01-05", folder / "early.json")
    for name in ("ended", "won", "kept"):
        write_readout(project, name, "2026-02-10", folder / f"{name}.json")
    (folder / "broken.json").write_text("{")
    (folder / f"other {EMOJI.replace('/', '_')}.json").write_text(json.dumps({"schema": "another"}))
    return Project(root)


def write_readout(project: Project, name: str, as_of: str, path: Path) -> None:
    path.write_text(project.run(name, as_of=as_of).to_json(), encoding="utf-8")


def amend(root: Path) -> None:
    """A second commit changes a filter, a third adds a metric."""
    path = root / "metrics" / "part_1.yml"
    text = path.read_text()
    path.write_text(text.replace("status = 'refunded'", "status in ('refunded')"))
    commit(root, "refunds in a list", 2)
    path.write_text(path.read_text() + "  late:\n    type: proportion\n    source: orders\n    direction: decrease\n")


def commit(root: Path, message: str, day: int) -> None:
    when = f"2026-01-{day:02d}T12:00:00+00:00"
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", message, GIT_AUTHOR_DATE=when, GIT_COMMITTER_DATE=when)


def git(root: Path, *arguments: str, **environment: str) -> None:
    subprocess.run(["git", "-C", str(root), *arguments], check=True, env={**os.environ, **WHO, **environment})
