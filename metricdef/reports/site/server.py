"""Serves a site from memory to this machine alone, and builds it anew when what it is made of changes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from metricdef.errors import DefinitionErrors, MetricdefError

HOST = "127.0.0.1"
STATE = "assets/state.json"
EVERY = 1.0  # seconds between looks at the files
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".json": "application/json"}

Seen = Mapping[str, tuple[int, int]]


@dataclass
class Site:
    """What is served now. `version` counts builds; `problem` says why the last one failed, and the one before stays."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    version: int = 0
    problem: str | None = None

    def rebuild(self, build: Callable[[], Mapping[str, bytes]]) -> bool:
        """Build anew, and whether that worked."""
        try:
            self.files, self.problem = build(), None
        except MetricdefError as error:
            self.problem = f"Not built anew: {_words(error)}"
        else:
            self.version += 1
        return self.problem is None

    def get(self, target: str) -> tuple[str, bytes] | None:
        """Path and content of what a request asks for. Only what was built can be asked for: no file is opened."""
        path = unquote(urlsplit(target).path).removeprefix("/") or "index.html"
        if path == STATE:
            return path, json.dumps({"version": self.version, "problem": self.problem}).encode()
        found = self.files.get(path)
        return None if found is None else (path, found)


def _words(error: MetricdefError) -> str:
    if not isinstance(error, DefinitionErrors):
        return error.message
    first = error.diagnostics[0]
    where = f"{first.place.file}:{first.place.line}: " if first.place else ""
    more = len(error.diagnostics) - 1
    return f"{where}{first.message}{f' (and {more} more)' if more else ''}"


def watched(*folders: Path) -> Seen:
    """Size and time of change of every file below the folders; one of them may be a file itself."""
    found = {}
    for folder in folders:
        for path in (folder, *sorted(folder.rglob("*"))):
            try:
                state = path.stat()
            except OSError:  # gone meanwhile
                continue
            if path.is_file():
                found[str(path)] = (state.st_mtime_ns, state.st_size)
    return found


def make_server(site: Site, port: int) -> ThreadingHTTPServer:
    """A server on 127.0.0.1; port 0 takes a free one. Raises OSError where the port is taken."""

    class Handler(BaseHTTPRequestHandler):
        """Answers GET and HEAD; nothing else is implemented, which the base class says."""

        server_version = "metricdef"
        sys_version = ""

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _answer(self, *, body: bool) -> None:
            # A page of another site, whose name points here, has another Host.
            name = self.headers.get("Host", "").rpartition(":")[0]
            found = site.get(self.path) if name in (HOST, "localhost") else None
            path, content = found or ("404.txt", b"There is no such page.\n")
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", f"{_TYPES.get(Path(path).suffix, 'text/plain')}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            for header, value in _HEADERS.items():
                self.send_header(header, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are nobody's business."""

    return ThreadingHTTPServer((HOST, port), Handler)


def keep_up(
    site: Site,
    build: Callable[[], Mapping[str, bytes]],
    look: Callable[[], Seen],
    seen: Seen,
    stop: threading.Event,
    told: Callable[[Site], None],
) -> None:
    """Until `stop`, build anew whenever `look` sees something other than it did before; then `told`.

    Args:
        site: What is served.
        build: Its files.
        look: The state of what it is made of.
        seen: That state when it was built last.
        stop: Ends it.
        told: Called after every build.
    """
    while not stop.wait(EVERY):
        now = look()
        if now != seen:
            seen = now
            site.rebuild(build)
            told(site)
