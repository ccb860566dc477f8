"""Points that are written once, at an instant that others may have too: alerts, dead letters, commands."""

from collections.abc import Iterable, Iterator, Mapping

from flows.store.influx.answers import Block
from flows.store.influx.checking import END_OF_TIME
from flows.store.influx.names import STATE_AT, quoted, tag_of, text_of
from flows.store.influx.server import InfluxServer, moment

NS_A_MS = 1_000_000

Bound = Mapping[str, object]
"""Values of a question, by the names that its text has for them."""

NOTHING: Bound = {}

_POINTS = """
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_end)
  |> filter(fn: (r) => r._measurement == p_measurement)
"""
FEW = 20
"""So many tags are compared one by one; for more it is quicker to look at all."""


def time_ns(at: int, order: int) -> int:
    """Give the time of a point: that of the event, and what tells it from others of its millisecond.

    at : [ms since 1970, UTC]; the result: [ns since 1970, UTC]
    """
    return at * NS_A_MS + order % NS_A_MS


def ask(
    server: InfluxServer,
    measurement: str,
    fields: str | Iterable[str],
    rest: str = "",
    bound: Bound = NOTHING,
    start: int = 0,
    end: int = END_OF_TIME,
) -> Iterator[Block]:
    """Read one or some fields of the points in [start, end) [ms since 1970, UTC] of the meta bucket.

    rest : what follows in Flux; bound: by names in it.
    """
    start, end = max(start, 0), min(end, END_OF_TIME)
    if start >= end:
        return iter(())
    span = {"start": moment(start), "end": moment(end)}
    chosen, names = any_of("_field", [fields] if isinstance(fields, str) else fields)
    of = {"bucket": server.address.meta, "measurement": measurement}
    return server.ask(_POINTS + chosen + rest, **of, **span, **names, **bound)


def any_of(column: str, values: Iterable[object]) -> tuple[str, Bound]:
    """Choose what has one of these values, compared one by one: the server does that where the points lie."""
    bound = {f"{column.strip('_')}{place}": value for place, value in enumerate(values)}
    return f"  |> filter(fn: (r) => {' or '.join(f'r.{column} == p_{name}' for name in bound)})\n", bound


def some_of(column: str, values: Iterable[object]) -> tuple[str, Bound]:
    """Choose what has one of these values, or all where these are too many to compare."""
    few = [*values]
    return any_of(column, few) if len(few) <= FEW else ("", NOTHING)


def of_device(device_id: str | None) -> tuple[str, Bound]:
    """Choose points of a device, None: of all."""
    return any_of("device_id", [tag_of(device_id)]) if device_id is not None else ("", NOTHING)


def state_line(measurement: str, device_id: str, body: str) -> bytes:
    """Write a JSON text of which there is one a device, which goes where its other points go."""
    return f"{measurement},device_id={tag_of(device_id)} body={quoted(body)} {STATE_AT}".encode()


def states(server: InfluxServer, measurement: str, device_id: str | None = None) -> Iterator[tuple[str, str]]:
    """Read them: (device, body)."""
    rest, bound = of_device(device_id)
    rest += '  |> keep(columns: ["device_id", "_value"])\n'
    for block in ask(server, measurement, "body", rest, bound, STATE_AT, STATE_AT + 1):
        yield from zip(map(text_of, block.column("device_id")), block.column("_value"), strict=True)
