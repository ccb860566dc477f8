"""Root, health, stats, devices and their status: docs/reference/api.md."""

from flows.model.quantities import QUANTITIES
from flows.model.times import iso
from flows.queries.times import instant


def test_the_root_says_what_this_is(api):
    answer = api.get("/").json()
    assert answer == {
        "name": "Heat Pump Monitor",
        "version": answer["version"],
        "status": "running",
        "documentation": "/docs",
    }
    assert answer["version"][0].isdigit()


def test_health_without_a_broker_is_degraded(api, filled):
    answer = api.get("/api/health")
    assert answer.status_code == 200
    body = answer.json()
    assert instant("timestamp", body.pop("timestamp")) >= filled.now
    assert body == {
        "status": "degraded",
        "influxdb_connected": True,
        "mqtt_connected": False,
        "store": "sqlite",
        "flow_running": False,
        "problems": ["a store is served by itself, without broker and flow"],
    }


def test_stats_count_what_is_stored(api, filled):
    assert api.get("/api/stats").json() == {
        "total_readings": len(filled.times) + 144,
        "total_alerts": 3,
        "devices_online": 1,
        "oldest_reading": iso(filled.now - 2 * 86_400_000),
        "newest_reading": iso(filled.now),
    }


def test_devices_are_listed_with_name_and_location_where_known(api, filled):
    assert api.get("/api/devices").json() == [
        {
            "device_id": "site1",
            "is_online": True,
            "last_seen": iso(filled.now),
            "name": "Cabin",
            "location": "Lillehammer",
        },
        {"device_id": "site2", "is_online": False, "last_seen": iso(filled.now - 86_400_000 - 600_000)},
        {"device_id": "site3", "is_online": False, "last_seen": None},
    ]


def test_status_has_the_newest_value_of_every_quantity_and_its_time(api, filled):
    status = api.get("/api/devices/site1/status").json()
    assert status["device_id"] == "site1"
    assert status["is_online"] is True
    assert status["last_seen"] == iso(filled.now)
    assert {name: status[name] for name in ("power", "compressor_running", "temp_dhw")} == {
        "power": 1000.0,
        "compressor_running": True,
        "temp_dhw": None,
    }
    assert all(quantity.name in status for quantity in QUANTITIES)
    assert status["measured_at"]["power"] == iso(filled.now)
    assert "temp_dhw" not in status["measured_at"]
    assert status["attributes"] == {"rssi": "-61", "version": "1.0.0"}
    assert status["metadata"]["timezone"] == "Europe/Oslo"
    assert status["metadata"]["valid_from"] == "1970-01-01T00:00:00.000Z"


def test_limits_are_the_shipped_ones_but_for_what_the_device_overrides(api):
    limits = api.get("/api/devices/site1/status").json()["limits"]
    assert limits["voltage"] == {
        "high": {"alert_type": "voltage_high", "warning": 248.0, "critical": 250.0, "unit": "V"},
        "low": {"alert_type": "voltage_low", "warning": 215.0, "critical": 210.0, "unit": "V"},
    }
    assert limits["temp_compressor"]["high"]["critical"] == 95.0
    shipped = api.get("/api/devices/site2/status").json()["limits"]
    assert shipped["voltage"]["high"]["warning"] == 245.0


def test_an_unknown_device_is_named(api):
    for path in ("status", "readings", "readings/latest", "series"):
        answer = api.get(f"/api/devices/nobody/{path}")
        assert answer.status_code == 404
        assert "'nobody'" in answer.json()["detail"]


def test_a_route_that_does_not_exist_is_404(api):
    assert api.get("/api/nothing").status_code == 404
