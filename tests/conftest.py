"""Fixtures that more than one area needs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers import Mosquitto, Rumqttd


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running Mosquitto of this test's own."""
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def rumqttd(tmp_path: Path) -> Iterator[Rumqttd]:
    """A running rumqttd of this test's own."""
    broker = Rumqttd(tmp_path / "rumqttd")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(params=[Mosquitto, Rumqttd], ids=["mosquitto", "rumqttd"])
def any_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mosquitto | Rumqttd]:
    """Each broker in turn."""
    broker: Mosquitto | Rumqttd = request.param(tmp_path / "broker")
    broker.start()
    yield broker
    broker.stop()
