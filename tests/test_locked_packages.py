"""Lists of pinned packages hold names, versions and hashes: where they come from is the machine's affair."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLACES = (
    "requirements/*.txt",
    "tests/*/requirements.txt",
    "tests/engines/*/requirements.txt",
    "tests/*/package-lock.json",
)
LISTS = sorted(path for place in PLACES for path in ROOT.glob(place))


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_list_of_packages_records_no_address(path):
    assert "://" not in path.read_text(encoding="utf-8")


def test_there_are_such_lists():
    assert {path.name for path in LISTS} >= {"run.txt", "requirements.txt", "package-lock.json"}
