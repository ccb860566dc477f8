"""What a server store holds, asked with plain Flux (docs/reference/store-influxdb.md); nothing of `flows`."""

import csv
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from io import StringIO
from typing import Any

import httpx

from tests.ledger.load import Event
from tests.ledger.stored import Letters, Row
from tests.oracle.alerts import Change
from tests.oracle.readings import FLAGS, derived

OWN_FIELDS = {"order", "late_ms", "clock", "count", "heat_source"}
ORDERS = 1_000_000
"""What is added to an event's time [ms] tells apart events of one instant. [ns]"""


class StoredInflux:
    """The buckets of an installation."""

    def __init__(self, url: str, token: str, bucket: str = "sensor_data", org: str = "heatpump") -> None:
        headers = {"Authorization": f"Token {token}", "Accept": "application/csv"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=60.0, trust_env=False)
        self._org, self._bucket = org, bucket
        self._meta = "heatpump_meta" if bucket == "sensor_data" else f"{bucket}_meta"

    def devices(self) -> set[str]:
        text = f'import "influxdata/influxdb/schema"\nschema.tagValues(bucket: "{self._bucket}", tag: "device_id", start: 0)'
        return {row["_value"] for row in self._ask(text)}

    def rows(self, device_id: str, kind: str) -> dict[int, Row]:
        bucket = self._bucket if kind == "raw" else f"{self._bucket}_{kind}"
        measurement = "sensor_reading" if kind == "raw" else "sensor_rollup"
        found: dict[int, dict[str, Any]] = {}
        for row in self._points(bucket, measurement, device_id):
            found.setdefault(_ns(row["_time"]) // ORDERS, {})[row["_field"]] = _value(row["_value"])
        return {at: _row(values) for at, values in found.items()}

    def changes(self, device_id: str) -> list[Change]:
        found = sorted(
            (each for each in self._transitions() if each["device_id"] == device_id and each["state"] != "noted"),
            key=lambda each: each["order"],
        )
        return [
            Change(each["alert_type"], each["state"], each["level"], each["at"], each.get("value"))
            for each in found
        ]

    def events(self) -> Counter[Event]:
        return Counter(
            Event(each["device_id"], each["at"], each["value"])
            for each in self._transitions()
            if each["state"] == "noted"
        )

    def letters(self) -> Letters:
        counted: Counter[tuple[str, str]] = Counter()
        for row in self._points(self._meta, "dead_letter_count"):
            if row["_field"] == "count":
                counted[row.get("device_id", ""), row["reason"]] += int(float(row["_value"]))
        return [(device_id, reason, count) for (device_id, reason), count in counted.items()]

    def close(self) -> None:
        self._http.close()

    def _transitions(self) -> list[dict[str, Any]]:
        found: dict[tuple[str, ...], dict[str, Any]] = {}
        for row in self._points(self._meta, "alert"):
            tags = {name: row[name] for name in ("device_id", "alert_type", "level")}
            event = found.setdefault((row["_time"], *tags.values()), {**tags, "at": _ns(row["_time"]) // ORDERS})
            event[row["_field"]] = row["_value"] if row["_field"] in TEXTS else _value(row["_value"])
        return list(found.values())

    def _points(self, bucket: str, measurement: str, device_id: str | None = None) -> Iterator[dict[str, str]]:
        whose = f' and r.device_id == "{device_id}"' if device_id is not None else ""
        yield from self._ask(
            f'from(bucket: "{bucket}") |> range(start: 0, stop: 2200-01-01T00:00:00Z)'
            f' |> filter(fn: (r) => r._measurement == "{measurement}"{whose})'
        )

    def _ask(self, flux: str) -> Iterator[dict[str, str]]:
        answer = self._http.post(
            "/api/v2/query", params={"org": self._org}, json={"query": flux, "dialect": {"annotations": []}}
        )
        answer.raise_for_status()
        names: list[str] = []
        for cells in csv.reader(StringIO(answer.text, newline="")):
            if not cells:
                names = []
            elif not names:
                names = cells
            else:
                yield dict(zip(names, cells, strict=True))


TEXTS = {"state", "message", "id", "by", "acknowledged_by"}


def _row(values: dict[str, Any]) -> Row:
    kept = {name: value for name, value in values.items() if name not in OWN_FIELDS}
    sent = {name: value for name, value in kept.items() if not isinstance(value, str)}
    for name in derived({name: bool(value) if name in FLAGS else value for name, value in sent.items()}):
        kept.pop(name, None)  # told by every reader, and compared as told
    return Row(kept, int(values.get("count", 0)), values.get("heat_source", ""))


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text


def _ns(text: str) -> int:
    whole = datetime.fromisoformat(f"{text[:19]}+00:00")
    return int(whole.timestamp()) * 1_000_000_000 + int(text[20:-1].ljust(9, "0") or 0)
