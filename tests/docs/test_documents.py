"""The reader of the documents and the conventions of their examples, on small examples of their own."""

import pytest

from tests.docs.documents import anchors, link_fault, links, read
from tests.docs.test_docs import commands, installation_fault, kinds, prepare


@pytest.fixture
def document(tmp_path):
    def write(text, name="page.md"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return read(path)

    return write


def test_blocks_carry_language_line_code_and_directives(document):
    page = document("Text\n\n<!-- file: a.yml -->\n\n```yaml title\na: 1\n```\n\n~~~\nplain\n~~~\n")
    first, second = page.blocks
    assert (first.language, first.code, first.line, first.directives) == ("yaml", "a: 1\n", 5, {"file": "a.yml"})
    assert (second.language, second.code, second.directives) == ("", "plain\n", {})
    assert page.faults == ()


def test_a_fence_inside_a_longer_fence_is_code(document):
    (block,) = document("````markdown\n```sql\nSELECT\n```\n````\n").blocks
    assert block.code == "```sql\nSELECT\n```\n"


def test_an_indented_block_loses_its_indent(document):
    (block,) = document("- item\n\n  ```sh\n  ls\n    -l\n  ```\n").blocks
    assert block.code == "ls\n  -l\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("<!-- file: a.yml -->\nwords\n", "line 2: file must stand right before a fenced block"),
        ("<!-- not run: -->\n```sh\nls\n```\n", "line 1: 'not run' needs a value"),
        ("<!-- nut run: x -->\n```sh\nls\n```\n", "line 1: unknown directive 'nut run'"),
        ("```sh\nls\n", "line 1: the fence is never closed"),
        ("<!-- file: a.yml -->\n", "last line: file must stand right before a fenced block"),
    ],
)
def test_a_misused_directive_is_a_fault(document, text, fault):
    assert document(text).faults[0].startswith(fault)


def test_ordinary_comments_are_no_directives(document):
    assert document("<!-- a remark -->\nwords\n").faults == ()


def test_links_are_found_outside_code_and_addresses_are_left_alone(document):
    page = document(
        '[a](a.md) ![b](b%20c.png "title") [web](https://example.com) `[no](code.md)` [m](mailto:a@example.com)\n'
        '```\n[no](fence.md)\n```\n[ref]: r.md\n<img src="i.svg"> [[x] y](n.md#h)\n'
    )
    assert [target for _, target in links(page)] == ["a.md", "b c.png", "r.md", "n.md#h", "i.svg"]


def test_link_faults(document):
    other = document("# One thing, `two`\n\n## Again\n\n## Again\n", name="other.md")
    assert anchors(other) == {"one-thing-two", "again", "again-1"}
    page = document("# Here\n")
    assert link_fault(page, "other.md#one-thing-two") is None
    assert link_fault(page, "#here") is None
    assert link_fault(page, "other.md#three") == "has no heading 'three'"
    assert link_fault(page, "missing.md") == "does not exist"
    assert link_fault(page, "/other.md") == "is absolute; links inside the repository are relative"


def test_kinds_of_definitions(document):
    metric, other = document("```yaml\nmetrics:\n  a: {}\n```\n```yaml\n- on: push\n```\n").blocks
    assert kinds(metric) == {"metrics"}
    assert kinds(other) == set()


def test_a_console_block_is_its_commands():
    assert commands(["$ metricdef check \\", ">   -q", "3 metrics", "$ ls"]) == ["metricdef check \\", "  -q", "ls"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("metricdef check", None),
        ("echo make nonsense", None),
        ("make demo  # a minute", ""),
        ("make demo DEMO=elsewhere -s", ""),
        ("make nonsense", "make has no target 'nonsense'"),
        ("pip install metricdef", ""),
        ("pip install 'metricdef[postgres,spark]'", ""),
        ("python -m pip install metricdef[oracle]", "there is no extra 'oracle'"),
        ("git clone ADDRESS", ""),
    ],
)
def test_lines_that_install_are_checked_instead_of_run(line, fault):
    assert installation_fault(line) == fault


def test_a_script_keeps_the_ordinary_lines(document):
    (block,) = document("```sh\ncd metricdef\nmake demo\nls\nmake nonsense\n```\n").blocks
    assert prepare(block) == ("ls", ["make has no target 'nonsense'"])
