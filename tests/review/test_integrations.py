"""The action and the job of the repository, run step by step in a shell, with stand-ins for GitHub's and GitLab's servers."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from metricdef.cli.main import VERBS
from tests.review.shop_repository import Change, git, write_repository

ROOT = Path(__file__).parents[2]
MARK = "<!-- metricdef plan -->"

# `gh api`: comments in a file; like GitHub it lets nobody edit what others wrote, and a fork write nothing.
GH = """\
import json, os, re, sys
from pathlib import Path
kept = Path(os.environ["FAKE_COMMENTS"])
comments = json.loads(kept.read_text()) if kept.exists() else []
assert sys.argv[1] == "api" and os.environ["GH_TOKEN"] == "token", sys.argv
method = sys.argv[sys.argv.index("--method") + 1] if "--method" in sys.argv else "GET"
path = sys.argv[2]
if method == "GET":
    assert path == "repos/shop/metrics/issues/7/comments" and "--paginate" in sys.argv
    start = re.search(r'startswith\\("(.*?)"\\)', sys.argv[sys.argv.index("--jq") + 1])[1]
    print("\\n".join(str(c["id"]) for c in comments if c["body"].startswith(start)))
    sys.exit(0)
if os.environ.get("FAKE_FORK"):
    sys.exit(1)
field = sys.argv[sys.argv.index("--field") + 1]
assert field.startswith("body=@")
body = Path(field.removeprefix("body=@")).read_text()
if method == "POST":
    comments.append({"id": 100 + len(comments), "by": "bot", "body": body})
else:
    own = next(c for c in comments if c["id"] == int(path.rpartition("/")[2]))
    if own["by"] != "bot":
        sys.exit(1)
    own["body"] = body
kept.write_text(json.dumps(comments))
"""

# `curl` against GitLab's notes, in pages of one.
CURL = """\
import json, os, re, sys
from pathlib import Path
kept = Path(os.environ["FAKE_COMMENTS"])
notes = json.loads(kept.read_text()) if kept.exists() else []
arguments = sys.argv[1:]
assert 'PRIVATE-TOKEN: secret' in Path(arguments[arguments.index("--config") + 1]).read_text()
assert "secret" not in " ".join(arguments)
url = next(a for a in arguments if a.startswith("https://"))
base = "https://gitlab.example.com/api/v4/projects/3/merge_requests/9/notes"
assert url.startswith(base), url
if "--request" not in arguments:
    page = int(re.search(r"page=(\\d+)$", url)[1])
    more = str(page + 1) if page < len(notes) else ""
    Path(arguments[arguments.index("--dump-header") + 1]).write_text(f"HTTP/2 200\\r\\nX-Next-Page: {more}\\r\\n\\r\\n")
    print(json.dumps(notes[page - 1 : page]))
    sys.exit(0)
body = json.loads(Path(arguments[arguments.index("--data") + 1][1:]).read_text())["body"]
if arguments[arguments.index("--request") + 1] == "POST":
    notes.append({"id": 100 + len(notes), "body": body})
else:
    next(n for n in notes if n["id"] == int(url.rpartition("/")[2]))["body"] = body
kept.write_text(json.dumps(notes))
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return write_repository(tmp_path_factory.mktemp("shop") / "repository")


@pytest.fixture
def runner(shop, tmp_path):
    """A checkout, an environment with the commands, and where the stand-ins keep comments."""
    bin = tmp_path / "bin"
    bin.mkdir()
    programs = {"metricdef": f'exec "{sys.executable}" -m metricdef "$@"', "gh": GH, "curl": CURL}
    for name, text in programs.items():
        head = "#!/bin/sh\n" if name == "metricdef" else f"#!{sys.executable}\n"
        (bin / name).write_text(head + text)
        (bin / name).chmod(stat.S_IRWXU)
    (bin / "python").symlink_to(sys.executable)
    environment = {
        "PATH": f"{bin}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "RUNNER_TEMP": str(tmp_path),
        "FAKE_COMMENTS": str(tmp_path / "comments.json"),
    }
    return shutil.copytree(shop, tmp_path / "checkout"), environment


def run_action(checkout: Path, environment: dict[str, str], **inputs: str) -> tuple[int, dict[str, str]]:
    """The steps of action.yml in order, as the runner does them; the code of the first that fails, and the outputs."""
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    given = {name: value.get("default", "") for name, value in action["inputs"].items()}
    given |= {"token": "token"} | {name.replace("_", "-"): value for name, value in inputs.items()}
    outputs: dict[str, str] = {}
    for step in action["runs"]["steps"]:
        if "pip install" in step["run"]:
            continue
        known = {
            **{f"inputs.{name}": value for name, value in given.items()},
            **{f"steps.plan.outputs.{name}": value for name, value in outputs.items()},
            "inputs.base || (github.base_ref && format('origin/{0}', github.base_ref))": given["base"] or "main",
            "github.event.pull_request.number": "7",
            "github.repository": "shop/metrics",
        }
        if "inputs.comment" in step.get("if", "") and given["comment"] != "true":
            continue
        own = {
            key: re.sub(r"\$\{\{ (.*?) \}\}", lambda m, known=known: known[m[1]], text)
            for key, text in step.get("env", {}).items()
        }
        done = subprocess.run(
            ["bash", "-c", step["run"]], cwd=checkout, env={**environment, **own}, capture_output=True, text=True, timeout=120, check=False
        )  # fmt: skip
        written = Path(environment["GITHUB_OUTPUT"])
        outputs |= dict(line.split("=", 1) for line in written.read_text().splitlines()) if written.exists() else {}
        outputs["log"] = outputs.get("log", "") + done.stdout + done.stderr
        if done.returncode:
            return done.returncode, outputs
    return 0, outputs


