"""The chart's default, with InfluxDB, is run: API, flow and store as pods of their own. The server itself is a real one."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.deploy.asking import SECONDS, Device, api, exec_, get, probed, reading, times, until
from tests.deploy.chart import CHART, render
from tests.deploy.kubelet import Cluster
from tests.deploy.runner import Machine, Mount, why_not
from tests.influxd import BINARY

pytestmark = pytest.mark.slow

SECRETS = {
    key: f"for-tests-alone-{number}-000000000000000000"
    for number, key in enumerate(
        (
            "HEATPUMP_SESSION_KEY HEATPUMP_COMMAND_TOKEN HEATPUMP_METRICS_TOKEN HEATPUMP_MQTT_FLOW_PASSWORD"
            " HEATPUMP_MQTT_API_PASSWORD HEATPUMP_MQTT_HEALTH_PASSWORD HEATPUMP_MQTT_CLIENT_ID INFLUXDB_TOKEN INFLUXDB_PASSWORD"
        ).split()
    )
} | {"HEATPUMP_API_TOKEN": "for-tests-alone-api-0000000000000000"}

ENTRYPOINT = (
    "/opt/influxdb/influxd",
    "--bolt-path",
    "/var/lib/influxdb2/influxd.bolt",
    "--engine-path",
    "/var/lib/influxdb2/engine",
)
"""What the image runs (its entrypoint and INFLUXD_… variables), and the SQLite file beside them."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The minimal set, but for the store: everything started at once."""
    if reason := why_not():
        pytest.skip(reason)
    objects = render(CHART / "ci" / "minimal-values.yaml")
    with Machine(tmp_path_factory.mktemp("cluster"), Cluster.names(objects)) as machine:
        cluster = Cluster(machine, objects, {"heat-pump": SECRETS})
        for part in ("panel", "api", "flow", "mosquitto"):
            cluster.start(part)
        yield cluster


def start_influxdb(cluster: Cluster) -> None:
    """Start the real server as the rendered container, and set it up by the rendered Job, again until that succeeds."""
    if BINARY not in os.environ:
        pytest.skip(f"{BINARY} names no InfluxDB: the chart's default was run without its store")
    pod = cluster.pods["influxdb"]
    container = cluster.container(pod, pod.spec["containers"][0])
    binary = Mount(Path(os.environ[BINARY]), "/opt/influxdb/influxd")
    argv = (*ENTRYPOINT, "--sqlite-path", "/var/lib/influxdb2/influxd.sqlite")
    home = {**container.env, "HOME": "/tmp"}
    cluster.machine.start(replace(container, argv=argv, mounts=(*container.mounts, binary), env=home))
    until(lambda: cluster.run("Job").returncode == 0, "the Job cannot set InfluxDB up")


def test_without_its_store_the_flow_is_alive_and_not_ready_and_the_api_says_what_is_missing(
    cluster: Cluster,
) -> None:
    for kind in ("startupProbe", "livenessProbe"):
        probed(cluster, kind, but=("influxdb", "influxdb-setup"))
    assert "503" in cluster.probe("flow", "flow", "readinessProbe")
    health = api("/api/health").json()
    assert (health["status"], health["influxdb_connected"]) == ("unhealthy", False)
    assert get("http://127.0.0.1:8000/api/devices").status_code == 401


def test_with_its_store_a_device_is_answered_by_the_api_in_a_pod_of_its_own(cluster: Cluster) -> None:
    start_influxdb(cluster)
    probed(cluster, "readinessProbe", but=("influxdb-setup",))
    made = json.loads(
        exec_(cluster, "hp-heat-pump-mosquitto-accounts", "heatpump", "device", "add", "site1", "--json")
    )
    device = Device("site1", made[0]["password"])
    now = int(time.time() * 1000)
    until(lambda: device.publish(reading(now)), "the broker does not know the new account")
    until(lambda: times("site1"), "the reading is not answered")
    named = api("/api/devices/site1", method="PUT", json={"name": "Cellar"})
    assert named.status_code == 200, "a command goes from the API to the flow's Service: " + named.text


def test_a_flow_that_is_killed_while_readings_come_loses_none(cluster: Cluster) -> None:
    if "hp-heat-pump-influxdb-influxdb" not in cluster.machine.running:
        pytest.skip(f"{BINARY} names no InfluxDB")
    made = json.loads(
        exec_(cluster, "hp-heat-pump-mosquitto-accounts", "heatpump", "device", "add", "site2", "--json")
    )
    device = Device("site2", made[0]["password"])
    start = int(time.time() * 1000) - 600_000
    until(lambda: device.publish(*(reading(start + number * 1000) for number in range(50))), "not acknowledged")
    cluster.machine.running["hp-heat-pump-flow-flow"].kill()
    assert device.publish(*(reading(start + number * 1000) for number in range(50, 100)))
    cluster.start("flow")
    until(lambda: len(times("site2")) == 100, "readings are missing", SECONDS * 2)
