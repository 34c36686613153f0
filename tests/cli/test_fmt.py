"""`metricdef fmt`: files are written whole, left alone where they can't be read, and mean the same."""

from pathlib import Path

import pytest
from rule_shop import write_shop

from metricdef.api import Project
from metricdef.cli.main import main
from metricdef.compiler.fingerprint import fingerprint

LOOSE = "metrics:\n    payers:   # who pays\n        direction: increase\n        source: orders\n        type: proportion\n"
NEAT = "metrics:\n  payers:   # who pays\n    type: proportion\n    source: orders\n    direction: increase\n"


@pytest.fixture
def shop(tmp_path, monkeypatch):
    write_shop(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["fmt", "-q"]) == 0
    return tmp_path / "metrics"


def test_files_are_laid_out_and_named(shop, capsys):
    (shop / "more.yml").write_text(LOOSE)
    capsys.readouterr()
    assert main(["fmt"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "metrics/more.yml\n"
    assert (shop / "more.yml").read_text() == NEAT
    assert main(["fmt"]) == 0
    assert capsys.readouterr().out == ""


def test_check_writes_nothing_and_exits_with_1(shop, capsys):
    (shop / "more.yml").write_text(LOOSE)
    assert main(["fmt", "--check"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "metrics/more.yml"
    assert (shop / "more.yml").read_text() == LOOSE
    assert main(["fmt", "-q"]) == 0
    assert main(["fmt", "--check"]) == 0


def test_a_file_that_cannot_be_read_stays_as_it_is_and_the_others_are_laid_out(shop, capsys):
    (shop / "broken.yml").write_text("metrics:\n  a: {\n")
    (shop / "latin.yml").write_bytes(b"metrics:\n  a: {label: \xe9}\n")
    (shop / "more.yml").write_text(LOOSE)
    assert main(["fmt"]) == 2
    shown = capsys.readouterr()
    assert "metrics/broken.yml:3:1: error[yaml-syntax]" in shown.err
    assert "metrics/latin.yml is not UTF-8 text" in shown.err
    assert (shop / "broken.yml").read_text() == "metrics:\n  a: {\n"
    assert (shop / "more.yml").read_text() == NEAT


def test_single_files_may_be_named(shop, capsys):
    (shop / "more.yml").write_text(LOOSE)
    (shop / "other.yml").write_text(LOOSE.replace("payers", "others"))
    assert main(["fmt", "metrics/more.yml"]) == 0
    assert (shop / "more.yml").read_text() == NEAT
    assert "    others" in (shop / "other.yml").read_text()
    assert main(["fmt", "metrics/none.yml"]) == 2
    assert "there is no file metrics/none.yml" in capsys.readouterr().err


def test_the_definitions_are_the_same_afterwards(shop):
    (shop / "more.yml").write_text(LOOSE)
    before = Project(shop.parent).definitions
    assert main(["fmt", "-q"]) == 0
    after = Project(shop.parent).definitions
    assert fingerprint(after, "checkout") == fingerprint(before, "checkout")
    for kind in ("sources", "segments", "metrics", "metric_sets", "experiments", "tests"):
        assert getattr(after, kind) == getattr(before, kind)


def test_line_ends_become_one_kind(shop):
    (shop / "more.yml").write_bytes(LOOSE.replace("\n", "\r\n").encode())
    assert main(["fmt", "-q"]) == 0
    assert (shop / "more.yml").read_bytes() == NEAT.encode()


@pytest.mark.parametrize("project", [".", "benchmarks/project"])
def test_definitions_of_this_repository_are_laid_out(project, capsys):
    assert main(["--project", str(Path(__file__).resolve().parents[2] / project), "fmt", "--check"]) == 0
