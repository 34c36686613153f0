"""`check --format sarif` against the official schema of SARIF 2.1.0, by a validator of its draft."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from metricdef.definitions.rules import read_rules
from metricdef.errors import Diagnostic, Place
from metricdef.reports.annotations import sarif

HERE = Path(__file__).resolve().parent
SCHEMA = HERE / "node_modules/@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json"
VALIDATE = """
const Validator = require("ajv-draft-04");
const [schema, ...documents] = JSON.parse(require("fs").readFileSync(0));
const validate = new Validator({strict: false, validateFormats: false, unicodeRegExp: false, allErrors: true}).compile(schema);
console.log(JSON.stringify(documents.map(d => validate(d) ? [] : validate.errors.map(e => e.instancePath + " " + e.message))));
"""

pytestmark = pytest.mark.skipif(
    not os.environ.get("METRICDEF_EDITOR") and not (shutil.which("node") and SCHEMA.exists()),
    reason="the schema is not installed: make test-editor installs it",
)


def test_findings_are_what_the_schema_asks_for():
    found = [
        Diagnostic(
            rule, f"{rule}: “quoted” 100%", Place(f"metrics/a b{n}.yml", n + 1, 1, 3, "text"), ("do this",), severity
        )
        for n, (rule, severity) in enumerate(zip(read_rules(), ["error", "warning", "notice"] * 99, strict=False))
    ]
    found.append(Diagnostic("lock-file", "without a place"))
    documents = [json.loads(sarif(some, read_rules(), "definitions")) for some in (found, [])]
    broken = json.loads(json.dumps(documents[0]))
    broken["runs"][0]["results"][0]["level"] = "bad"
    sent = json.dumps([json.loads(SCHEMA.read_text(encoding="utf-8")), *documents, broken])
    done = subprocess.run(["node", "-e", VALIDATE], input=sent, capture_output=True, text=True, cwd=HERE, check=False)
    assert done.returncode == 0, done.stderr
    first, empty, refused = json.loads(done.stdout)
    assert (first, empty) == ([], [])
    assert refused
    assert len(documents[0]["runs"][0]["results"]) == len(found)
