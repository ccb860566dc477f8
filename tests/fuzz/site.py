"""A broker, a flow with some readings, an alert and a dead letter, and the API before it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.settings import load_settings
from tests.api.conftest import Api, running
from tests.brokers import Mosquitto
from tests.flows import Device, Flow, wait_for

READINGS = 30


@contextmanager
def site(folder: Path) -> Iterator[tuple[Api, Flow, dict[str, Any]]]:
    """Run it; gives the API, the flow, and what the path of a request may name."""
    broker = Mosquitto(folder / "broker")
    broker.start()
    flow = Flow(folder / "data", broker.port)
    try:
        flow.start()
        device = Device(broker.port)
        for number in range(READINGS):
            device.reading(
                electrical={"voltage": 240.0 + number, "power": 900.0}, pressure={"low": 70, "high": 280}
            )
        device.send(b"{")
        device.close()
        wait_for(flow.readings, lambda count: count == READINGS)
        settings = load_settings(data=flow.data, mqtt_broker=broker.host, mqtt_port=broker.port)
        with running(settings, flow.store, live=True) as api:
            (letter,) = wait_for(lambda: api.get("/api/dead-letters").json())
            alert = wait_for(lambda: api.get("/api/alerts").json())[0]
            yield api, flow, {"device_id": "site1", "letter_id": letter["id"], "alert_id": alert["id"]}
    finally:
        flow.kill()
        broker.stop()
