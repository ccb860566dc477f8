"""Whatever is injected anywhere is a value and nothing else."""

import pytest

from tests.api.conftest import Api
from tests.api.penetration.attacker import ALERT, SECRET, body_of, operations
from tests.api.people import FIRST

pytestmark = pytest.mark.slow

INJECTIONS = (
    "' OR '1'='1",
    "site1' OR device_id='site3",
    "'; DROP TABLE device; --",
    "1; DELETE FROM raw",
    '" OR ""="',
    "x') UNION SELECT * FROM device --",
    "site1' UNION SELECT name, sql FROM sqlite_master --",
    "%' ESCAPE '\\",
    '") |> yield(name: "x") //',
    '" or r.device_id == "site3',
    'site1" or true or "',
    "${site3}",
    '\\" or true //',
    'from(bucket: "sensor_data") |> range(start: 0)',
    "*",
    "site3\n",
    "site1\x00site3",
    "\ud7ff\uffff",
    "{{7*7}}",
    "$(id)",
    "`id`",
    "../../../../etc/passwd",
    "<script>alert(1)</script>",
    "\r\nSet-Cookie: a=b",
    "A" * 5_000,
    "-1",
    "1e400",
    "NaN",
    "9" * 30,
    "[]",
    "%s%n%x",
    "=cmd|' /C calc'!A0",
)


def test_what_is_injected_into_any_parameter_is_a_value_and_nothing_else(api, people):
    """With the first token, so that each reaches the store; then with the customer's, which it must not widen."""
    tried = 0
    for method, path, operation in operations(api):
        for parameter in operation.get("parameters", []):
            for text in INJECTIONS:
                first, customer = (
                    injected(api, method, path, parameter, text, {"Authorization": f"Bearer {token}"})
                    for token in (FIRST, people.tokens["admin"])
                )
                tried += 1
                assert first.status_code in (200, 307, 400, 404, 409, 422, 503), (
                    method,
                    path,
                    parameter["name"],
                    text,
                )
                assert SECRET not in customer.text, (method, path, parameter["name"], text)
                assert customer.status_code != 500 and "set-cookie" not in customer.headers
                if first.status_code == 503:
                    assert "the flow" in first.text, first.text  # never the store
    assert tried > 1_500
    devices = api.get("/api/devices", headers={"Authorization": f"Bearer {FIRST}"}).json()
    assert [device["device_id"] for device in devices] == ["site1", "site3"]
    assert api.get("/api/stats", headers={"Authorization": f"Bearer {FIRST}"}).json()["total_readings"] == 242


def injected(api: Api, method: str, path: str, parameter: dict, text: str, headers: dict[str, str]):
    """Send one with the text in one parameter, everything else as it should be."""
    name, where = parameter["name"], parameter["in"]
    if where == "path":
        path = path.replace(f"{{{name}}}", quoted(text))
    elif where == "header":
        headers = {**headers, name: text.encode("utf-8", "replace").translate(None, b"\r\n\x00")}
    query = {name: text} if where == "query" else {}
    path = path.replace("{device_id}", "site1").replace("{step}", "validate")
    path = path.replace("{alert_id}", "site1/voltage_high/1").replace("{letter_id}", "1")
    return api.client.request(method, path, params=query or None, headers=headers, **body_of(method))


def quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text.encode("utf-8", "replace"), safe="")


def test_what_is_injected_into_any_field_of_a_body_is_refused_or_kept_as_it_is(api):
    fields = ("name", "location", "timezone", "refrigerant", "group", "spf_boundary", "limits", "valid_from")
    for text in INJECTIONS:
        bodies = [
            *({field: text} for field in fields),
            {"by": text},
            {text: text},
            {"limits": {text: {"warning": 1}}},
        ]
        for body in bodies:
            for method, path in (("PUT", "/api/devices/site1"), ("POST", f"/api/alerts/{ALERT}/ack")):
                headers = {"Authorization": f"Bearer {FIRST}"}
                answer = api.client.request(method, path, json=body, headers=headers)
                assert answer.status_code in (422, 503), (path, body)
