"""The Dockerfile, without an engine: what hadolint says, and what must not be in it. How it was built: docs/how-to/vps.md."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.site import ROOT

TEXT = (ROOT / "Dockerfile").read_text()
LAST = TEXT.rpartition("\nFROM ")[2]


@pytest.mark.slow
def test_hadolint_finds_nothing():
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_bases_can_be_given_by_digest():
    assert re.findall(r"^FROM (\S+)", TEXT, re.MULTILINE) == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]
    assert TEXT.index("ARG PYTHON_IMAGE=") < TEXT.index("\nFROM ")


def test_what_is_fetched_is_checked_against_the_lock():
    assert "--require-hashes" in TEXT and "--only-binary :all:" in TEXT and TEXT.count("--no-index") == 2
    assert "==" not in TEXT and "index-url" not in TEXT


def test_the_last_stage_runs_as_our_user_and_builds_nothing():
    assert "USER 10001:10001" in LAST and 'ENTRYPOINT ["heatpump"]' in LAST and "HEALTHCHECK" in LAST
    assert not re.search(r"\b(pip|apt-get|gcc)\b", LAST)


def test_only_what_is_named_goes_to_the_builder():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    copied = {word for line in re.findall(r"^COPY (?!--)(.+)$", TEXT, re.MULTILINE) for word in line.split()[:-1]}
    assert {line[1:] for line in lines if line.startswith("!")} == copied
