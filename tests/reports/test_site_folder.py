"""Where a site is put, and that nothing else is ever overwritten."""

import os

import pytest

from metricdef.errors import UsageError
from metricdef.reports.site.folder import MARKER, write_site

PAGES = [("index.html", "one"), ("metrics/a.html", "two")]


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_it_replaces_its_own_folder_as_a_whole(tmp_path):
    folder = tmp_path / "deep" / "site"
    assert write_site(folder, PAGES) == 2
    (folder / "metrics" / "stale.html").write_text("gone")
    write_site(folder, [("index.html", "new")])
    assert {name: text for name, text in files(folder).items() if name != MARKER} == {"index.html": "new"}
    assert [path.name for path in folder.parent.iterdir()] == ["site"]
    assert folder.stat().st_mode & 0o777 == 0o755


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "site").mkdir()
    write_site(tmp_path / "site", PAGES)
    assert "index.html" in files(tmp_path / "site")


@pytest.mark.parametrize("name", ["notes.txt", "index.html", ".git/config"])
def test_what_it_did_not_write_stays(tmp_path, name):
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(UsageError, match="did not write"):
        write_site(tmp_path / "mine", PAGES)
    assert path.read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "site").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        write_site(tmp_path / "site", PAGES)


def test_the_old_site_stays_where_the_new_one_fails(tmp_path):
    def pages():
        yield "index.html", "half"
        raise RuntimeError

    write_site(tmp_path / "site", PAGES)
    with pytest.raises(RuntimeError):
        write_site(tmp_path / "site", pages())
    assert files(tmp_path / "site")["index.html"] == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_two_pages_of_one_name_are_a_fault(tmp_path):
    with pytest.raises(FileExistsError):
        write_site(tmp_path / "site", [("a.html", "1"), ("a.html", "2")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_to_a_site_stays_a_link(tmp_path):
    write_site(tmp_path / "site", PAGES)
    (tmp_path / "link").symlink_to(tmp_path / "site")
    write_site(tmp_path / "link", [("index.html", "new")])
    assert (tmp_path / "link").is_symlink()
    assert files(tmp_path / "site")["index.html"] == "new"
