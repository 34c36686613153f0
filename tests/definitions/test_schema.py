"""JSON Schemas: whole, with a text and an example for every field, and of one mind with `check`."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
from rule_shop import SHOP, write_shop

from metricdef.cli.schema import schema_text
from metricdef.definitions.field_notes import field_notes
from metricdef.definitions.load import KINDS, load_project
from metricdef.definitions.rules import read_rules
from metricdef.definitions.schema import SCHEMAS, make_schema, names_of
from metricdef.definitions.yaml_source import parse_yaml
from metricdef.metrics import TYPES

plain_schema = cache(make_schema)
ROOT = Path(__file__).resolve().parents[2]


def fields(schema):
    for name, definition in schema["definitions"].items():
        for field, what in definition.get("properties", {}).items():
            yield f"{name}.{field}", what


def shows_what_is_meant(what):
    options = [what, *what.get("anyOf", ()), *what.get("allOf", ())]
    return any("examples" in o or "enum" in o or "const" in o or o.get("type") == "boolean" for o in options)


@pytest.mark.parametrize("which", SCHEMAS)
def test_every_field_has_a_text_and_an_example(which):
    for name, what in fields(plain_schema(which)):
        assert what.get("description", "").endswith((".", "`")), name
        assert shows_what_is_meant(what), name


def test_every_note_is_about_a_field():
    schema = plain_schema("project")
    known = {name for name, _ in fields(schema)} | {f"ProjectSettings.{name}" for name in schema["properties"]}
    types = [model.__name__ for model in TYPES.values()]
    for model, notes in field_notes().items():
        for field in notes:
            wanted = [f"{t}.{field}" for t in types] if model == "Metric" else [f"{model}.{field}"]
            assert set(wanted) & known, (model, field)


@pytest.mark.parametrize("which", SCHEMAS)
def test_the_committed_schemas_are_current(which):
    path = ROOT / "metrics" / ".schemas" / f"{which}.json"
    assert path.read_text(encoding="utf-8") == schema_text(which, names_of(load_project(ROOT).project)), (
        "write them anew: metricdef schema --project . -o metrics/.schemas"
    )


# --- a small validator: what a language server does with the keywords that the schemas use ------------------------------


def faults(schema, value, root, at="$"):
    if "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rpartition("/")[2]]
    found = []
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    if "type" in schema:
        names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]

        def is_a(name):
            if name in ("number", "integer"):
                return isinstance(value, int if name == "integer" else (int, float)) and not isinstance(value, bool)
            return isinstance(value, kinds[name])

        if not any(is_a(name) for name in names):
            return [f"{at}: not {schema['type']}"]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at}: not in enum")
    if "const" in schema and value != schema["const"]:
        found.append(f"{at}: not const")
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{at}: pattern")
    if isinstance(value, str) and len(value) > schema.get("maxLength", 10**9):
        found.append(f"{at}: length")
    if isinstance(value, int | float) and not isinstance(value, bool) and value < schema.get("minimum", value):
        found.append(f"{at}: minimum")
    if isinstance(value, dict):
        found += [f"{at}: missing {key}" for key in schema.get("required", ()) if key not in value]
        for key, item in value.items():
            found += faults(schema.get("propertyNames", {}), key, root, f"{at}.{key}")
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties", True))
            if inner is False:
                found.append(f"{at}: unknown {key}")
            elif inner is not True:
                found += faults(inner, item, root, f"{at}.{key}")
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        found += [f for i, item in enumerate(value) for f in faults(schema["items"], item, root, f"{at}[{i}]")]
    for part in schema.get("allOf", ()):
        found += faults(part, value, root, at)
    if "if" in schema and not faults(schema["if"], value, root, at):
        found += faults(schema["then"], value, root, at)
    if "anyOf" in schema:
        options = [faults(option, value, root, at) for option in schema["anyOf"]]
        found += min(options, key=len) if all(options) else []
    return found


def file_faults(text):
    """Of a text that may hold settings and definitions."""
    schema = plain_schema("project")
    return faults(schema, parse_yaml("project.yml", text).data, schema)


def test_the_shop_is_right():
    assert file_faults(SHOP) == []


FILES = [
    *sorted((ROOT / "metrics").rglob("*.yml")),
    *sorted((ROOT / "benchmarks" / "project" / "metrics").rglob("*.yml")),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_check_are_right_by_the_schema(path):
    schema = plain_schema("project" if path.name == "project.yml" else "definitions")
    assert faults(schema, parse_yaml(path.name, path.read_text()).data, schema) == []


def _whole(rule, change):
    """The shop with a page's example in it."""
    return rule.live or rule.by_hand or bool(parse_yaml("a.yml", change).diagnostics)


@pytest.mark.parametrize("name", [n for n, r in read_rules().items() if not _whole(r, r.right)])
def test_right_examples_are_right_by_the_schema(name, tmp_path):
    write_shop(tmp_path, read_rules()[name].right)
    for path in (tmp_path / "metrics").glob("*.yml"):
        schema = plain_schema("project" if path.name == "project.yml" else "definitions")
        assert faults(schema, parse_yaml(path.name, path.read_text()).data, schema) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("filter: status = 'paid'", "fliter: status = 'paid'"),
        ("agg: sum", "agg: avg"),
        ("agg: sum,", ""),
        ("window: 14d", "window: 14 days"),
        ("share: 50%", "share: 0.5"),
        ("margin: 0.3pp", "margin: -1"),
        ("status: draft", "status: drafted"),
        ("start: 2026-09-01", "start: 1 September"),
        ("type: mean", "type: average"),
        ("  web: {", "  Web-1: {"),
        ("version: 1", "version: 2"),
    ],
)
def test_slips_are_faults_by_the_schema(old, new):
    assert old in SHOP
    assert file_faults(SHOP.replace(old, new))


def test_kinds_stand_in_both():
    for which in SCHEMAS:
        assert set(KINDS) <= set(plain_schema(which)["properties"])


def test_a_project_offers_its_names_and_demands_none(tmp_path):
    write_shop(tmp_path)
    schema = make_schema("definitions", names_of(load_project(tmp_path).project))
    primary = schema["definitions"]["Outcomes"]["properties"]["primary"]
    assert set(primary["properties"]) == {"buyers", "orders_placed", "refunds", "revenue"}
    source = schema["definitions"]["MeanMetric"]["properties"]["source"]
    assert {"enum": ["assignments", "orders", "users"]} in source["anyOf"]
    new = parse_yaml("a.yml", "metrics: {new: {type: proportion, source: not_there_yet}}").data
    assert faults(schema, new, schema) == []


def test_schemas_are_plain_json():
    for which in SCHEMAS:
        text = schema_text(which)
        assert json.loads(text)["$schema"].endswith("draft-07/schema#")
        assert "$defs" not in text and '"title": "' in text and "discriminator" not in text
