"""Loading: every kind of definition, every key placed, YAML read as people mean it."""

import json
import re
from pathlib import Path

import pytest

from metricdef.cli.main import main
from metricdef.definitions.load import load_project
from metricdef.definitions.yaml_source import parse_yaml

GRAMMAR = Path(__file__).resolve().parents[3] / "shared" / "design" / "grammar.md"

EVERYTHING = """\
version: 1
name: everything
entities: [user, shop]
dialect: duckdb
defaults:
  unit: user
  timezone: Europe/Berlin
  window: 14d
  immature: include
  confidence: 90%
  covariates: {lookback: 14d}
  multiplicity: {primary: holm, secondary: {method: bh}}
  srm_alpha: 0.0005
profiles:
  local: {type: duckdb, path: "${DATA:-data.duckdb}"}
  prod: {type: snowflake, account: "${ACCOUNT}", private_key_file: "${KEY}", schemas: {raw: RAW_PROD}}
default_profile: local
lint: {primary-without-mde: off}
min_units: 20
query_timeout: 10m
sources:
  assignments:
    kind: exposures
    table: raw.assignments
    timestamp: at_time
    timezone: America/New_York
    entities: {user: user_id, shop: shop_id}
    experiment: experiment
    arm: variant
    dimensions: [platform]
  orders:
    description: Order lines.
    sql: |
      SELECT user_id, shop_id, created, amount, discount, status, id, loaded
      FROM raw.orders
      WHERE amount < 10000
    timestamp: created
    loaded_at: loaded
    entities: {user: user_id, shop: shop_id}
    settles_after: 2d
    filter:
      - not status = 'test'
      - amount is not null
    measures:
      net: amount - coalesce(discount, 0)
      latency: amount * 2
    dimensions: {state: lower(status)}
    grain: id
    expect:
      not_null: [user_id]
      unique: [id]
      accepted: {status: [paid, open]}
      fresh_within: 6h
      max_late: 2d
  sessions: {table: raw.sessions, timestamp: started, partition: day, entities: {user: user_id, shop: shop_id}}
  users:
    kind: attributes
    table: raw.users
    entities: {user: user_id}
    valid_from: since
    valid_to: until
    dimensions: [country, age]
segments:
  web: {source: assignments, filter: platform = 'web'}
  german: {source: users, filter: country = 'DE'}
  buyers: {source: orders, filter: state = 'paid', lookback: 90d}
metrics:
  revenue: {type: mean, source: orders, agg: sum, measure: net, cap: {upper: p99.5, zeros: exclude}, direction: increase, format: currency:EUR}
  order_count: {type: mean, source: orders, agg: count, direction: increase, window: experiment}
  items: {type: mean, source: orders, agg: count_distinct, measure: net, direction: increase, window: last 7d}
  active: {type: mean, source: sessions, agg: active_days, per: day, direction: increase}
  first_amount: {type: mean, source: orders, agg: first, measure: net, missing: exclude, direction: increase}
  converted: {type: proportion, source: orders, filter: state = 'paid', direction: increase, covariates: off}
  big: {type: threshold, source: orders, agg: sum, measure: net, at_least: 200, direction: increase}
  back: {type: retention, source: sessions, window: 7d..14d, min_rows: 2, direction: increase}
  order_value: {type: ratio, numerator: revenue, denominator: {source: orders, agg: count}, direction: increase}
  refunds: {type: ratio, format: percent, numerator: {source: orders, agg: count, filter: state = 'refunded'}, denominator: order_count, direction: decrease}
  checkout:
    type: funnel
    order: sequential
    direction: increase
    steps:
      - {name: visit, source: sessions}
      - {name: pay, source: orders, filter: state = 'paid', within: 1h}
  both:
    type: funnel
    order: any
    direction: increase
    steps: [{name: visit, source: sessions}, {name: pay, source: orders, filter: state = 'paid'}]
  p95: {type: quantile, source: orders, measure: latency, quantile: p95, of: events, direction: decrease}
  median_spend: {type: quantile, source: orders, agg: sum, measure: net, quantile: p50, missing: zero, direction: increase}
  old: {type: proportion, source: orders, renamed_from: older, deprecated: {use: converted, since: 2026-01-01}, owner: ana, tags: [growth], label: Old}
metric_sets:
  health:
    guardrail:
      refunds: {margin: 0.3pp}
  speed:
    guardrail:
      p95: {margin: 5%}
experiments:
  price:
    label: New price
    owners: [pricing]
    status: running
    hypothesis: Cheaper sells more.
    unit: user
    exposure:
      source: assignments
      key: price_v2
      filter: platform is not null
      trigger: {source: sessions}
      mixed: first_arm
      assignment: sticky
    population: [web, german, buyers]
    arms:
      control: {share: 1/3, key: on}
      cheap: {share: 1/3, key: 1}
      cheaper: {share: 1/3, key: 010, description: Much cheaper.}
    ramp:
      - {from: 2026-09-01, shares: {control: 90%, cheap: 5%, cheaper: 5%}}
      - {from: 2026-09-05T12:00:00Z, shares: {control: 1/3, cheap: 1/3, cheaper: 1/3}}
    start: 2026-09-01
    end: 2026-10-01T00:00:00+02:00
    validation: {hold: 3d, srm_alpha: 0.1%, aa_lookback: 14d}
    metrics:
      primary: {converted: {mde: 2%}}
      secondary: {revenue: {mde: 1.5, equivalence: 1%}, order_value: , back: {mde: 1pp}}
      sets: [health]
    analysis:
      confidence: 95%
      alpha: {success: 2.5%, deterioration: 0.01}
      covariates: {lookback: 28d, extra: [order_count, users.age]}
      strata: [country]
      breakdowns: [assignments.platform]
      sensitivity: [unadjusted]
      multiplicity: {primary: {method: dunnett}, secondary: {method: fixed_sequence, order: [revenue, order_value, back]}}
      bayes: {prior: {relative: {mean: 0, sd: 5%}}}
    decision:
      ship: {primary: any_superior, guardrail: all_non_inferior, quality: all_pass}
      stop: {guardrail: any_inferior}
      practical: {converted: 0.2pp}
      authority: [council]
    prefer: [cheaper, cheap]
    amendments:
      - {on: 2026-09-10, by: ana, what: margin wider, why: agreed}
    flag: {provider: openfeature, key: price, rollback: off}
  early:
    owners: [pricing]
    status: draft
    hypothesis: Looks tell sooner.
    unit: user
    exposure: {source: assignments}
    arms: {control: {share: 50%}, cheap: {share: 50%}}
    start: 2026-09-01
    end: 2026-10-01
    metrics: {primary: {back: {mde: 1pp}}}
    analysis:
      sequential: {method: group_sequential, spending: obrien_fleming, looks: [23d, 44d], planned_units: 10000, futility: {spending: hwang_shih_decani, gamma: -2}}
    decision: {authority: [council]}
  shelves:
    owners: [stores]
    status: draft
    hypothesis: Wider aisles sell more.
    cluster: shop
    cluster_effect: per_cluster
    exposure: {source: assignments}
    arms: {control: , wide: }
    start: 2026-09-01
    end: 2026-10-01
    metrics: {primary: {converted: {mde: 2%}}, secondary: {checkout: , big: }}
  pages:
    owners: [web]
    status: draft
    hypothesis: Smaller pages load faster.
    exposure: {source: assignments}
    arms: {control: , small: }
    start: 2026-09-01
    end: 2026-10-01
    metrics: {primary: {converted: {mde: 2%}}, secondary: {median_spend: , first_amount: , active: , both: }, sets: [speed]}
tests:
  revenue_after_exposure:
    metric: revenue
    exposures: [{user: 1, arm: control, at: 2026-09-02}]
    given:
      orders: |
        user_id, created, amount
        1, 2026-09-03, 30
    expect: [{arm: control, n: 1, sum: 30}]
"""


