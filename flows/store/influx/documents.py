"""State that is overwritten: one JSON text a key, in the meta bucket, all of them at one time."""

from collections.abc import Iterator

from flows.store.influx.names import STATE_AT, quoted, tag_of, text_of
from flows.store.influx.server import InfluxServer, moment

_READ = """
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_end)
  |> filter(fn: (r) => r._measurement == p_kind and r._field == "body")
"""
_ONE = '  |> filter(fn: (r) => r["key"] == p_key)\n'
_KEPT = '  |> keep(columns: ["key", "_value"])\n'


def line(kind: str, key: str, body: str) -> bytes:
    """Write a document as a line for the meta bucket. kind: the measurement; body: JSON."""
    return f"{kind},key={tag_of(key)} body={quoted(body)} {STATE_AT}".encode()


def read(server: InfluxServer, kind: str, key: str | None = None) -> Iterator[tuple[str, str]]:
    """Read documents of a kind, all or that of a key: (key, body)."""
    bound = {"bucket": server.address.meta, "kind": kind}
    span = {"start": moment(STATE_AT), "end": moment(STATE_AT + 1)}
    if key is not None:
        found = server.ask(_READ + _ONE + _KEPT, **bound, **span, key=tag_of(key))
    else:
        found = server.ask(_READ + _KEPT, **bound, **span)
    for block in found:
        yield from zip(map(text_of, block.column("key")), block.column("_value"), strict=True)


def forget(server: InfluxServer, kind: str, key: str) -> None:
    """Delete a document."""
    server.delete(server.address.meta, f'_measurement="{kind}" AND "key"="{tag_of(key)}"', STATE_AT, STATE_AT + 1)
