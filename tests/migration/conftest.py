"""Stores to migrate between: those of the conformance suite."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.influx.real import TOKEN, URL
from tests.pipeline.conftest import record
from tests.store.conftest import KINDS, StoreUnderTest

__all__ = ["record"]

WAYS = [(source, target) for source in sorted(KINDS) for target in sorted(KINDS) if source != target]
Pair = tuple[StoreUnderTest, StoreUnderTest]


@pytest.fixture(params=WAYS, ids="-to-".join)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """A source and a target of different kinds, both empty."""
    made = []
    for name, kind in zip(("source", "target"), request.param, strict=True):
        (tmp_path / name).mkdir()
        made.append(KINDS[kind](tmp_path / name))
    yield made[0], made[1]
    for store in made:
        store.close()


@pytest.fixture
def server() -> Callable[[StoreUnderTest], dict[str, str]]:
    """Gives the settings that name a server store."""

    def settings(store: StoreUnderTest) -> dict[str, str]:
        bucket = store.address.bucket
        url, token = os.environ[URL], os.environ.get(TOKEN, "")
        return {
            "INFLUXDB_URL": url,
            "INFLUXDB_TOKEN": token,
            "INFLUXDB_BUCKET": bucket,
            "INFLUXDB_RETENTION": "4000d",
        }

    return settings