def write(root: Path, text: str) -> Path:
    (root / "metrics").mkdir(parents=True, exist_ok=True)
    (root / "metrics" / "project.yml").write_text(text, encoding="utf-8")
    return root


def test_every_kind_and_field_loads_and_links(tmp_path):
    loaded = load_project(write(tmp_path, EVERYTHING))
    assert [d.message for d in loaded.errors] == []
    project = loaded.project
    assert set(project.metrics) == set(
        re.findall(r"^  (\w+):", EVERYTHING.split("metrics:\n")[1].split("metric_sets", maxsplit=1)[0], re.MULTILINE)
    )
    experiment = project.experiments["price"]
    assert [arm.key for arm in experiment.arms.values()] == ["on", "1", "010"]
    assert sum(experiment.shares.values()) == 1
    assert experiment.flag.rollback == "off"
    assert experiment.end.at("Europe/Berlin").isoformat() == "2026-09-30T22:00:00+00:00"
    assert project.metrics["converted"].covariates is None
    assert "covariates" in project.metrics["converted"].model_fields_set


def test_what_is_not_computed_yet_is_named_all_at_once(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(write(tmp_path, EVERYTHING))
    assert main(["compile", "price"]) == 2
    shown = capsys.readouterr().err
    refused = set(re.findall(r"error\[not-yet\]: (.*)", shown))
    for word in ("Bayesian", "dialect"):
        assert any(word in line for line in refused), word
    # `check` accepts the definitions and says the same as warnings.
    assert main(["check"]) == 0
    assert capsys.readouterr().out.count("warning[not-yet]") == len(re.findall(r"error\[not-yet\]", shown))


@pytest.mark.skipif(not GRAMMAR.is_file(), reason="the design documents are not beside this checkout")
def test_the_worked_example_of_the_grammar(tmp_path):
    for name, body in re.findall(r"`(metrics/[^`]+\.yml)`\n```yaml\n(.*?)```", GRAMMAR.read_text(), re.DOTALL):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)
    loaded = load_project(tmp_path)
    assert loaded.errors == ()
    assert (len(loaded.project.metrics), list(loaded.project.experiments)) == (13, ["one_page_checkout"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("No", "No"), ("true", True), ("False", False), ("12:30", "12:30"), ("010", "010"),
        ("0", 0), ("-7", -7), ("+3", 3), ("1e3", 1000.0), ("1.50", 1.5), (".5", 0.5), ("1_000", "1_000"), ("0x1f", "0x1f"), ("0o17", "0o17"),
        ("2026-09-01", "2026-09-01"), ("2026-09-01 12:00:00", "2026-09-01 12:00:00"), ("~", None), ("null", None), ("", None), ("'1'", "1"),
        ('"true"', "true"), ("1.2.3", "1.2.3"), ("e5", "e5"), (".", "."), ("=", "="), (".inf", ".inf"), (".nan", ".nan"),
    ],
)  # fmt: skip
def test_scalars_mean_what_people_read(text, value):
    document = parse_yaml("x.yml", f"key: {text}\n")
    assert document.diagnostics == []
    assert document.data == {"key": value}
    assert type(document.data["key"]) is type(value)


