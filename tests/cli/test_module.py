"""`python -m metricdef` is the command line, with its exit codes."""

import subprocess
import sys


def test_the_module_runs_the_command_line(tmp_path):
    found = subprocess.run(
        [sys.executable, "-m", "metricdef", "--version"], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout.split()[0]) == (0, "metricdef")
    assert subprocess.run(
        [sys.executable, "-m", "metricdef", "check"], cwd=tmp_path, capture_output=True, check=False
    ).returncode
