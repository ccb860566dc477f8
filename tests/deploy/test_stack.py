"""A server that ./setup.sh set up, asked as devices and programs do: what is open, what is stored, what is answered."""

import hashlib
import json
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.deploy.deployed import Deployed, deployed
from tests.deploy.runner import needed
from tests.deploy.wire import HOST, HTTPS, ask, for_two_threads, trusting_anyone
from tests.flows import wait_for
from tests.influxd import BINARY as INFLUXD

pytestmark = [pytest.mark.slow, needed("nginx", "mosquitto")]

ORIGIN = f"https://{HOST}"


@pytest.fixture(scope="module", params=["sqlite", "influxdb"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    if request.param == "influxdb" and not os.environ.get(INFLUXD):
        pytest.skip(f"NOT TRIED: the compose file with InfluxDB; {INFLUXD} can name an influxd")
    with deployed(tmp_path_factory.mktemp("stack") / "machine", "--store", request.param) as made:
        yield made


@pytest.fixture(scope="module")
def read(site: Deployed) -> Iterator[Deployed]:
    """The server once a device has sent by TLS and one by the shared account."""
    with closing(site.device("site1")) as own, closing(site.shared("site2")) as shared:
        own.send(inlet=31.5, outlet=36.25)
        shared.send(inlet=29.5)
        own.until_acknowledged()
        shared.until_acknowledged()
        site.until_stored(2)
    yield site


def test_setup_again_changes_nothing_and_finds_nothing_wrong(site: Deployed):
    def state() -> tuple[dict[str, str], dict[str, int]]:
        files = [path for path in sorted((site.project / "data").rglob("*")) if path.is_file()]
        hashes = {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in [*files, site.project / ".env"]
        }
        return hashes, {name: running.pid for name, running in site.machine.running.items()}

    before = state()
    said = site.sh.run("./setup.sh")
    assert state() == before
    assert "It runs" in said and "shown this once" not in said
    assert "all is as it should be" in site.sh.run("./setup.sh", "--check")


INSIDE = {5006: "panel", 8700: "flow: commands", 9464: "flow: counters", 8884: "mosquitto: ours on other machines"}
"""Ports that no network but that of the containers reaches."""


def test_nothing_listens_that_is_not_published_or_known(site: Deployed):
    config = site.stack.config()
    services = [config["services"][name] for name in config["started"]]
    published = {port["target"]: port["host_ip"] for each in services for port in each.get("ports", ())}
    assert {*site.machine.listening()} == {*published, *INSIDE}
    assert {*published.values()} == {"127.0.0.1"}, "--local"


def by_http(scheme: str, port: int, path: str) -> int:
    client = httpx.Client(verify=trusting_anyone(), trust_env=False, timeout=60)
    with client:
        return client.get(f"{scheme}://127.0.0.1:{port}{path}").status_code


def by_mqtt(port: int, tls: bool = False, transport: str = "tcp", user: str = "") -> str:
    """Connect to the broker; what it says."""
    said: list[str] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, transport=transport)  # type: ignore[arg-type]
    client.on_connect = lambda client, userdata, flags, reason, properties: said.append(str(reason))
    if tls:
        client.tls_set_context(trusting_anyone())
    if user:
        client.username_pw_set(user, "wrong")
    client.connect("127.0.0.1", port)
    while client.loop(1.0) == mqtt.MQTT_ERR_SUCCESS and not said:
        pass
    client.disconnect()
    return said[0]


def test_nobody_gets_anything_on_any_port_without_a_credential(site: Deployed):
    refused = {
        8086: 8086 not in site.machine.listening() or by_http("http", 8086, "/api/v2/buckets") == 401,
        1883: by_mqtt(1883) == by_mqtt(1883, user="heatpump-flow") == "Not authorized",
        9001: by_mqtt(9001, transport="websockets") == "Not authorized",
        8883: by_mqtt(8883, tls=True) == by_mqtt(8883, tls=True, user="site1") == "Not authorized",
        8884: by_mqtt(8884, tls=True) == by_mqtt(8884, tls=True, user="heatpump-api") == "Not authorized",
        8000: by_http("http", 8000, "/api/devices") == by_http("http", 8000, "/metrics") == 401,
        8700: by_http("http", 8700, "/health") == by_http("http", 8700, "/anything") == 401,
        9464: by_http("http", 9464, "/metrics") == 401,
        5006: by_http("http", 5006, "/") in (302, 303, 401),
        8080: by_http("http", 8080, "/") == 302 and by_http("http", 8080, "/api/devices") == 401,
        8443: by_http("https", 8443, "/") == 302 and by_http("https", 8443, "/api/devices") == 401,
    }
    listening = site.machine.listening()
    assert refused.keys() >= listening.keys() and listening.keys() >= refused.keys() - {8086}
    assert [port for port in listening if not refused[port]] == []


def test_what_devices_send_is_stored(read: Deployed):
    found = {each["device_id"]: each for each in read.api.get("/api/devices").json()}
    assert found.keys() == {"site1", "site2"}
    status = read.api.get("/api/devices/site1/status").json()
    assert (status["temp_inlet"], status["temp_outlet"], status["is_online"]) == (31.5, 36.25, True)
    assert read.api.get("/api/devices/site2/readings/latest").json()["temp_inlet"] == 29.5


def paths_of(site: Deployed) -> list[str]:
    """Every question of the API, about site1."""
    description = site.api.get("/openapi.json").json()["paths"]
    found = [path for path, methods in description.items() if "get" in methods]
    return [path.replace("{device_id}", "site1").replace("{step}", "validate") for path in found]


def shape(value: Any) -> Any:
    """What a JSON value is made of, without the numbers, which live."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else type(value).__name__


STILL = (
    "/api/devices",
    "/api/devices/site1/status",
    "/api/devices/site1/readings",
    "/api/devices/site1/readings/latest",
)


def test_every_question_is_answered_through_nginx_as_by_the_api_itself(read: Deployed):
    token = read.secret("HEATPUMP_API_TOKEN")
    paths = paths_of(read)
    assert {*STILL, "/api/health", "/api/stats", "/api/alerts", "/api/pipeline"} <= {*paths}
    with read.client(token, base="http://127.0.0.1:8000") as direct, read.client() as nobody:
        for path in paths:
            if path in ("/", "/metrics"):
                continue  # the first is the pages', the second nobody's
            through, itself = read.api.get(path), direct.get(path)
            assert through.status_code == itself.status_code, path
            assert through.headers["content-type"] == itself.headers["content-type"], path
            if "json" in itself.headers["content-type"] and path != "/openapi.json":
                assert shape(through.json()) == shape(itself.json()), path
            if path in STILL:
                assert through.json() == itself.json()
            if path not in ("/api/health", "/docs", "/openapi.json"):
                assert nobody.get(path).status_code == 401, path
    assert read.api.get("/metrics").status_code == 403


def test_limits_and_pages_of_answers_pass_nginx_as_they_are(read: Deployed):
    answer = read.api.get("/api/devices/site1/readings?hours=999")
    assert answer.status_code == 422 and "168" in answer.text
    assert read.api.get("/api/devices/nobody/status").status_code == 404


def live(token: str | None, path: str = "/ws", origin: str | None = ORIGIN) -> ClientConnection:
    """Open the live feed through nginx, as a browser does."""
    context = for_two_threads(trusting_anyone())  # before nginx waits: it takes a while on a busy machine
    return connect(
        f"wss://{HOST}:{HTTPS}{path}",
        sock=socket.create_connection(("127.0.0.1", HTTPS)),
        ssl=context,
        server_hostname=HOST,
        origin=origin,  # type: ignore[arg-type]
        subprotocols=["bearer", token] if token else None,  # type: ignore[list-item]
        proxy=None,
    )


@pytest.mark.parametrize("path", ["/ws", "/api/ws"])
def test_a_reading_is_told_live_through_nginx(read: Deployed, path: str):
    token = read.make_token(f"live{path.replace('/', '-')}", "--scope", "read", "--device", "site1")
    own, other = read.shared("site1"), read.shared("site2")
    with closing(own), closing(other), live(token, path, f"https://{HOST}:{HTTPS}") as feed:
        feed.send("?")
        assert json.loads(feed.recv(10))["type"] == "pong"
        before = read.readings()
        other.send(inlet=20.0)
        other.until_acknowledged()
        read.until_stored(before + 1)
        own.send(inlet=33.5)
        told = json.loads(feed.recv(10))
        assert (told["type"], told["device_id"]) == ("sensor_data", "site1"), "of its own device alone"
        assert told["data"]["temperature"] == {"inlet": 33.5}


def test_the_live_feed_is_refused_to_strangers_and_to_pages_of_others(read: Deployed):
    token = read.secret("HEATPUMP_API_TOKEN")
    for given, origin, status in (
        (None, None, 401),
        ("hpm_wrong", None, 401),
        (token, "https://evil.example", 403),
    ):
        with pytest.raises(InvalidStatus) as refused:
            live(given, origin=origin)
        assert refused.value.response.status_code == status


def test_a_page_of_another_server_can_change_nothing(read: Deployed):
    def put(**headers: str) -> int:
        path, body = "/api/devices/site1", b'{"name": "Mine"}'
        given = {
            "Authorization": f"Bearer {read.secret('HEATPUMP_API_TOKEN')}",
            "Content_Type": "application/json",
        }
        return ask(path, "PUT", body=body, **given, **headers).status

    assert put(Origin="https://evil.example") == put(Origin="null") == 403
    assert put(Origin=ORIGIN) == 200
    assert read.api.get("/api/devices/site1/status").json()["metadata"]["name"] == "Mine"


def test_a_customer_s_token_knows_its_own_site_alone(read: Deployed):
    with read.client(read.make_token("customer2", "--scope", "read", "--device", "site2")) as customer:
        assert [each["device_id"] for each in customer.get("/api/devices").json()] == ["site2"]
        for path in paths_of(read):
            if "site1" in path:
                assert customer.get(path).status_code in (403, 404), path
        assert customer.put("/api/devices/site2", json={"name": "x"}).status_code == 403


def test_the_answers_of_the_real_api_and_pages_have_each_header_once(read: Deployed):
    entered = ask("/login", "POST", body=f"name=admin&password={read.admin}&next=/".encode(), Origin=ORIGIN)
    assert entered.status == 303
    cookie = entered.header("set-cookie") or ""
    assert {"HttpOnly", "Secure", "SameSite=strict"} <= {*cookie.split("; ")}
    for path in ("/", "/docs", "/openapi.json", "/api/devices", "/assets/page.css", "/nothing-here"):
        answer = ask(path, Cookie=cookie.partition(";")[0])
        assert answer.status == (404 if path == "/nothing-here" else 200), path
        for name in ("x-content-type-options", "referrer-policy", "x-frame-options", "content-security-policy"):
            assert answer.header(name), (path, name)
        assert answer.header("cache-control"), path
        assert answer.header("server") == "nginx"


def test_our_ca_vouches_for_both_servers_by_every_name(site: Deployed):
    context = ssl.create_default_context(cafile=str(site.ca))
    for port in (HTTPS, 8883, 8884):
        for name in ("localhost", "127.0.0.1", "heat.example"):
            with (
                socket.create_connection(("127.0.0.1", port)) as plain,
                context.wrap_socket(plain, server_hostname=name) as secured,
            ):
                assert secured.version() in ("TLSv1.2", "TLSv1.3")


def command_line(process: Path) -> str:
    """What a process was started with; nothing of one that ends just now."""
    try:
        return (process / "cmdline").read_text(errors="replace")
    except OSError:
        return ""


def test_no_secret_is_in_a_log_or_in_a_list_of_processes(read: Deployed):
    names = {path.name for path in (read.project / "data/secrets").iterdir()}
    # A name, kept from devices: the broker tells its operator who connects.
    names.remove("HEATPUMP_MQTT_CLIENT_ID")
    secrets = {name: read.secret(name) for name in names}
    said = "".join(running.said for running in read.machine.running.values())
    shown = said + "".join(map(command_line, Path("/proc").glob("[0-9]*")))
    shown += json.dumps(read.stack.config()["services"])
    assert [name for name, secret in secrets.items() if secret in shown] == []


def test_the_commands_of_the_original_s_readme_work(read: Deployed):
    password = read.secret("MQTT_PASSWORD")
    before = read.readings()
    body = '{"temperature":{"inlet":45},"electrical":{"voltage":230}}'
    login = ("-h", "localhost", "-u", "heatpump", "-P", password)
    read.tell("mosquitto_pub", *login, "-t", "heatpump/test/data", "-m", body, service="mosquitto")
    read.until_stored(before + 1)
    assert wait_for(lambda: read.api.get("/api/devices/test/status").json()["temp_inlet"]) == 45
    with httpx.Client(trust_env=False) as client:
        assert client.get("http://localhost:8000/api/health").json()["status"] == "healthy"
        assert client.get("http://localhost:8000/docs").status_code == 200
