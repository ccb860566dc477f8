"""A folder for a journal; what tests open of small journals is closed after them."""

import pytest

from tests.journal.small import opened


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "journal"


@pytest.fixture(autouse=True)
def _close_journals():
    yield
    while opened:
        opened.pop().close()
