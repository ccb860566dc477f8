"""The order in which a full run begins its files."""

from pathlib import Path

from tests.effort import LONGEST


def test_every_file_that_is_begun_early_is_there():
    assert [name for name in LONGEST if not Path(__file__).parent.joinpath(f"{name}.py").exists()] == []
