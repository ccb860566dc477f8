import http.client
import json
import os
import socket
import stat
from contextlib import suppress

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from flows.journal.writer import Journal
from flows.model.command import command_of
from flows.model.frame import FrameKind
from flows.secrets import read_or_create
from tests.ingest.conftest import wait_for

GOOD = {"id": "c-1", "by": "me", "name": "device_put", "body": {"device_id": "site1"}}


@pytest.fixture
def ingest(run_ingest):
    """Ingest without any broker: commands do not need one."""
    with run_ingest() as running:
        yield running


@pytest.fixture
def client(ingest, settings):
    note = json.loads((settings.data / "run" / "flow.json").read_text())
    assert note["pid"] == os.getpid()
    token = (settings.data / "secrets" / "command-token").read_text().strip()
    with httpx.Client(
        base_url=f"http://127.0.0.1:{note['command_port']}",
        headers={"Authorization": f"Bearer {token}"},
        timeout=60,
        verify=False,  # plain HTTP: certificates would be loaded, for many milliseconds, and never looked at
    ) as made:
        yield made


def test_an_accepted_command_is_durable_and_has_its_number(client, frames):
    answers = [client.post("/commands", json={**GOOD, "id": f"c-{n}"}) for n in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    journaled = [command_of(frame) for frame in frames(FrameKind.COMMAND)]
    assert [command.seq for command in journaled] == [answer.json()["seq"] for answer in answers]
    first = journaled[0]
    assert (first.id, first.by, first.name, first.body) == ("c-0", "me", "device_put", {"device_id": "site1"})


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer ", "Basic x", "Bearer \xff"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/commands"), ("GET", "/health"), ("GET", "/pipeline")])
def test_without_the_token_nothing_is_told_or_done(client, frames, method, path, header):
    request = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=60)
    request.request(method, path, json.dumps(GOOD), {"Authorization": header} if header else {})
    answer = request.getresponse()
    assert answer.status == 401
    assert "command-token" in json.loads(answer.read())["detail"]
    request.close()
    assert frames(FrameKind.COMMAND) == []


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"{", 400, "not JSON"),
        (b"\xff", 400, "not JSON"),
        (b"[]", 422, "array"),
        (b'{"id": 5, "by": "me", "name": "x"}', 422, "id"),
        (b'{"by": "me", "name": "x"}', 422, "id"),
        (b'{"id": "", "by": "me", "name": "x"}', 422, "id"),
        (b'{"id": "1", "by": "me", "name": "%s"}' % (b"x" * 201), 422, "name"),
        (b'{"id": "1", "by": "me", "name": "x", "body": []}', 422, "body"),
        (b" " * 70_000, 413, "70000"),
        (
            b'{"id": "1", "by": "me", "name": "x", "body": {"a": ' + b"[" * 800 + b"]" * 800 + b"}}",
            422,
            "brackets",
        ),
        (b'{"id": "1", "by": "me", "name": "x", "body": {"a": 1e999}}', 422, "range"),
    ],
)
def test_a_bad_command_is_refused_in_a_sentence(client, frames, body, status, word):
    answer = client.post("/commands", content=body)
    assert (answer.status_code, word in answer.json()["detail"]) == (status, True), answer.text
    assert client.post("/commands", json=GOOD).status_code == 202
    assert len(frames(FrameKind.COMMAND)) == 1


def test_unknown_paths_are_named(client):
    assert client.get("/nothing").status_code == client.post("/health", json={}).status_code == 404


def test_pipeline_and_health_are_what_the_flow_says(client, ingest):
    ingest.pipeline = lambda: {"nodes": []}
    ingest.extra_health = lambda: {"lag": 3}
    assert client.get("/pipeline").json() == {"nodes": []}
    health = client.get("/health").json()
    assert (health["lag"], health["connected"]) == (3, False)


@pytest.mark.slow
def test_a_full_journal_refuses_commands_and_says_why(client, ingest):
    ingest.journal._min_free_bytes = 1 << 60
    wait_for(lambda: ingest.health()["full"], "the disk to be full")
    answer = client.post("/commands", json=GOOD)
    assert (answer.status_code, "HEATPUMP_MIN_FREE_MB" in answer.json()["detail"]) == (507, True)


@pytest.mark.slow
@effort(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda tail: b"POST /commands HTTP/1.1\r\n" + tail))
def test_no_bytes_harm_the_port(client, noise):
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=60) as raw:
        with suppress(ConnectionError):  # refused before all of it was sent
            raw.sendall(noise)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(65_536):
                pass
    assert client.get("/health").status_code == 200


def test_nobody_else_can_read_the_token_and_it_stays_the_same(client, settings):
    path = settings.data / "secrets" / "command-token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert read_or_create(path) == path.read_text().strip() == client.headers["Authorization"].split()[1]
    assert len(read_or_create(path)) >= 32


def test_a_stopped_port_is_no_longer_announced(run_ingest, settings):
    with run_ingest():
        assert (settings.data / "run" / "flow.json").exists()
    assert not (settings.data / "run" / "flow.json").exists()
    Journal.open(settings.data / "journal").close()
