"""The compiled SQL, executed on DuckDB, against the brute-force oracle: every count and every moment."""

import os
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from oracle.cases import cases, random_case
from oracle.files import write_project, write_warehouse
from oracle.oracle import Case, MetricMoments, analyse

from metricdef.analysis.cells import Cells, read_cells
from metricdef.api import Project
from metricdef.compiler.render import render
from metricdef.errors import NotComputable
from metricdef.warehouses import connect, resolve_profile

CASES = int(os.environ.get("METRICDEF_ORACLE_CASES", "600"))
CHUNK = 50
EXAMPLES = 100
RTOL = 1e-9


def compile_and_run(case: Case, folder: Path) -> Cells:
    write_project(case, folder)
    write_warehouse(case, folder / "warehouse.duckdb")
    project = Project(folder)
    plan = project.plan(case.experiment, case.as_of.replace(tzinfo=UTC))
    settings = project.definitions.settings
    with connect(resolve_profile(None, settings.profiles, None, folder)) as warehouse:
        return read_cells(plan, warehouse.execute(render(plan, "duckdb").statements))


def assert_equal(case: Case, cells: Cells) -> int:
    """Compare everything; the number of blocks compared without their covariates."""
    want = analyse(case)
    shared = 0
    for arm, units in want.assigned.items():
        assert cells.count("units_assigned", arm) == units, f"assigned {arm}"
        assert cells.count("units_assigned", arm, mixed=True) == want.mixed[arm], f"mixed {arm}"
        assert cells.count("units_analysed", arm, mixed=False) == want.analysed[arm], f"analysed {arm}"
    for name in (
        "null_unit",
        "null_time",
        "before_start",
        "on_or_after_end",
        "after_as_of",
        "unknown_arm",
        "not_loaded",
    ):
        assert cells.audit(name) == want.excluded[name], name
    for metric in cells.plan.metrics:
        for (arm, mixed), moments in want.metrics[metric.name].items():
            where = f"{metric.name} of {arm}, mixed {mixed}"
            names = [*metric.columns, *metric.covariates]
            if len(names) != len(moments.columns):
                # An extra that names a value the metric already has: the plan holds it once, the oracle twice.
                assert len(names) < len(moments.columns), where
                names = list(metric.columns)
                shared += 1
            n = cells.eligible(metric.block, arm, with_mixed=True) - cells.eligible(metric.block, arm, with_mixed=False)
            if not mixed:
                n = cells.eligible(metric.block, arm, with_mixed=False)
            assert n == moments.n, where
            if moments.n == 0:
                continue
            at = list(range(len(names)))
            unique = list(dict.fromkeys(names))
            back = [unique.index(name) for name in names]
            try:
                got = _moments(cells, metric.block, arm, mixed, unique)
            except NotComputable as error:
                # Refused rather than wrong: an arm's mean so far from the pooled centre that its variance has no digits.
                assert error.reason == "ill_conditioned", where  # noqa: PT017 - most cases raise nothing
                assert _far_from_centre(cells, metric.block, unique, moments, names), where
                continue
            got_mean, got_comoment, got_third = got.mean[back], got.comoment[np.ix_(back, back)], got.third[back]
            comoment, third = moments.comoment[np.ix_(at, at)], moments.third[at]
            scale = np.maximum(moments.max_abs[at], 1e-300)
            spread = np.sqrt(np.maximum(np.diag(comoment), 0))
            np.testing.assert_allclose(got_mean, moments.mean[at], rtol=RTOL, atol=1e-12, err_msg=where)
            bound = RTOL * np.outer(spread, spread) + 1e-18 * moments.n * np.outer(scale, scale)
            assert (np.abs(got_comoment - comoment) <= RTOL * np.abs(comoment) + bound).all(), where
            cubes = RTOL * (np.abs(third) + spread**3) + 1e-18 * scale**3
            assert (np.abs(got_third - third) <= cubes).all(), where
            for field in ("max_abs", "nonzero", "capped"):
                np.testing.assert_allclose(
                    getattr(got, field)[back], getattr(moments, field)[at], rtol=RTOL, err_msg=f"{where}: {field}"
                )
    return shared


def _far_from_centre(
    cells: Cells, block_name: str, unique: list[str], moments: MetricMoments, names: list[str]
) -> bool:
    position = next(i for i, block in enumerate(cells.plan.blocks) if block.name == block_name)
    columns = [value.name for value in cells.plan.blocks[position].values]
    row = next(iter(cells.rows.values()))
    for name in unique:
        i = names.index(name)
        distance = float(row[f"c__b{position}_{columns.index(name)}"]) - moments.mean[i]
        if distance**2 > 0.99e6 * moments.comoment[i, i] / max(moments.n - 1, 1):
            return True
    return False


def _moments(cells: Cells, block: str, arm: str, mixed: bool, names: list[str]):
    if not mixed:
        return cells.moments(block, names, arm, with_mixed=False)
    only = replace(cells, groups=tuple(replace(group, mixed=False) for group in cells.groups if group.mixed))
    return only.moments(block, names, arm, with_mixed=False)


@pytest.mark.parametrize("start", range(0, CASES, CHUNK))
def test_generated_cases(start: int, tmp_path: Path) -> None:
    partial = 0
    for seed in range(start, start + CHUNK):
        case = random_case(seed)
        try:
            partial += bool(assert_equal(case, compile_and_run(case, tmp_path / str(seed))))
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
    assert partial < CHUNK / 4, "too few cases compared in full"


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(cases())
def test_hypothesis_finds_no_smaller_case(case: Case) -> None:
    """The same comparison on cases that hypothesis draws, so that a failure comes back as small as it gets."""
    with TemporaryDirectory() as folder:
        assert_equal(case, compile_and_run(case, Path(folder)))
