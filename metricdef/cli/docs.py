"""`metricdef docs`: the catalogue as a static site, written or served."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from metricdef.analysis.metric_tests import CaseResult
from metricdef.api import Project
from metricdef.cli.output import Progress
from metricdef.definitions.project import Project as Definitions
from metricdef.errors import UsageError
from metricdef.governance.git import log_of_commits, revision
from metricdef.reports.site.build import build_site
from metricdef.reports.site.folder import refuse_foreign, write_site
from metricdef.reports.site.metric_sql import MetricSql
from metricdef.reports.site.server import HOST, Seen, Site, keep_up, make_server, watched
from metricdef.reports.site.stored_readouts import FOLDER, read_stored


def run(options: argparse.Namespace) -> int:
    """Write the site below `-o DIR`, or serve it until Ctrl-C."""
    project = Project(options.project or ".")
    readouts = Path(options.readouts) if options.readouts else project.root / FOLDER
    if options.readouts and not readouts.is_dir():
        raise UsageError(f"{readouts} is no folder", ["`metricdef run EXPERIMENT -o DIR/FILE.json` writes readouts"])
    if options.serve:
        if options.output:
            raise UsageError("`--serve` writes nothing", ["leave out -o, or --serve"])
        return _serve(project.root, readouts, options)
    if options.port is not None:
        raise UsageError("`--port` goes with `--serve`")
    folder = Path(options.output or "target/docs")
    refuse_foreign(folder.resolve())
    progress = Progress(quiet=options.quiet)
    progress("building the site")
    stored = read_stored(project.definitions, readouts)
    tested = project.test() if options.tests else None
    count = write_site(folder, build_site(project.definitions, stored, revision(project.root), tested=tested))
    progress.done()
    for problem in stored.problems:
        print(f"left out: {problem}", file=sys.stderr)
    if options.format == "json":
        written = {"version": 1, "folder": str(folder), "files": count, "left_out": list(stored.problems)}
        print(json.dumps(written, indent=2))
    elif not options.quiet:
        print(f"wrote {count} files: open {folder / 'index.html'}", file=sys.stderr)
    return 0


@dataclass
class _Held:
    """Definitions, the SQL of their metrics, and the state of the files that they were read from."""

    project: Definitions | None = None
    sql: dict[str, MetricSql | str] = field(default_factory=dict)
    tested: Sequence[CaseResult] | None = None
    state: Seen | None = None


def _serve(root: Path, readouts: Path, options: argparse.Namespace) -> int:
    def build() -> dict[str, bytes]:
        # Readouts come often and definitions rarely: what is made of those alone is kept while they stay as they are.
        state = watched(root / "metrics")
        if held.state != state:
            project = Project(root)
            held.project, held.sql, held.state = project.definitions, {}, state
            held.tested = project.test() if options.tests else None
        assert held.project is not None  # noqa: S101 - just loaded
        stored = read_stored(held.project, readouts)
        pages = build_site(held.project, stored, revision(root), live=True, known=held.sql, tested=held.tested)
        return {path: text.encode("utf-8") for path, text in pages}

    def look() -> dict[str, tuple[int, int]]:
        return dict(watched(root / "metrics", readouts, *([commits] if commits else [])))

    def told(site: Site) -> None:
        print(f"· {site.problem or 'built anew'}", file=sys.stderr, flush=True)

    commits = log_of_commits(root)
    held, site, seen = _Held(), Site(), look()
    if not site.rebuild(build):
        Project(root).definitions  # noqa: B018 - raises with every place and its help
        raise UsageError(site.problem or "")
    try:
        server = make_server(site, 8000 if options.port is None else options.port)
    except OSError as error:
        raise UsageError(f"port {options.port or 8000} cannot be used: {error.strerror}", ["`--port N`"]) from None
    stop = threading.Event()
    watcher = threading.Thread(target=keep_up, args=(site, build, look, seen, stop, told), daemon=True)
    with server:
        watcher.start()
        print(f"http://{HOST}:{server.server_port}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
        finally:
            stop.set()
    return 0
