"""Without a real InfluxDB what is not tried is said at the end of the run, and how to try it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.heatpump import clean_environment

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_a_run_without_a_server_ends_in_a_line_that_says_what_was_not_tried():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/influx/test_culprits.py"]
    done = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    told = re.search(r"NOT TRIED: (\d+) tests need a real InfluxDB 2", done.stdout)
    assert told and f"{told[1]} skipped" in done.stdout
    assert "HEATPUMP_TEST_INFLUXDB_URL=http" in done.stdout and "HEATPUMP_TEST_INFLUXDB_TOKEN=" in done.stdout
