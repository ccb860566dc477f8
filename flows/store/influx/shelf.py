"""Which episodes are stored, as far as a batch needs to know, and how they are replaced."""

from collections.abc import Collection, Iterable
from typing import cast

import msgspec

from flows.model.episode import EpisodeKind, EpisodeRow
from flows.store.influx.answers import Block, times_ms
from flows.store.influx.catalog import Catalog
from flows.store.influx.checking import END_OF_TIME
from flows.store.influx.lines import fields_of
from flows.store.influx.names import ORDER, quoted, tag_of, text_of
from flows.store.influx.server import moment
from flows.store.influx.spans import spans
from flows.store.retracing import body_of

EPISODE = "episode"
BODY, END = "body", "end"
APART_MS, ROWS_A_QUESTION = 1_800_000, 4_000
"""About how far apart episodes of a device are [ms], and how many a question may bring."""

Key = tuple[str, EpisodeKind, int]
"""Device, kind, start. [ms since 1970, UTC]"""

_POINTS = """
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_stop)
  |> filter(fn: (r) => r._measurement == p_measurement and r._field != p_body)
  |> filter(fn: (r) => {})
"""
_OF_KIND = "  |> filter(fn: (r) => r.kind == p_kind and r._field == p_ending)\n  |> last()\n"
_KEPT = '  |> keep(columns: ["device_id", "kind", "_time", "_field", "_value"])\n'


class Stored(msgspec.Struct, frozen=True):
    """An episode, or (end None) one that is no more. fields: of its point."""

    order: int
    end: int | None
    fields: frozenset[str]


