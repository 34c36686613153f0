"""Runs what the documents show: every example is a file that checks, a command that works or SQL that parses."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import sqlglot
import yaml
from sqlglot import exp

from tests.docs.documents import REPOSITORY, Block, Document, documents, link_fault, links

SHELLS = {"sh", "bash", "shell", "console"}
KINDS = {"sources", "segments", "metrics", "metric_sets", "experiments", "tests", "entities", "profiles"}
TIME_LIMIT = 300

DOCUMENTS = documents()
SQL_BLOCKS = [
    pytest.param(document, block, id=document.at(block))
    for document in DOCUMENTS
    for block in document.blocks
    if block.language == "sql" and not block.skipped
]


def each_document(test):
    return pytest.mark.parametrize("document", DOCUMENTS, ids=[document.name for document in DOCUMENTS])(test)


@each_document
def test_directives_are_understood(document):
    assert list(document.faults) == []


@each_document
def test_links_lead_somewhere(document):
    faults = [(line, target, link_fault(document, target)) for line, target in links(document)]
    assert [f"line {line}: {target} {fault}" for line, target, fault in faults if fault] == []


@pytest.mark.parametrize(("document", "block"), SQL_BLOCKS)
def test_sql_parses(document, block):
    dialect = block.directives.get("dialect", "duckdb")
    statements = sqlglot.parse(block.code, dialect=dialect, error_level=sqlglot.ErrorLevel.RAISE)
    # sqlglot keeps what it doesn't know as a bare command instead of refusing it.
    assert not [statement for statement in statements if isinstance(statement, exp.Command)]


@each_document
def test_every_definition_is_checked_or_says_why_not(document):
    loose = [block for block in document.blocks if block.language in {"yaml", "yml"} and not block.directives]
    faults = [
        f"line {block.line}: needs <!-- file: ... --> or <!-- not run: ... -->" for block in loose if kinds(block)
    ]
    assert faults == []


def kinds(block: Block) -> set[str]:
    """The kinds of metricdef definitions in a YAML block; a block of something else has none, but must be YAML too."""
    content = yaml.safe_load(block.code)
    return KINDS & set(content) if isinstance(content, dict) else set()


@each_document
def test_examples_work(document, tmp_path):
    blocks = [
        block
        for block in document.blocks
        if not block.skipped and (block.language in SHELLS or "file" in block.directives)
    ]
    if not blocks:
        return
    folder = start_project(document, tmp_path / "project")
    for block in blocks:
        if "file" in block.directives:
            write_file(folder, block, document)
        else:
            run_block(folder, block, document)
    if any("file" in block.directives for block in blocks):
        done = run("metricdef check", folder)
        assert done.returncode == 0, f"{document.name}: its definitions do not check\n{done.stdout}"


def start_project(document: Document, folder: Path) -> Path:
    match document.directives.get("project"):
        case None:
            folder.mkdir(parents=True)
        case "demo":
            shutil.copytree(REPOSITORY / "metrics", folder / "metrics")
        case other:
            pytest.fail(f"{document.name}: there is no project {other!r}; only 'demo'")
    return folder


def write_file(folder: Path, block: Block, document: Document) -> None:
    path = (folder / block.directives["file"]).resolve()
    assert path.is_relative_to(folder.resolve()), f"{document.at(block)}: the file is outside the project"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.code, encoding="utf-8")


def run_block(folder: Path, block: Block, document: Document) -> None:
    script, faults = prepare(block)
    assert not faults, f"{document.at(block)}: {'; '.join(faults)}"
    if script.strip():
        done = run(script, folder)
        assert done.returncode == 0, f"{document.at(block)}: exit code {done.returncode}\n{done.stdout}"


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    binaries = Path(sys.executable).parent
    assert (binaries / "metricdef").exists(), "metricdef is not installed beside this Python: use make docs-check"
    environment = os.environ | {
        "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}",
        "HOME": str(folder.parent),
        "NO_COLOR": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "Reader",
        "GIT_AUTHOR_EMAIL": "reader@example.com",
        "GIT_COMMITTER_NAME": "Reader",
        "GIT_COMMITTER_EMAIL": "reader@example.com",
    }
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )


def prepare(block: Block) -> tuple[str, list[str]]:
    """The script of a shell block without the lines that install something; those are checked instead of run."""
    lines = block.code.splitlines()
    if block.language == "console":
        # A recorded session: commands follow the prompt, their continuation a backslash, and the rest is output.
        lines = list(commands(lines))
    script, faults = [], []
    for line in lines:
        fault = installation_fault(line)
        if fault is None:
            script.append(line)
        elif fault:
            faults.append(fault)
    return "\n".join(script), faults


def commands(lines: list[str]) -> list[str]:
    kept: list[str] = []
    for line in lines:
        if line.startswith("$ "):
            kept.append(line[2:])
        elif kept and kept[-1].endswith("\\"):
            kept.append(line.removeprefix("> "))
    return kept


def installation_fault(line: str) -> str | None:
    """None for an ordinary line; for one that installs, what is wrong with it, or an empty text."""
    text = line.partition(" #")[0].strip()
    if text.startswith("make "):
        targets = [word for word in shlex.split(text)[1:] if "=" not in word and not word.startswith("-")]
        return "; ".join(f"make has no target {word!r}" for word in targets if word not in make_targets())
    if installed := re.fullmatch(r"(?:python3? -m )?pip install (['\"]?)metricdef(?:\[(?P<extras>[\w,-]+)\])?\1", text):
        wanted = set((installed["extras"] or "").split(",")) - {""}
        return "; ".join(f"there is no extra {extra!r}" for extra in sorted(wanted - extras()))
    if text.startswith("git clone ") or text == "cd metricdef":
        return ""
    return None


def make_targets() -> set[str]:
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z0-9-]*):(?!=)", text, flags=re.MULTILINE))


def extras() -> set[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    return set(project["project"]["optional-dependencies"])
