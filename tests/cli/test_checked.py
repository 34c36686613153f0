"""What `check` keeps: never used once anything changed, never in the way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rule_shop import write_shop

from metricdef.cli import checked
from metricdef.cli.main import main

BROKEN = "metrics: {payers: {type: proportion, source: order}}"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    write_shop(tmp_path / "shop", BROKEN)
    monkeypatch.chdir(tmp_path / "shop")
    folder = tmp_path / "cache"
    monkeypatch.setenv("METRICDEF_CACHE", str(folder))
    return folder


@pytest.fixture
def check(capsys, monkeypatch):
    def run(*arguments):
        """Exit code, what was shown, and whether the definitions were read."""
        from metricdef.cli import check as verb

        read = []
        project = verb._project
        with monkeypatch.context() as patch:
            patch.setattr(verb, "_project", lambda *a, **k: read.append(1) or project(*a, **k))
            code = main(["check", *arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err, bool(read)

    return run


def test_unchanged_files_are_not_read_again_and_show_the_same(cache, check):
    first = check()
    again = check()
    assert first[3] and not again[3]
    assert first[:3] == again[:3]
    assert first[0] == 1 and "unknown-source" in first[1]
    assert check("--format", "json")[3] is False


def test_every_file_counts(cache, check):
    shop = Path("metrics")
    (shop / ".record").mkdir()
    for name in ("metrics.yml", ".schema.json", ".protocol.lock.json", ".record/checkout.jsonl", "project.yml"):
        check()
        path = shop / name
        before = path.read_bytes() if path.exists() else None
        path.write_bytes((before or b"") + b"\n")
        assert check("-q")[3], name
        path.unlink() if before is None else path.write_bytes(before)
    check()
    (shop / "more.yml").write_text("segments: {}\n")
    assert check()[3]


def test_a_mistake_mended_and_made_again_is_found_each_time(cache, check):
    for broken in (True, False, True, False):
        write_shop(Path(), BROKEN if broken else "")
        assert check()[0] == int(broken)
        assert check()[0] == int(broken)


def test_another_folder_shows_other_paths(cache, check, monkeypatch):
    check()
    monkeypatch.chdir(Path("metrics"))
    _, shown, _, read = check()
    assert read and "metrics.yml" in shown


@pytest.mark.parametrize("part", ["__version__", "_LIBRARIES"])
def test_another_version_reads_again(cache, check, monkeypatch, part):
    check()
    monkeypatch.setattr(checked, part, {"__version__": "0.0.0", "_LIBRARIES": ("pydantic",)}[part])
    assert check()[3]


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"key": 1}'])
def test_a_damaged_entry_is_not_used(cache, check, damage):
    first = check()
    (entry,) = cache.iterdir()
    entry.write_text(damage)
    assert check() == first


def test_an_entry_whose_findings_were_edited_is_not_used(cache, check):
    first = check()
    (entry,) = cache.iterdir()
    data = json.loads(entry.read_text())
    data["checked"]["diagnostics"] = []
    entry.write_text(json.dumps(data))
    assert check() == first


def test_a_file_that_changes_while_it_is_checked_is_not_kept(cache, check, monkeypatch):
    from metricdef.cli import check as verb

    real = verb._checked

    def meanwhile(project, **options):
        found = real(project, **options)
        write_shop(Path(), "")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(verb, "_checked", meanwhile)
        assert check()[0] == 1
    assert not cache.exists()
    assert check()[0] == 0


def test_nothing_is_kept_where_that_is_not_wanted_or_not_possible(cache, check, monkeypatch, tmp_path):
    monkeypatch.setenv("METRICDEF_CACHE", "")
    assert check()[3] and check()[3]
    monkeypatch.setenv("METRICDEF_CACHE", str(tmp_path / "file" / "below"))
    (tmp_path / "file").write_text("")
    assert check()[3] and check()[0] == 1
    assert not cache.exists()


def test_by_default_it_is_kept_in_the_users_cache(cache, check, monkeypatch, tmp_path):
    monkeypatch.delenv("METRICDEF_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    check()
    assert [p.name[:6] for p in (tmp_path / "xdg" / "metricdef").iterdir()] == ["check-"]


def test_links_to_nowhere_and_files_that_go_are_no_fault(cache, check, monkeypatch):
    (Path("metrics") / ".#metrics.yml").symlink_to("nobody@nowhere")
    first = check()
    assert first[0] == 1 and check()[3] is False

    def gone(*_):
        raise FileNotFoundError

    with monkeypatch.context() as patch:
        patch.setattr(checked, "_files", gone)
        assert check()[0] == 1


def test_the_warehouse_is_always_asked(cache, check):
    check()
    assert check("--live")[3] and check("--live")[3]


def test_what_is_known_is_shown_without_the_large_libraries(cache, check):
    check()
    code = """
import sys
from metricdef.cli.main import main
code = main(["check"])
heavy = {"duckdb", "jinja2", "numpy", "pyarrow", "pydantic", "scipy", "sqlglot", "yaml"} & set(sys.modules)
print(sorted(heavy), code, file=sys.stderr)
"""
    env = {**os.environ, "PYTHONPATH": str(Path(checked.__file__).parents[2])}
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert shown.stderr.splitlines()[-1] == "[] 1"
