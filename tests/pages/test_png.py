"""The picture of a plot as PNG, drawn by the library of the extra."""

from importlib.util import find_spec

import pytest

from metricdef.errors import UsageError
from metricdef.reports.plot_file import plot_bytes
from tests.pages.conftest import absent
from tests.reports.sample import readout


def test_a_png_is_twice_as_wide_and_not_blank(tmp_path):
    if find_spec("resvg_py") is None:
        absent("the extra `png` is not installed")
    png = plot_bytes(readout(), tmp_path / "x.png")
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(png[16:20], "big") == 2 * 860
    assert len(png) > 10_000


def test_without_the_extra_the_message_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "resvg_py", None)
    with pytest.raises(UsageError) as error:
        plot_bytes(readout(), tmp_path / "x.png")
    assert 'pip install "metricdef[png]"' in error.value.help
