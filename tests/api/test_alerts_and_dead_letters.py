"""Alerts and dead letters over HTTP."""

import base64

from flows.model.times import iso

MINUTE, HOUR = 60_000, 3_600_000


def test_alerts_are_listed_as_they_stand_newest_first(api, filled):
    alerts = api.get("/api/alerts").json()
    assert alerts[0] == {
        "time": iso(filled.now - HOUR + 3 * MINUTE),
        "device_id": "site1",
        "alert_type": "voltage_high",
        "alert_level": "warning",
        "value": 246.5,
        "message": "voltage 246.5 V",
        "id": "site1/voltage_high/30002",
        "state": "cleared",
        "since": iso(filled.now - HOUR + 2 * MINUTE),
        "cleared_at": iso(filled.now - HOUR + 3 * MINUTE),
        "acknowledged_by": "",
    }
    assert [alert["id"][-1] for alert in alerts] == ["2", "1", "0"]
    assert alerts[1]["cleared_at"] is None


def test_alerts_can_be_narrowed_by_device_limit_and_whether_they_are_open(api):
    assert api.get("/api/alerts?device_id=site2").json() == []
    assert len(api.get("/api/alerts?device_id=site1&limit=1").json()) == 1
    assert [alert["state"] for alert in api.get("/api/alerts?open_only=true").json()] == ["raised", "raised"]


def test_an_alert_that_is_not_known_cannot_be_acknowledged(api):
    answer = api.post("/api/alerts/site1/voltage_high/99/ack")
    assert answer.status_code == 404
    assert "'site1/voltage_high/99'" in answer.json()["detail"]


def test_dead_letters_are_listed_without_bodies_page_by_page(api, filled):
    first = api.get("/api/dead-letters?limit=2")
    assert [letter["id"] for letter in first.json()] == [24576, 16384]
    assert first.json()[0] == {
        "id": 24576,
        "device_id": "site1",
        "topic": "heatpump/site1/data",
        "arrived": iso(filled.now - MINUTE),
        "reason": "empty",
        "detail": "why",
        "size": 2,
        "state": "open",
        "attempts": 0,
        "tried_at": None,
        "last_reason": "",
        "last_detail": "",
        "resolved_by": "",
        "resolved_at": None,
    }
    second = api.get(first.links["next"]["url"])
    assert [letter["id"] for letter in second.json()] == [8192]
    assert "next" not in second.links
    assert [letter["id"] for letter in api.get("/api/dead-letters?reason=not_json").json()] == [8192]
    assert api.get("/api/dead-letters?device_id=site2").json() == []
    assert api.get("/api/dead-letters?state=dropped").json() == []
    assert len(api.get("/api/dead-letters?state=all").json()) == 3


def test_a_reason_that_no_letter_can_have_is_refused_and_those_that_one_can_are_named(api):
    answer = api.get("/api/dead-letters?reason=typo")
    assert answer.status_code == 422
    told = answer.json()
    assert (told["field"], told["value"]) == ("reason", "typo")
    assert told["allowed"].startswith("must be one of ") and "older_than_retention" in told["allowed"]
    assert api.get("/api/dead-letters?reason=bad_alert").json() == []


def test_a_dead_letter_has_its_body_as_text_or_base64(api):
    text = api.get("/api/dead-letters/8192").json()
    assert (text["encoding"], text["payload"]) == ("utf-8", "{")
    binary = api.get("/api/dead-letters/16384").json()
    assert (binary["encoding"], base64.b64decode(binary["payload"])) == ("base64", b"\xff\x00")


def test_an_unknown_dead_letter_is_named(api):
    answer = api.get("/api/dead-letters/1")
    assert answer.status_code == 404
    assert "dead letter 1 " in answer.json()["detail"]


def test_a_command_on_an_unknown_dead_letter_is_404_and_without_a_flow_503(api):
    assert api.post("/api/dead-letters/1/retry").status_code == 404
    assert api.delete("/api/dead-letters/1").status_code == 404
    assert api.post("/api/dead-letters/8192/retry").status_code == 503
    assert api.delete("/api/dead-letters/8192").status_code == 503


def test_refusals_are_counted_by_reason_and_hour(api, filled):
    hour = (filled.now - MINUTE) // HOUR * HOUR
    assert api.get("/api/dead-letters/counts").json() == [
        {"device_id": "site1", "reason": "empty", "hour": iso(hour), "count": 2},
        {"device_id": "site1", "reason": "not_json", "hour": iso(hour), "count": 1},
    ]