class Shelf:
    """A copy of some of what is stored, kept up to date by what is written through it.

    What was collected before is sent first; what is written through it is never asked for again.
    """

    def __init__(self, catalog: Catalog) -> None:
        catalog.outgoing.flush()
        self._catalog = catalog
        self._stored: dict[tuple[str, EpisodeKind], dict[int, Stored]] = {}
        self._since: dict[str, int] = {}
        self._before: dict[tuple[str, EpisodeKind], tuple[int, int, int] | None] = {}

    def reach(self, device_id: str, since: int) -> None:
        """Read the episodes of a device that begin at a time [ms since 1970, UTC] or later."""
        known = self._since.get(device_id, END_OF_TIME)
        since = max(since, 0)
        if since < known:
            self._read(since, known, [device_id])
            self._since[device_id] = since

    def look_up(self, places: Iterable[tuple[str, int]]) -> None:
        """Read what begins at these times of devices, and some of what lies between."""
        for start, end, device_ids in spans(set(places), APART_MS, ROWS_A_QUESTION):
            self._read(start, end, device_ids)

    def across(self, device_id: str, kind: EpisodeKind, at: int) -> int | None:
        """Give the start of an episode that began before a time and reaches to it. [ms since 1970, UTC]"""
        mine = self._stored.get((device_id, kind), {})
        live = [(start, each.end) for start, each in mine.items() if start < at and each.end is not None]
        start, end = max(live, default=None) or self._last_before(device_id, kind, at) or (0, -1)
        return start if end >= at else None

    def orders(self, device_id: str, kind: EpisodeKind, start: int, end: int) -> dict[int, int]:
        """Give the orders, by start, of episodes of a kind that begin in a span, those that are no more too."""
        self.reach(device_id, start)
        mine = self._stored.get((device_id, kind), {})
        return {at: each.order for at, each in mine.items() if start <= at < end}

    def put(self, rows: Collection[EpisodeRow]) -> None:
        """Write episodes that begin where it was read what is stored; older ones are ignored."""
        chosen: dict[Key, EpisodeRow] = {}
        for row in rows:
            key = row.device_id, row.episode.kind, row.episode.start
            stored = chosen[key].order if key in chosen else self._order(key)
            if row.order >= stored:
                chosen[key] = row
        lines = []
        for key, values in zip(chosen, fields_of([row.episode.values for row in chosen.values()]), strict=True):
            row = chosen[key]
            fields = frozenset((*row.episode.values, BODY, END, ORDER))
            self._replace(key, Stored(row.order, row.episode.end, fields))
            body = quoted(body_of(row.episode)).encode()
            lines.append(
                b"%b %bend=%d,order=%d,body=%b %d"
                % (_series(key), values, row.episode.end, row.order, body, row.episode.start)
            )
        self._catalog.outgoing.add(self._catalog.server.address.meta, lines)

    def bury(self, device_id: str, kind: EpisodeKind, orders: dict[int, int]) -> None:
        """Let episodes be no more. orders: theirs from now on, by start."""
        lines = []
        for start, order in orders.items():
            key = device_id, kind, start
            self._replace(key, Stored(order, None, frozenset((ORDER,))))
            lines.append(b"%b order=%d %d" % (_series(key), order, start))
        self._catalog.outgoing.add(self._catalog.server.address.meta, lines)

    def _replace(self, key: Key, coming: Stored) -> None:
        """Delete the stored point if it has fields that the coming one lacks."""
        device_id, kind, start = key
        mine = self._stored.setdefault((device_id, kind), {})
        before = mine.get(start)
        if before is not None and before.fields - coming.fields:
            catalog = self._catalog
            catalog.outgoing.flush()
            predicate = f'_measurement="{EPISODE}" AND device_id="{tag_of(device_id)}" AND kind="{kind}"'
            catalog.server.delete(catalog.server.address.meta, predicate, start, start + 1)
        mine[start] = coming

    def _order(self, key: Key) -> int:
        device_id, kind, start = key
        stored = self._stored.get((device_id, kind), {}).get(start)
        return stored.order if stored is not None else -1

    def _last_before(self, device_id: str, kind: EpisodeKind, at: int) -> tuple[int, int] | None:
        """Find the last episode that begins before those of the device that were read, or before a time."""
        until = min(self._since.get(device_id, END_OF_TIME), at)
        known = self._before.get((device_id, kind))
        if known is None or known[0] != until:
            found = self._ask(_OF_KIND, 0, until, [device_id], kind=kind, ending=END)
            ends = [(start, int(float(fields[END]))) for (_, _, start), fields in found.items()]
            known = self._before[device_id, kind] = (until, *max(ends, default=(0, -1)))
        return known[1:]

    def _read(self, start: int, end: int, device_ids: Collection[str]) -> None:
        for (device_id, kind, at), fields in self._ask("", start, end, device_ids).items():
            stop = int(float(fields[END])) if END in fields else None
            names = frozenset(fields) if stop is None else frozenset((*fields, BODY))
            mine = self._stored.setdefault((device_id, kind), {})
            mine[at] = Stored(int(float(fields[ORDER])), stop, names)

    def _ask(
        self, rest: str, start: int, end: int, device_ids: Collection[str], **more: str
    ) -> dict[Key, dict[str, str]]:
        if start >= end:
            return {}
        bound = {f"device{place}": tag_of(device_id) for place, device_id in enumerate(device_ids)}
        chosen = " or ".join(f"r.device_id == p_{name}" for name in bound)
        server = self._catalog.server
        span = {"start": moment(start), "stop": moment(end)}
        return episodes_in(
            server.ask(
                _POINTS.format(chosen) + rest + _KEPT,
                bucket=server.address.meta,
                measurement=EPISODE,
                body=BODY,
                **span,
                **bound,
                **more,
            )
        )


def episodes_in(answer: Iterable[Block]) -> dict[Key, dict[str, str]]:
    """Gather the fields of episodes; the device is "" where it was left out."""
    found: dict[Key, dict[str, str]] = {}
    for block in answer:
        kinds, fields, values = (block.column(name) for name in ("kind", "_field", "_value"))
        tags = block.column("device_id") if "device_id" in block.names else [""] * len(kinds)
        times = times_ms(block.column("_time")).tolist()
        for tag, kind, at, field, value in zip(tags, kinds, times, fields, values, strict=True):
            found.setdefault((text_of(tag), cast(EpisodeKind, kind), at), {})[field] = value
    return found


def _series(key: Key) -> bytes:
    device_id, kind, _ = key
    return f"{EPISODE},device_id={tag_of(device_id)},kind={kind}".encode()
