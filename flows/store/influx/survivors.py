"""Points of a device that a deletion must not take: InfluxDB deletes by tag and time alone, not by order."""

from collections.abc import Iterator

from influxdb_client.client.flux_table import FluxRecord

from flows.store.influx.alert_points import ALERT
from flows.store.influx.checking import END_OF_TIME
from flows.store.influx.events import NS_A_MS
from flows.store.influx.names import ORDER, quoted, tag_of
from flows.store.influx.server import InfluxServer, moment

_POINTS = """
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_end)
  |> filter(fn: (r) => r.device_id == p_device and r._measurement != p_alert)
"""
_NEWER = "  |> filter(fn: (r) => r._field == p_field and r._value > p_order)\n"
_TO_THE_NANOSECOND = "  |> map(fn: (r) => ({r with at_ns: int(v: r._time)}))\n"
_NO_TAGS = frozenset(("result", "table", "at_ns", "_start", "_stop", "_time", "_value", "_field", "_measurement"))

Point = tuple[int, bytes]
"""Time [ms since 1970, UTC] and line, in nanoseconds."""


def newer_points(server: InfluxServer, bucket: str, device_id: str, order: int) -> list[Point]:
    """Read the points of a device, but for its alerts, that are newer than an order; most often there are none."""
    bound = {"bucket": bucket, "device": tag_of(device_id), "alert": ALERT}
    span = {"start": moment(0), "end": moment(END_OF_TIME)}
    newer = {
        (_series(record), record.values["at_ns"])
        for record in _ask(server, _POINTS + _NEWER, **bound, **span, field=ORDER, order=float(order))
    }
    if not newer:
        return []
    at = [time_ns // NS_A_MS for _, time_ns in newer]
    span = {"start": moment(min(at)), "end": moment(max(at) + 1)}
    fields: dict[tuple[str, int], list[str]] = {key: [] for key in newer}
    for record in _ask(server, _POINTS, **bound, **span):
        key = _series(record), record.values["at_ns"]
        if key in fields:
            fields[key].append(f"{record.values['_field']}={_text(record.values['_value'])}")
    return [
        (time_ns // NS_A_MS, f"{series} {','.join(theirs)} {time_ns}".encode())
        for (series, time_ns), theirs in fields.items()
    ]


def _ask(server: InfluxServer, flux: str, **bound: object) -> Iterator[FluxRecord]:
    with server.speaking("read"):
        values = {f"p_{name}": value for name, value in bound.items()}
        tables = server.client.query_api().query(flux + _TO_THE_NANOSECOND, params=values)
    for table in tables:
        yield from table.records


def _series(record: FluxRecord) -> str:
    tags = {name: value for name, value in record.values.items() if name not in _NO_TAGS}
    return ",".join([record.values["_measurement"], *(f"{name}={tags[name]}" for name in sorted(tags))])


def _text(value: object) -> str:
    if value is None:  # as the client reads an empty text
        return '""'
    return quoted(value) if isinstance(value, str) else repr(value)
