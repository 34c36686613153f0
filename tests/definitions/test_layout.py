"""`fmt`: the same definitions and comments in one layout, and nothing else."""

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rule_shop import SHOP

from metricdef.definitions.layout import comments, lay_out
from metricdef.definitions.yaml_source import parse_yaml
from metricdef.errors import DefinitionErrors, UsageError


def laid_out(text, file="metrics/a.yml"):
    text = textwrap.dedent(text).lstrip("\n")
    found = lay_out(file, text)
    assert lay_out(file, found) == found
    assert parse_yaml(file, found).data == parse_yaml(file, text.replace("\r\n", "\n")).data
    return found


def same(text):
    return textwrap.dedent(text).lstrip("\n")


def test_keys_come_in_their_order_and_names_stay():
    text = """
    experiments:
      b:
        end: 2026-02-01
        arms: {z: {key: 1, share: 50%}, a: {share: 50%}}
        start: 2026-01-01
        owners: [x]
    metrics:
      z:
        direction: increase
        source: orders
        type: proportion
      a: {direction: increase, type: mean, agg: sum, source: orders, measure: m}
    """
    assert laid_out(text) == same("""
    metrics:
      z:
        type: proportion
        source: orders
        direction: increase
      a: {type: mean, source: orders, agg: sum, measure: m, direction: increase}
    experiments:
      b:
        owners: [x]
        arms: {z: {share: 50%, key: 1}, a: {share: 50%}}
        start: 2026-01-01
        end: 2026-02-01
    """)


def test_comments_go_with_what_they_are_about():
    text = """
    # the file
    metrics:

      # about a
      a:   # a's line
        # about direction
        direction: increase   # up

        # about type
        # on two lines
        type: proportion
        source:  orders
        # window: 7d
      # about b
      b: {type: proportion,  source: orders}
    # the end
    """
    assert laid_out(text) == same("""
    # the file
    metrics:

      # about a
      a:   # a's line
        # about type
        # on two lines
        type: proportion
        source: orders

        # about direction
        direction: increase   # up
        # window: 7d
      # about b
      b: {type: proportion, source: orders}
    # the end
    """)


def test_indentation_is_two_spaces_also_of_lists_and_texts():
    text = """
    metrics:
        path:
            type: funnel
            description: >
                    Two
                    lines,

                      and more.
            steps:
            - name: a
              source: orders
              # inside
            # about b
            -   source: orders
                name:   b
                filter:
                - x = 1
                -   y = 2
            direction: increase
    """
    assert laid_out(text) == same("""
    metrics:
      path:
        description: >
          Two
          lines,

            and more.
        type: funnel
        steps:
          - name: a
            source: orders
            # inside
          # about b
          - name: b
            source: orders
            filter:
              - x = 1
              - y = 2
        direction: increase
    """)


def test_rows_of_csv_keep_every_space():
    text = """
    tests:
        t:
            given:
                orders: |
                    user_id,  amount  # no comment
                    1,        20

                    2,        30
            metric: m
    """
    assert laid_out(text) == same("""
    tests:
      t:
        metric: m
        given:
          orders: |
            user_id,  amount  # no comment
            1,        20

            2,        30
    """)


@pytest.mark.parametrize(
    "text",
    [
        "sources:\n  s:\n    sql: |2\n        SELECT a\n      FROM b\n    timestamp: at\n",
        "sources:\n  s:\n    sql: |-\n      SELECT a\n\n\n    timestamp: at\n",
        "sources:\n  s:\n    sql: |+  # kept\n      SELECT a\n\n\n    timestamp: at\n",
        "sources:\n  s:\n    description: a text that\n        goes on\n\n      for long  # said\n    timestamp: at\n",
        'sources:\n  s:\n    description: "a text that\n        goes on"  # said\n    timestamp: at\n',
        "sources:\n  s:\n    timestamp:\n      at  # late\n    table:\n      # where\n      orders\n",
        "sources:\n  s:\n    dimensions: [a,\n      b,   # b\n        c]\n    table: t\n",
        "sources:\n  s: {table: t,\n    timestamp: at}  # end\n  u: {}\n  v:\n",
        "sources:\n  s:\n    'table': t\n    \"timestamp\" : at\n    url: http://x#y\n    note: 'a # b'   # c\n",
        "metrics:\n  a:\n    type: mean\n\n\n\n  b:\n    type: mean\n\n\n",
        "segments:\n  a:\n    filter:\n    -\n      # one\n      x = 1\n".replace(
            "-\n      # one\n      x = 1", "- x = 1  # one"
        ),
        "tests:\n  t:\n    expect:\n      - # first\n        arm: control\n        n: 1\n      -\n        arm: b\n",
        "\ufeffmetrics:\r\n  a:\r\n    type: mean  # x\r\n",
    ],
)
def test_odd_layouts_say_the_same_afterwards(text):
    found = lay_out("metrics/a.yml", text)
    plain = text.removeprefix("\ufeff").replace("\r\n", "\n")
    assert parse_yaml("a", found).data == parse_yaml("a", plain).data
    assert comments(found) == comments(plain)
    assert lay_out("metrics/a.yml", found) == found
    assert found.count("\n\n") <= plain.count("\n\n")


