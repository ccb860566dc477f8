"""What a script takes from the project is there: a benchmark that nobody runs for a while must still begin."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
BEGIN = "import runpy, sys; sys.path.insert(0, sys.argv[1]); runpy.run_path(sys.argv[2], run_name='script')"

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.glob("*.py")))
def test_every_script_finds_what_it_imports(script):
    command = [sys.executable, "-c", BEGIN, str(SCRIPTS), str(SCRIPTS / script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
