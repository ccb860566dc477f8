"""Health: what is wrong is said, whoever says it."""

import re
import socket
import threading

import httpx
import pytest

from api.health import Counters, decode, problems
from api.serve import listening
from flows.errors import ConfigError
from flows.model.influx_address import InfluxAddress
from flows.settings import Settings

from .conftest import running

WEDGED = (
    b'{"store": {"waiting": "InfluxDB at http://10.0.0.7:8086 refuses to write into sensor_data: 500 not attempting to'
    b" open shard 2; opening shard previously failed with: write /var/lib/influxdb2/engine/data/7c/_series: no space left"
    b' on device; make room on its disk, then restart InfluxDB: until then it refuses, full or not"}}'
)


def test_counters_of_a_flow_that_is_well_say_nothing():
    assert problems(Counters()) == []
    fresh = b'{"journal": {"connected": true, "problem": "", "full": false}, "backlog": 3, "behind_ms": 900}'
    assert problems(decode(fresh)) == []


@pytest.mark.parametrize(
    ("counters", "said"),
    [
        (b'{"store": {"waiting": "store /home/x is locked"}}', "waits for the store"),
        (
            WEDGED,
            "waits for the store: InfluxDB refuses to write into sensor_data: 500 not attempting to open shard 2",
        ),
        (WEDGED, "no space left on device; make room on its disk, then restart InfluxDB"),
        (b'{"journal": {"connected": false, "full": true}}', "the journal is full"),
        (b'{"journal": {"connected": false}}', "not subscribed at the broker"),
        (b'{"backlog": 900, "behind_ms": 61000}', "900 frames behind, the newest it read came 61 s ago"),
        (b'{"journal": {"damaged_regions": 2}}', "damaged in 2 places, 0 frames are missing"),
        (b'{"journal": {"missing_frames": 7}}', "damaged in 0 places, 7 frames are missing"),
    ],
)
def test_each_trouble_is_one_sentence_without_paths(counters, said):
    (sentence,) = problems(decode(counters))
    assert said in sentence
    assert not re.search(r"/home|/var|://", sentence)


def test_a_store_served_by_itself_says_so(api):
    assert "a store is served by itself" in str(api.get("/api/health").json()["problems"])
    answer = api.get("/api/pipeline")
    assert answer.status_code == 503
    assert "a store is served by itself" in answer.json()["detail"]


def test_a_host_that_is_none_is_blamed_and_not_the_port():
    for host in ("nohost.invalid", "192.0.2.1"):
        with pytest.raises(ConfigError, match=f"HEATPUMP_API_HOST: '{host}' is no address of this machine"):
            listening(host, 0)


def test_a_port_in_use_is_blamed():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match="HEATPUMP_API_PORT"):
        listening("127.0.0.1", taken.getsockname()[1])


THREADS = 40
"""So many questions Starlette answers at once (anyio's limit)."""


@pytest.mark.slow
def test_health_is_told_while_more_questions_than_there_are_threads_wait_for_the_store(tmp_path):
    with socket.create_server(("127.0.0.1", 0), backlog=200) as silent:
        address = InfluxAddress(f"http://127.0.0.1:{silent.getsockname()[1]}", "TOKEN")
        with running(Settings(data=tmp_path), address) as api:

            def ask() -> None:
                # Sixty times certificates would take longer to load than a question waits.
                httpx.get(f"http://127.0.0.1:{api.port}/api/devices", timeout=60, trust_env=False, verify=False)

            waiting = [threading.Thread(target=ask) for _ in range(60)]
            for each in waiting:
                each.start()
            silent.settimeout(60)
            held = [silent.accept()[0] for _ in range(THREADS)]  # each question's own connection
            assert api.get("/").json()["status"] == "running"
            assert api.get("/api/health").json()["influxdb_connected"] is False
            assert all(each.is_alive() for each in waiting)  # a question waits for 20 s
            for connection in (silent, *held):
                connection.close()
            for each in waiting:
                each.join()