def comments(environment: dict[str, str]) -> list[dict]:
    kept = Path(environment["FAKE_COMMENTS"])
    return json.loads(kept.read_text()) if kept.exists() else []


def test_the_action_comments_once_and_fails_where_the_plan_is_blocked(runner):
    checkout, environment = runner
    Path(environment["FAKE_COMMENTS"]).write_text(json.dumps([{"id": 1, "by": "somebody", "body": f"{MARK} is what I quote"}, {"id": 2, "by": "somebody", "body": "Nice."}]))  # fmt: skip
    change = Change(checkout).edit("metrics/shop.yml", "p99.5", "p99")
    code, outputs = run_action(checkout, environment)
    assert (code, outputs["blocked"]) == (1, "true")
    assert [c["by"] for c in comments(environment)] == ["somebody", "somebody", "bot"]
    assert "metrics.revenue.cap.upper p99.5 -> p99" in comments(environment)[2]["body"]
    assert Path(environment["GITHUB_STEP_SUMMARY"]).read_text() == comments(environment)[2]["body"]
    change.edit("metrics/shop.yml", "p99}", "p99.5}").edit("metrics/shop.yml", "Placed a paid order.", "Paid.")
    code, outputs = run_action(checkout, environment)
    assert (code, outputs["blocked"]) == (0, "false")
    assert len(comments(environment)) == 3
    assert comments(environment)[2]["body"].splitlines()[1] == "### metricdef: metadata: no number changes"


def test_a_fork_may_not_comment_and_still_has_the_summary(runner):
    checkout, environment = runner
    Change(checkout).edit("metrics/shop.yml", "Placed a paid order.", "Paid.")
    code, outputs = run_action(checkout, environment | {"FAKE_FORK": "1"})
    assert code == 0
    assert "::warning::the comment could not be written" in outputs["log"]
    assert "metric conversion" in Path(environment["GITHUB_STEP_SUMMARY"]).read_text()


@pytest.mark.parametrize("base", ["no-such-branch", "$(touch pwned)", "main; touch pwned", "--output=pwned"])
def test_a_name_of_a_branch_is_no_command_and_a_plan_that_fails_fails(runner, base):
    checkout, environment = runner
    code, outputs = run_action(checkout, environment, base=base)
    assert code == 2
    assert not list(checkout.rglob("pwned"))
    assert "the plan could not be made (exit code 2)" in Path(environment["GITHUB_STEP_SUMMARY"]).read_text()
    assert "there is no commit" in outputs["log"]


def test_the_options_of_the_action_reach_the_command(runner):
    checkout, environment = runner
    Change(checkout).edit("metrics/shop.yml", "agg: active_days,", "agg: active_days, per: day,")
    assert run_action(checkout, environment, comment="false")[0] == 0
    assert run_action(checkout, environment, comment="false", fail_on="changed")[0] == 1
    code, outputs = run_action(checkout, environment, comment="false", diff="banner checkout", as_of="2026-05-01", profile="nowhere")  # fmt: skip
    assert code == 2
    assert "there is no profile `nowhere`" in outputs["log"]
    assert comments(environment) == []


def run_job(checkout: Path, environment: dict[str, str], **variables: str) -> subprocess.CompletedProcess[str]:
    job = yaml.safe_load((ROOT / "integrations" / "gitlab.yml").read_text())["metricdef-plan"]
    own = {
        **job["variables"],
        "CI_API_V4_URL": "https://gitlab.example.com/api/v4",
        "CI_PROJECT_ID": "3",
        "CI_MERGE_REQUEST_IID": "9",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": git(checkout, "rev-parse", "main"),
    }
    return subprocess.run(
        ["bash", "-c", "\n".join(job["script"])], cwd=checkout, env={**environment, **own, **variables},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_job_writes_one_note(runner):
    checkout, environment = runner
    Path(environment["FAKE_COMMENTS"]).write_text(json.dumps([{"id": 1, "body": "Nice."}]))
    change = Change(checkout).edit("metrics/shop.yml", "p99.5", "p99")
    done = run_job(checkout, environment, METRICDEF_TOKEN="secret")
    assert done.returncode == 1, done.stderr
    assert "secret" not in done.stdout + done.stderr
    change.edit("metrics/shop.yml", "p99}", "p99.5}")
    assert (
        run_job(checkout, environment, METRICDEF_TOKEN="secret", METRICDEF_OPTIONS="--fail-on changed").returncode == 0
    )
    assert [c["body"].splitlines()[0] for c in comments(environment)] == ["Nice.", MARK]
    assert comments(environment)[1]["body"].splitlines()[1] == "### metricdef: nothing changes"
    assert not list(checkout.glob(".metricdef-*"))


def test_the_job_needs_no_token(runner):
    checkout, environment = runner
    Change(checkout).edit("metrics/shop.yml", "Placed a paid order.", "Paid.")
    done = run_job(checkout, environment)
    assert done.returncode == 0, done.stderr
    assert (checkout / "metricdef-plan.md").read_text() == done.stdout
    assert comments(environment) == []


def test_the_hooks_name_commands_and_files_that_there_are(shop):
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    files = [path.relative_to(shop).as_posix() for path in (shop / "metrics").rglob("*.yml")]
    for hook in hooks:
        program, verb = hook["entry"].split()
        assert (program, hook["pass_filenames"]) == ("metricdef", False)
        assert verb in VERBS
        assert all(re.search(hook["files"], file) for file in [*files, "teams/shop/metrics/project.yml"])
        assert not re.search(hook["files"], "other/orders.yml")
    assert [hook["id"] for hook in hooks] == ["metricdef-check", "metricdef-fmt"]
