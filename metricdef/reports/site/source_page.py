"""What the page of a source says of it, line by line."""

from __future__ import annotations

from metricdef.definitions.models import Source


def source_facts(source: Source) -> list[tuple[str, str]]:
    """Names and values of what is stated."""
    expect = source.expect
    found: list[tuple[str, str | None]] = [
        ("Units", ", ".join(f"{entity}: {column}" for entity, column in source.entities.items())),
        ("Time of a row", source.timestamp),
        ("Time zone", source.timezone),
        ("Arrives", source.loaded_at),
        ("Settles after", source.settles_after.text if source.settles_after else None),
        ("Partition", source.partition),
        ("Valid from", source.valid_from),
        ("Valid to", source.valid_to),
        ("Experiment", source.experiment),
        ("Arm", source.arm),
        ("Only rows with", " and ".join(source.filter) or None),
        ("One row per", source.grain),
        ("SQL dialect", source.dialect),
    ]
    if expect is not None:
        found += [
            ("Never NULL", ", ".join(expect.not_null) or None),
            ("Unique", ", ".join(expect.unique) or None),
            ("Fresh within", expect.fresh_within.text if expect.fresh_within else None),
            ("Late at most", expect.max_late.text if expect.max_late else None),
        ]
        found += [(f"Values of {column}", ", ".join(map(str, values))) for column, values in expect.accepted.items()]
    return [(name, value) for name, value in found if value]