def test_every_key_and_value_has_its_place(tmp_path):
    document = parse_yaml("x.yml", EVERYTHING)
    lines = EVERYTHING.splitlines()

    def walk(node, path):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            here = (*path, key)
            if isinstance(node, dict):
                place = document.place(here, key=True)
                assert lines[place.line - 1][place.column - 1 :].startswith(str(key)), here
            if isinstance(value, dict | list):
                walk(value, here)
            elif isinstance(value, str) and "\n" not in value and value:
                place = document.place(here)
                assert value in lines[place.line - 1][place.column - 1 :], here
                assert place.length >= len(value), here

    walk(document.data, ())


def test_json_output_is_one_document_with_places(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(
        write(tmp_path, EVERYTHING.replace("agg: sum, measure: net, cap", "agg: sum, measure: nett, cap"))
    )
    assert main(["check", "--format", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["version"] == 1
    (found,) = [d for d in document["diagnostics"] if d["severity"] == "error"]
    assert (found["rule"], found["file"]) == ("unknown-measure", "metrics/project.yml")
    assert EVERYTHING.splitlines()[found["line"] - 1][found["column"] - 1 :].startswith("net,")
    assert document["summary"]["errors"] == 1


def test_a_broken_definition_hides_no_other_and_causes_no_more(tmp_path):
    text = EVERYTHING.replace(
        "type: mean, source: orders, agg: sum, measure: net, cap",
        "type: mean, source: orders, aggg: sum, measure: net, cap",
    )
    text = text.replace("margin: 0.3pp", "margin: -1")
    loaded = load_project(write(tmp_path, text))
    # `revenue` lacks agg and has aggg; nothing is said about the ratio and the experiment that use it.
    assert sorted(d.rule for d in loaded.errors) == ["invalid-value", "unknown-key"]


def test_a_line_break_in_a_key_is_said(tmp_path):
    text = EVERYTHING.replace("key: price_v2", 'key: "check\\nout"')
    (found,) = load_project(write(tmp_path, text)).errors
    assert found.message == r"`check\nout` is not a key"
    assert found.help == ("it must be one line, without characters that can't be seen",)


def test_not_utf8_is_said(tmp_path):
    write(tmp_path, EVERYTHING)
    (tmp_path / "metrics" / "latin.yml").write_bytes("metrics: {caf\xe9: 1}".encode("latin-1"))
    assert [d.message for d in load_project(tmp_path).errors] == ["the file is not UTF-8 text"]


def test_an_old_name_belongs_to_one_metric(tmp_path):
    twice = METRICS_OF_NAMES.format(first="older", second="older")
    found = load_project(write(tmp_path, twice)).errors
    assert [(d.rule, d.place.line) for d in found] == [("renamed-from", 12), ("renamed-from", 13)]
    there = METRICS_OF_NAMES.format(first="b", second="older")
    (found,) = load_project(write(tmp_path, there)).errors
    assert "`b`, which is still there" in found.message
    assert not load_project(write(tmp_path, METRICS_OF_NAMES.format(first="older", second="oldest"))).errors


METRICS_OF_NAMES = """\
version: 1
name: names
entities: [user]
profiles:
  local: {{type: duckdb, path: x.duckdb}}
sources:
  orders:
    table: orders
    timestamp: at
    entities: {{user: user_id}}
metrics:
  a: {{type: proportion, source: orders, direction: increase, renamed_from: {first}}}
  b: {{type: proportion, source: orders, direction: increase, renamed_from: {second}}}
"""
