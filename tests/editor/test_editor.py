"""The schemas in the language server that editors use for YAML, over its protocol: completion, hover, findings."""

import json
import os
import queue
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from metricdef.cli.main import main

HERE = Path(__file__).resolve().parent
SERVER = HERE / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
IS_WANTED = bool(os.environ.get("METRICDEF_EDITOR"))
PATIENCE = 60.0  # seconds for an answer, on a busy machine

pytestmark = pytest.mark.skipif(
    not IS_WANTED and not (shutil.which("node") and SERVER.exists()),
    reason="the language server is not installed: make test-editor installs it",
)


class Editor:
    """A client that opens texts and asks about places in them."""

    def __init__(self, root):
        self.root = root
        self.settings = _sections(json.loads((root / ".vscode" / "settings.json").read_text(encoding="utf-8")))
        self.settings["yaml"] |= {"validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False}}
        self.server = subprocess.Popen(
            ["node", str(SERVER), "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.messages = queue.Queue()
        self.findings = {}
        self.number = 0
        threading.Thread(target=self._read, daemon=True).start()
        folder = {"uri": root.as_uri(), "name": "project"}
        capabilities = {
            "workspace": {"configuration": True, "workspaceFolders": True},
            "textDocument": {"completion": {"completionItem": {"snippetSupport": True}}, "hover": {}},
        }
        self.ask(
            "initialize",
            processId=os.getpid(),
            rootUri=root.as_uri(),
            workspaceFolders=[folder],
            capabilities=capabilities,
        )
        self.tell("initialized")
        self.tell("workspace/didChangeConfiguration", settings=self.settings)

    def close(self):
        self.server.kill()
        self.server.wait()
        self.server.stdin.close()
        self.server.stdout.close()

    def _send(self, **message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.server.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.server.stdin.flush()

    def _read(self):
        try:
            while True:
                length = 0
                while (line := self.server.stdout.readline().strip()) != b"":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                if not length:
                    return
                self.messages.put(json.loads(self.server.stdout.read(length)))
        except (ValueError, OSError):
            return

    def _next(self, until):
        """The next message; what the server asks of its client is answered on the way."""
        message = self.messages.get(timeout=max(0.1, until - time.monotonic()))
        if "method" in message and "id" in message:
            result = None
            if message["method"] == "workspace/configuration":
                result = [self.settings.get(item.get("section")) for item in message["params"]["items"]]
            elif message["method"] == "workspace/workspaceFolders":
                result = [{"uri": self.root.as_uri(), "name": "project"}]
            self._send(id=message["id"], result=result)
        elif message.get("method") == "textDocument/publishDiagnostics":
            self.findings[message["params"]["uri"]] = message["params"]["diagnostics"]
        return message

    def tell(self, method, **params):
        self._send(method=method, params=params)

    def ask(self, method, **params):
        self.number += 1
        self._send(id=self.number, method=method, params=params)
        until = time.monotonic() + PATIENCE
        while True:
            message = self._next(until)
            if message.get("id") == self.number and "method" not in message:
                assert "error" not in message, message
                return message["result"]

    def open(self, file, text):
        """Open a file with a text, in which `|` is the cursor. Gives the document and the position."""
        before, _, after = text.partition("|")
        uri = (self.root / file).as_uri()
        self.findings.pop(uri, None)
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": before + after}
        self.tell("textDocument/didOpen", textDocument=document)
        lines = before.split("\n")
        return {"textDocument": {"uri": uri}, "position": {"line": len(lines) - 1, "character": len(lines[-1])}}

    def completions(self, file, text):
        found = self.ask("textDocument/completion", **self.open(file, text))
        return [item["label"] for item in (found["items"] if isinstance(found, dict) else found)]

    def hover(self, file, text):
        found = self.ask("textDocument/hover", **self.open(file, text))
        contents = found["contents"]
        return contents["value"] if isinstance(contents, dict) else str(contents)

    def problems(self, file, text):
        """Findings of a text, as (line, message)."""
        uri = self.open(file, text)["textDocument"]["uri"]
        until = time.monotonic() + PATIENCE
        while uri not in self.findings:
            self._next(until)
        return [(d["range"]["start"]["line"] + 1, d["message"]) for d in self.findings[uri]]


def _sections(settings):
    """`yaml.schemas: x` as `{yaml: {schemas: x}}`."""
    found = {}
    for key, value in settings.items():
        section, _, rest = key.partition(".")
        target = found.setdefault(section, {})
        *parents, last = rest.split(".")
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = value
    return found


@pytest.fixture(scope="module")
def editor(tmp_path_factory):
    from rule_shop import write_shop

    root = tmp_path_factory.mktemp("editor")
    assert main(["init", str(root), "-q"]) == 0
    for folder in ("sources", "metrics", "experiments", "tests"):
        (root / "metrics" / folder).mkdir(exist_ok=True)
    write_shop(root)
    assert main(["schema", "--project", str(root), "-o", str(root / "metrics" / ".schemas")]) == 0
    found = Editor(root)
    until = time.monotonic() + PATIENCE
    while not found.completions("metrics/metrics/first.yml", "|") and time.monotonic() < until:
        time.sleep(0.2)  # it reads its settings after it has answered
    yield found
    found.close()


EXPERIMENT = """\
experiments:
  faster:
    owners: [growth]
    status: draft
    hypothesis: Faster pages sell more.
    exposure: {source: assignments}
    arms: {control: {share: 50%}, fast: {share: 50%}}
    start: 2026-09-01
    end: 2026-09-29
    metrics:
      primary:
        buyers: {mde: 2%}
"""
METRIC = """\
metrics:
  payers:
    type: proportion
    source: orders
    direction: increase
"""


def test_names_of_metrics_are_completed(editor):
    found = editor.completions("metrics/experiments/a.yml", EXPERIMENT + "      secondary:\n        |\n")
    assert {"revenue", "orders_placed", "refunds"} <= set(found)


def test_names_of_sources_are_completed(editor):
    found = editor.completions("metrics/metrics/a.yml", "metrics:\n  payers:\n    type: proportion\n    source: |\n")
    assert {"orders", "assignments", "users"} <= set(found)


def test_keys_are_those_of_the_metrics_type(editor):
    quantile = editor.completions("metrics/metrics/b.yml", "metrics:\n  x:\n    type: quantile\n    |\n")
    assert {"quantile", "of", "measure"} <= set(quantile)
    assert not {"numerator", "steps", "at_least"} & set(quantile)
    ratio = editor.completions("metrics/metrics/c.yml", "metrics:\n  x:\n    type: ratio\n    |\n")
    assert {"numerator", "denominator"} <= set(ratio)
    assert not {"quantile", "agg"} & set(ratio)


def test_types_are_completed(editor):
    found = editor.completions("metrics/metrics/d.yml", "metrics:\n  x:\n    type: |\n")
    assert {"mean", "proportion", "funnel"} <= set(found)
    assert "funnel metric" in editor.completions("metrics/metrics/j.yml", "metrics:\n  x:\n    |\n")


def test_a_bad_key_is_a_finding_on_its_line(editor):
    found = editor.problems("metrics/metrics/e.yml", METRIC.replace("source:", "sorce:"))
    assert [(line, message) for line, message in found if "sorce" in message and line == 4], found


def test_a_bad_value_is_a_finding_on_its_line(editor):
    found = editor.problems("metrics/metrics/f.yml", METRIC + "    window: 7 days\n")
    assert [line for line, _ in found] == [6], found


def test_right_files_have_no_findings(editor):
    assert editor.problems("metrics/metrics/g.yml", METRIC) == []
    assert editor.problems("metrics/experiments/g.yml", EXPERIMENT) == []
    settings = (editor.root / "metrics" / "project.yml").read_text(encoding="utf-8")
    assert editor.problems("metrics/project.yml", settings) == []


def test_a_name_that_the_schema_does_not_know_yet_is_no_finding(editor):
    assert editor.problems("metrics/metrics/h.yml", METRIC.replace("orders", "brand_new")) == []


def test_hover_says_what_a_field_is(editor):
    assert "Which way is better" in editor.hover("metrics/metrics/i.yml", METRIC.replace("direction", "dir|ection"))
    assert "Smallest effect" in editor.hover("metrics/experiments/i.yml", EXPERIMENT.replace("mde", "m|de"))
