"""The flow's metrics: what is told is what happened, it is documented, and asking costs the pipeline nothing."""

import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parsed

from flows.journal.writer import Journal
from flows.settings import load_settings
from flows.telemetry.meter import Meter
from flows.telemetry.metrics_port import MetricsPort
from tests.brokers import Mosquitto, free_port
from tests.flows import Device, Flow, wait_for

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "metrics.md"
TOKEN = "0123456789abcdef-of-the-metrics"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def get(port: int, path: str = "/metrics", token: str | None = TOKEN, accept: str = "") -> tuple[int, str, str]:
    """Ask: status, content type, text."""
    headers = {"Accept": accept} | ({"Authorization": f"Bearer {token}"} if token is not None else {})
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def values(text: str) -> dict[str, float]:
    """Every sample of ours: name with its labels, and its value."""
    return {
        sample.name + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in parsed(text)
        for sample in family.samples
    }


def row_of(family, rows: dict[str, str]) -> tuple[str, str]:
    """A metric as its row of the page: its name, and the rest; what has no sample yet says no labels."""
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
    shown = ", ".join(f"`{label}`" for label in labels) or "–"
    if not family.samples and name in rows:
        shown = rows[name].split(" | ")[1]
    return name, f"{family.type} | {shown} | {family.documentation}"


@pytest.fixture
def metrics_port(tmp_path):
    port = MetricsPort(load_settings(data=tmp_path, metrics_port=free_port(), metrics_token=TOKEN), Meter())
    yield port
    port.stop()


def test_probes_need_no_token_and_metrics_do(metrics_port):
    port = metrics_port.port
    assert get(port, "/healthz", None)[::2] == (200, "ok\n")
    assert get(port, "/readyz", None)[::2] == (503, "not ready\n")
    for token in (None, "", "wrong", f"{TOKEN}x"):
        status, _, text = get(port, token=token)
        assert (status, "HEATPUMP_METRICS_TOKEN" in text, TOKEN in text) == (401, True, False)
    assert get(port, "/nothing")[0] == 404


def test_a_flow_that_waits_for_its_first_store_is_alive_and_says_so(metrics_port, tmp_path):
    found = values(get(metrics_port.port)[2])
    assert (found["heatpump_store_waiting"], found["process_open_fds"] > 3) == (0.0, True)
    assert "heatpump_readings_received_total" not in found
    journal = Journal.open(tmp_path / "journal", min_free_bytes=1)
    metrics_port.begin(dict, journal, lambda: True)
    journal.close()
    assert get(metrics_port.port, "/readyz", None)[0] == 200


def test_a_generated_token_is_kept_and_one_that_is_set_is_not_written(tmp_path):
    for given in ("", TOKEN):
        port = MetricsPort(
            load_settings(data=tmp_path / given, metrics_port=free_port(), metrics_token=given), Meter()
        )
        kept = tmp_path / given / "secrets" / "metrics-token"
        assert kept.exists() == (not given)
        assert get(port.port, token=given or kept.read_text().strip())[0] == 200
        port.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A flow that has received readings of all fates, and its broker."""
    folder = tmp_path_factory.mktemp("metrics")
    broker = Mosquitto(folder / "broker")
    flow = Flow(folder / "data", broker.port, metrics_port=free_port(), metrics_token=TOKEN)
    flow.port = int(flow._environment["HEATPUMP_METRICS_PORT"])
    try:
        broker.start()
        flow.start()
        device = Device(broker.port)
        for n in range(5):
            device.reading(electrical={"voltage": 230 + n})
        device.reading(temperature={"inlet": 999, "outlet": 30})
        device.send(b"{")
        device.send(b'{"temperature": {"inlet": 20, "outlet": "x"}}')
        device.close()
        wait_for(
            lambda: values(get(flow.port)[2]),
            lambda found: (
                found["heatpump_readings_received_total"] == 8 and not found["heatpump_readings_in_flight"]
            ),
        )
        yield flow
    finally:
        flow.kill()
        broker.stop()


pytestmark = pytest.mark.slow


def test_the_sum_closes_and_every_fate_is_counted(site):
    found = values(get(site.port)[2])
    fates = {name: found[f"heatpump_readings_{name}_total"] for name in ("stored", "duplicate", "dead", "dropped")}
    assert found["heatpump_readings_received_total"] == sum(fates.values())
    assert (found["heatpump_readings_unexplained"], fates["dead"]) == (0, 1)
    assert found["heatpump_node_dead_letters_total not_json decode"] == 1
    assert found["heatpump_node_fields_removed_total out of range validate"] == 1
    assert found["heatpump_devices"] == found["heatpump_devices_online"] == 1
    assert found["heatpump_mqtt_connected"] == 1 and found["heatpump_mqtt_reconnects_total"] == 0
    assert found["heatpump_journal_sync_seconds_count"] == found["heatpump_journal_sync_seconds_bucket +Inf"] > 0
    assert found["heatpump_store_waiting"] == 0 and found["heatpump_store_info sqlite"] == 1
    assert found["process_resident_memory_bytes"] > 1_000_000 and found["process_cpu_seconds_total"] > 0


def test_the_page_has_a_row_for_each_of_the_flows_metrics_and_no_other(site):
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.read_text().partition("## The API")[0], re.MULTILINE))
    assert rows == dict(row_of(family, rows) for family in parsed(get(site.port)[2]))


def test_both_formats_say_the_same_and_are_what_they_claim_to_be(site):
    text, metrics = get(site.port), get(site.port, accept=OPENMETRICS)
    assert text[1].startswith("text/plain") and metrics[1].startswith("application/openmetrics-text")
    assert metrics[2].endswith("# EOF\n")
    names = {family.name for family in openmetrics(metrics[2])}
    assert {"heatpump_readings_received", "heatpump_journal_sync_seconds", "heatpump_build"} <= names
    old = {re.sub(r"_(total|info)$", "", family.name) for family in parsed(text[2])}
    assert {re.sub(r"_(total|info)$", "", name) for name in names} == old


def test_the_number_of_series_does_not_grow_with_devices(site):
    before = set(values(get(site.port)[2]))
    for n in range(30):
        device = Device(int(site._environment["MQTT_PORT"]), f"other{n}")
        device.reading()
        device.close()
    wait_for(lambda: values(get(site.port)[2]), lambda found: found["heatpump_devices"] == 31)
    assert set(values(get(site.port)[2])) == before
    assert "other3" not in get(site.port)[2]


def test_counters_are_no_flow_of_their_own_and_the_log_holds_no_token(site):
    assert TOKEN not in site.log.read_text()
    assert not (site.data / "secrets" / "metrics-token").exists()
