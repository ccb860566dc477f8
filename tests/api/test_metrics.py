"""The API's metrics: requests by the route as it is declared, never by what was asked for."""

import re

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parsed

from flows.settings import load_settings
from tests.api.conftest import running, wait_for
from tests.telemetry.test_metrics import PAGE, row_of, values


@pytest.fixture
def api(filled, tmp_path):
    with running(load_settings(data=tmp_path), filled.path) as made:
        yield made


def told(api) -> dict[str, float]:
    return values(api.get("/metrics").text)


def test_requests_are_counted_by_route_method_and_status(api):
    for device in ("site1", "site2", "nobody"):
        api.get(f"/api/devices/{device}/status")
    api.get("/nothing/of/ours")
    api.client.request("BREW", "/")
    found = told(api)
    status = "/api/devices/{device_id}/status"
    assert found[f"heatpump_api_requests_total GET {status} 200"] == 2
    assert found[f"heatpump_api_requests_total GET {status} 404"] == 1
    assert found["heatpump_api_requests_total GET other 404"] == 1
    assert found["heatpump_api_requests_total other / 405"] == 1
    assert found[f"heatpump_api_request_seconds_count GET {status}"] == 3
    assert found[f"heatpump_api_request_seconds_bucket +Inf GET {status}"] == 3
    assert "nobody" not in api.get("/metrics").text


def test_store_broker_and_letters_are_told(api):
    found = told(api)
    assert (found["heatpump_api_store_connected"], found["heatpump_api_mqtt_connected"]) == (1, 0)
    assert found["heatpump_dead_letters_waiting"] == 3
    assert found["heatpump_api_websocket_clients"] == found["heatpump_api_websocket_dropped_total"] == 0


def test_messages_that_a_slow_client_is_not_sent_are_counted(api):
    from api.live import MOST_MESSAGES, Client

    hub, slow = api.context.hub, Client()
    hub.clients.add(slow)
    for _ in range(MOST_MESSAGES + 5):
        hub.publish("site1", "x")
    wait_for(lambda: told(api)["heatpump_api_websocket_dropped_total"] == MOST_MESSAGES + 5, "the count")
    hub.clients.discard(slow)


def test_beyond_loopback_the_metrics_token_opens_this_and_nothing_else(filled, tmp_path):
    token = "0123456789abcdef-of-the-metrics"
    settings = load_settings(data=tmp_path, api_host="0.0.0.0", metrics_token=token)
    with running(settings, filled.path) as api:
        assert api.get("/metrics").status_code == 401
        bearer = {"Authorization": f"Bearer {token}"}
        assert api.get("/metrics", headers=bearer).status_code == 200
        assert api.get("/api/devices", headers=bearer).status_code == 403
        assert api.get("/metrics", params={"token": token}).status_code == 401


def test_the_page_has_a_row_for_each_of_the_apis_metrics_and_no_other(api):
    api.get("/")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.read_text().partition("## The API")[2], re.MULTILINE))
    own = [family for family in parsed(api.get("/metrics").text) if not family.name.startswith("process_")]
    assert rows == dict(row_of(family, rows) for family in own if family.name != "heatpump_build_info")


def test_openmetrics_is_given_where_it_is_asked_for(api):
    answer = api.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert "heatpump_api_requests" in {family.name for family in openmetrics(answer.text)}
