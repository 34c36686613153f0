"""The examples of docs/planning.md give what stands beside them."""

import doctest

from tests.docs.documents import REPOSITORY


def test_the_examples_of_the_page_on_planning():
    found = doctest.testfile(str(REPOSITORY / "docs" / "planning.md"), module_relative=False)
    assert found.attempted > 25
    assert found.failed == 0