def test_blank_lines_stay_also_where_another_key_comes_first():
    text = "metrics:\n  a:\n    direction: increase\n\n    type: mean\n"
    assert laid_out(text) == "metrics:\n  a:\n    type: mean\n\n    direction: increase\n"


def test_project_settings_have_an_order_of_their_own():
    text = "profiles: {local: {path: a, type: duckdb}}\nname: shop\nversion: 1\nentities: [user]\n"
    assert laid_out(text, "metrics/project.yml") == (
        "version: 1\nname: shop\nentities: [user]\nprofiles: {local: {path: a, type: duckdb}}\n"
    )


def test_unknown_keys_stay_behind_the_others():
    text = "metrics:\n  a: {colour: red, direction: increase, type: mean}\n"
    assert laid_out(text) == "metrics:\n  a: {type: mean, direction: increase, colour: red}\n"


@pytest.mark.parametrize("text", ["metrics:\n  a: {", "metrics:\n  a:\n  a:\n", "- a\n", "a: &x 1\nb: *x\n"])
def test_what_cannot_be_read_is_refused_with_the_error(text):
    with pytest.raises(DefinitionErrors):
        lay_out("metrics/a.yml", text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("metrics: {}\n...\n", 2),
        ("{metrics: {}}\n", 1),
        ("metrics:\n  a:\n    ? type\n    : mean\n", 3),
        ("---\nmetrics: {}\n\x85\n", 3),
    ],
)
def test_what_is_too_unusual_stays_as_it_is_and_is_named(text, line):
    with pytest.raises(UsageError, match=rf"^metrics/a\.yml:{line}: "):
        lay_out("metrics/a.yml", text)


def test_a_beginning_of_the_document_stays_at_the_top():
    text = "# ours\n\n---\n# a\nmetrics:\n  a: {source: s,  type: mean}\n"
    assert laid_out(text) == "# ours\n\n---\n# a\nmetrics:\n  a: {type: mean, source: s}\n"


def test_a_file_with_comments_only_stays_as_it_is():
    assert lay_out("metrics/a.yml", "# later\n\n") == "# later\n\n"


# --- any layout of the shop -------------------------------------------------------------------------------------------

DATA = parse_yaml("shop.yml", SHOP).data
NOTES = st.sampled_from(["", "", "", "  # note", "# 'quote", "   # {brace: }"])
BETWEEN = st.lists(st.sampled_from(["", "# alone", "  # deeper", "# - a: b"]), max_size=2)


def scalar(value):
    return (
        str(value).lower() if isinstance(value, bool) else str(value) if not isinstance(value, str) else quoted(value)
    )


def quoted(text):
    return text if parse_yaml("a", f"k: [{text}]").data.get("k") == [text] else "'" + text.replace("'", "''") + "'"


def flow(draw, value):
    if isinstance(value, dict):
        keys = draw(st.permutations(list(value))) if draw(st.booleans()) else list(value)
        gap = draw(st.sampled_from(["", " "]))
        return (
            "{"
            + gap
            + ", ".join(f"{k}:{draw(st.sampled_from([' ', '  ']))}{flow(draw, value[k])}" for k in keys)
            + gap
            + "}"
        )
    if isinstance(value, list):
        return "[" + draw(st.sampled_from([", ", ",  "])).join(flow(draw, item) for item in value) + "]"
    return "" if value is None else scalar(value)


def block(draw, value, indent):
    """Lines of a map or list in some layout."""
    step, lines = draw(st.sampled_from([2, 3, 4])), []
    for key in value if isinstance(value, dict) else range(len(value)):
        item = value[key]
        lines += [" " * indent + line if line else "" for line in draw(BETWEEN)]
        head = f"{' ' * indent}{key}:" if isinstance(value, dict) else f"{' ' * indent}-"
        note = draw(NOTES)
        if isinstance(item, dict | list) and item and draw(st.booleans()):
            lines.append(f"{head} {note.strip()}".rstrip())
            lines += block(draw, item, indent + step)
        else:
            lines.append(f"{head} {flow(draw, item)} {note}".rstrip())
    return lines


@st.composite
def layouts(draw):
    kinds = draw(st.lists(st.sampled_from(list(DATA)), min_size=1, max_size=4, unique=True))
    data = {}
    for kind in kinds:
        value = DATA[kind]
        if isinstance(value, dict):
            value = {
                name: {k: item[k] for k in draw(st.permutations(list(item)))} if isinstance(item, dict) else item
                for name, item in value.items()
            }
        data[kind] = value
    return "\n".join(block(draw, data, 0)) + draw(st.sampled_from(["", "\n", "\n\n", "\n# end\n"]))


@given(layouts())
def test_any_layout_becomes_one_that_says_the_same(text):
    before = parse_yaml("metrics/a.yml", text)
    assert not before.diagnostics, text
    found = lay_out("metrics/a.yml", text)
    after = parse_yaml("metrics/a.yml", found)
    assert after.data == before.data
    assert comments(found) == comments(text)
    assert lay_out("metrics/a.yml", found) == found
    for kind, definitions in before.data.items():
        if isinstance(definitions, dict) and kind != "defaults":
            assert list(after.data[kind]) == list(definitions)
    arms = [e["arms"] for e in after.data.get("experiments", {}).values() if "arms" in e]
    assert all(
        list(a) == list(b["arms"]) for a, b in zip(arms, before.data.get("experiments", {}).values(), strict=True)
    )
