"""Queries are tried on every kind of store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.store import StoreAddress
from tests.store.conftest import KINDS, Influx


@pytest.fixture(params=sorted(KINDS))
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreAddress]:
    """Where a new store is, of the kind under test."""
    if request.param == "sqlite":
        yield tmp_path / "store.sqlite"
        return
    store = Influx(tmp_path)
    yield store.address
    store.close()
