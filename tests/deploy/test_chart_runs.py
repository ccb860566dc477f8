"""What the chart renders is run: the containers' commands, files, users and probes, as processes of this machine."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from tests.deploy.asking import Device, api, exec_, get, probed, reading, times, until
from tests.deploy.chart import CHART, VERSIONS, pods, render
from tests.deploy.kubelet import Cluster
from tests.deploy.runner import Machine, why_not

pytestmark = pytest.mark.slow

SQLITE = CHART / "ci" / "sqlite-values.yaml"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The SQLite set, all of it started at once, as Kubernetes would."""
    if reason := why_not():
        pytest.skip(reason)
    objects = render(SQLITE)
    with Machine(tmp_path_factory.mktemp("cluster"), Cluster.names(objects)) as machine:
        cluster = Cluster(machine, objects, {})
        for part in ("panel", "flow", "mosquitto"):
            cluster.start(part)
        yield cluster


@pytest.mark.parametrize("kind", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_every_probe_succeeds(cluster: Cluster, kind: str) -> None:
    probed(cluster, kind)


def test_a_device_made_in_the_accounts_container_publishes_and_its_reading_is_answered(cluster: Cluster) -> None:
    probed(cluster, "readinessProbe")
    made = json.loads(
        exec_(cluster, "heatpump-mosquitto-accounts", "heatpump", "device", "add", "site1", "--json")
    )
    device = Device("site1", made[0]["password"])
    now = int(time.time() * 1000)
    until(lambda: device.publish(reading(now)), "the broker does not know the new account")
    until(lambda: times("site1"), "the reading is not answered")
    assert api("/api/devices/site1/readings/latest", "wrong").status_code == 401
    assert get("http://127.0.0.1:8000/api/devices").status_code == 401
    assert api("/api/health").json()["mqtt_connected"] is True


def test_what_is_sent_while_the_flow_is_killed_is_there_after_its_restart(cluster: Cluster) -> None:
    probed(cluster, "readinessProbe")
    made = json.loads(
        exec_(cluster, "heatpump-mosquitto-accounts", "heatpump", "device", "add", "site2", "--json")
    )
    device = Device("site2", made[0]["password"])
    start = int(time.time() * 1000) - 600_000
    until(lambda: device.publish(*(reading(start + number * 1000) for number in range(100))), "not acknowledged")
    cluster.machine.running["heatpump-flow-flow"].kill()
    assert device.publish(*(reading(start + number * 1000) for number in range(100, 200)))
    # The kubelet starts the container that ended anew, in the pod that goes on: the API beside it was not touched.
    pod = cluster.pods["flow"]
    cluster.machine.start(cluster.container(pod, pod.spec["containers"][0]))
    until(lambda: len(times("site2")) == 200, "readings are missing")


def test_a_revoked_device_is_refused_within_seconds(cluster: Cluster) -> None:
    probed(cluster, "readinessProbe")
    made = json.loads(
        exec_(cluster, "heatpump-mosquitto-accounts", "heatpump", "device", "add", "site3", "--json")
    )
    device = Device("site3", made[0]["password"])
    now = int(time.time() * 1000)
    until(lambda: device.publish(reading(now)), "the broker does not know the new account")
    assert "site3" in exec_(cluster, "heatpump-mosquitto-accounts", "heatpump", "device", "list")
    exec_(cluster, "heatpump-mosquitto-accounts", "heatpump", "device", "revoke", "site3")
    until(lambda: not device.publish(reading(now + 1000)), "a revoked device still publishes")


def test_a_user_and_a_token_made_in_the_flows_pod_are_known_to_the_api_at_once(cluster: Cluster) -> None:
    probed(cluster, "readinessProbe")
    token = exec_(cluster, "heatpump-flow-flow", "heatpump", "token", "add", "wall", "--device", "site1").split()[
        -1
    ]
    password = exec_(cluster, "heatpump-flow-flow", "heatpump", "user", "add", "anna", "--scope", "admin").split()[
        -1
    ]
    until(lambda: api("/api/devices", token).status_code == 200, "the token is not known")
    assert api("/api/devices/site2/status", token).status_code in (403, 404)
    form = {"name": "anna", "password": password}
    logged_in = httpx.post(
        "http://127.0.0.1:8000/login", data=form, headers={"Origin": "http://127.0.0.1:8000"}, timeout=30
    )
    assert "heatpump_session" in logged_in.headers["set-cookie"], logged_in.text
    cookie = {"Cookie": logged_in.headers["set-cookie"].partition(";")[0]}
    assert get("http://127.0.0.1:8000/api/session", headers=cookie).json()["name"] == "anna"
    assert get("http://127.0.0.1:5006/", headers=cookie, follow_redirects=True).status_code == 200


def test_prometheus_is_answered_with_its_token_alone(cluster: Cluster) -> None:
    probed(cluster, "readinessProbe")
    metrics = "for-tests-alone-metrics-000000000000"
    for port in (9464, 8000):
        address = f"http://127.0.0.1:{port}/metrics"
        assert get(address).status_code == 401
        answer = get(address, headers={"Authorization": f"Bearer {metrics}"})
        assert answer.status_code == 200 and "heatpump_build_info" in answer.text
    assert api("/api/devices", metrics).status_code == 403


def test_the_pages_send_who_has_no_session_to_log_in(cluster: Cluster) -> None:
    probed(cluster, "readinessProbe")
    answer = get("http://127.0.0.1:5006/", follow_redirects=False)
    assert answer.status_code in (302, 303, 307) and urljoin("/", answer.headers["location"]) == "/login?next=%2F"


def test_the_backup_pod_makes_one_beside_the_running_flow(cluster: Cluster) -> None:
    probed(cluster, "readinessProbe")
    done = cluster.run("CronJob")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 readings" not in done.stdout and "readings" in done.stdout


def test_only_the_ports_of_the_chart_are_open_and_the_command_port_is_on_loopback(cluster: Cluster) -> None:
    probed(cluster, "readinessProbe")
    named = {port for pod in pods(render(SQLITE)) for port in pod.ports().values()}
    assert {port for port, beyond in cluster.machine.listening().items() if beyond} == named
    assert cluster.machine.listening()[8700] is False


def test_every_container_ends_within_its_grace_at_sigterm(cluster: Cluster) -> None:
    for running in cluster.machine.running.values():
        code, seconds = running.stop()
        assert code in (0, 143) and seconds < running.container.grace_s, (running.container.name, code, seconds)


def test_a_new_release_begins_from_the_backup(cluster: Cluster) -> None:
    options = ["fullnameOverride=other", "backup.volume.existing=heatpump-backups", "restore.from=newest"]
    objects = render(SQLITE, VERSIONS[-1], *(word for option in options for word in ("--set", option)))
    assert (
        next(each for each in objects if each["kind"] == "StatefulSet" and "flow" in each["metadata"]["name"])[
            "spec"
        ]["replicas"]
        == 0
    )
    cluster.machine.resolve(**dict.fromkeys(Cluster.names(objects), "127.0.0.1"))
    other = Cluster(cluster.machine, objects, {})
    done = other.run("Job")
    assert done.returncode == 0, done.stdout + done.stderr
    other.start("flow")
    until(lambda: len(times("site2")) == 200, "the readings of the backup are not answered")


def test_no_secret_is_in_a_log_but_the_client_id_in_that_of_the_broker_which_names_who_connects(
    cluster: Cluster,
) -> None:
    secrets = {key: value for key, value in json_secrets().items() if value}
    for path in Path(cluster.machine.folder).glob("*.log"):
        text = path.read_text(errors="replace")
        named = {"HEATPUMP_MQTT_CLIENT_ID"} if path.name == "heatpump-mosquitto-mosquitto.log" else set()
        assert {key for key, value in secrets.items() if value in text} <= named, path.name


def json_secrets() -> dict[str, str]:
    secret = next(each for each in render(SQLITE) if each["kind"] == "Secret")
    return dict(secret["stringData"])
