"""The site served: to this machine alone, nothing but the site, and as definitions and readouts are now."""

import http.client
import json
import signal
import subprocess
import sys
import threading
import time

import pytest
from projects import METRICS, SOURCES, experiment, write_definitions

from metricdef.errors import UsageError
from metricdef.reports.site.server import STATE, Site, make_server, watched
from tests.reports.site_project import commit, git

FILES = {"index.html": b"<h1>home</h1>", "metrics/a.html": b"a", "assets/search.js": b"1"}


@pytest.fixture
def port():
    site = Site()
    assert site.rebuild(lambda: FILES)
    server = make_server(site, 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    with server:
        yield server.server_port
        server.shutdown()


def ask(port, path, method="GET", host=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{port}")
    connection.endheaders()
    response = connection.getresponse()
    return response.status, response.read(), response.headers


def test_pages_and_their_types(port):
    status, body, headers = ask(port, "/")
    assert (status, body, headers["Content-Type"]) == (200, b"<h1>home</h1>", "text/html; charset=utf-8")
    assert ask(port, "/metrics/a.html?x=1")[1] == b"a"
    assert ask(port, "/assets/search.js")[2]["Content-Type"] == "text/javascript; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert ask(port, "/", "HEAD")[1] == b""
    assert json.loads(ask(port, f"/{STATE}")[1]) == {"version": 1, "problem": None}


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../../../etc/passwd", "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/metrics/../index.html",
        "/..%2f..%2fetc/passwd", "/metrics/%00", "/metrics/..%5c..%5cindex.html", "/metrics", "/metrics/", "/.metricdef-site",
        "/metrics/project.yml", "http://example.org/etc/passwd", "/%252e%252e/etc/passwd",
    ],
)  # fmt: skip
def test_nothing_but_what_was_built_is_served(port, path):
    status, body, _ = ask(port, path)
    assert (status, body) == (404, b"There is no such page.\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(port, method):
    assert ask(port, "/", method)[0] == 501


def test_a_name_that_points_here_is_refused(port):
    assert ask(port, "/", host=f"evil.example:{port}")[0] == 404
    assert ask(port, "/", host=f"localhost:{port}")[0] == 200


def test_other_machines_cannot_connect(port):
    server = make_server(Site(), 0)
    assert server.server_address[0] == "127.0.0.1"
    server.server_close()


def test_the_last_good_site_stays():
    site = Site()
    site.rebuild(lambda: FILES)

    def broken():
        raise UsageError("a file cannot be read")

    assert not site.rebuild(broken)
    assert (site.files, site.version, site.problem) == (FILES, 1, "Not built anew: a file cannot be read")
    assert site.rebuild(dict)
    assert (site.version, site.problem) == (2, None)


def test_changes_are_seen(tmp_path):
    (tmp_path / "a").mkdir()
    before = watched(tmp_path, tmp_path / "nowhere")
    (tmp_path / "a" / "x.yml").write_text("1")
    after = watched(tmp_path, tmp_path / "nowhere")
    assert before == {}
    assert list(after) == [str(tmp_path / "a" / "x.yml")]
    (tmp_path / "a" / "x.yml").write_text("12")
    assert watched(tmp_path) != after


def test_the_command_follows_the_files(tmp_path):
    write_definitions(tmp_path, SOURCES, METRICS, experiment())
    git(tmp_path, "init", "-q")
    commit(tmp_path, "first", 1)
    command = [sys.executable, "-m", "metricdef", "--project", str(tmp_path), "docs", "--serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            port = int(process.stdout.readline().strip().rstrip("/").rpartition(":")[2])
            assert b"It works." in ask(port, "/experiments/test.html")[1]
            path = tmp_path / "metrics" / "part_2.yml"
            good = path.read_text()
            path.write_text(good.replace("It works.", "It works better."))
            assert state(port, 2) == {"version": 2, "problem": None}
            assert b"It works better." in ask(port, "/experiments/test.html")[1]
            path.write_text("experiments: [")
            assert "invalid YAML" in state(port, 2, problem=True)["problem"]
            assert b"It works better." in ask(port, "/experiments/test.html")[1]
            path.write_text(good)
            assert state(port, 3)["problem"] is None
            git(tmp_path, "commit", "-q", "--allow-empty", "-m", "no file changes")
            assert state(port, 4)["version"] == 4
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
    assert process.returncode == 0


def state(port, version, *, problem=False):
    """The state once it is that version, and has a problem or none."""
    deadline = time.monotonic() + 60
    while True:
        found = json.loads(ask(port, f"/{STATE}")[1])
        if (found["version"] == version and (found["problem"] is not None) == problem) or time.monotonic() > deadline:
            return found
        time.sleep(0.2)
