"""Which episodes are stored, as far as the writer needs to know, and how they are replaced."""

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import cast

import msgspec

from flows.model.episode import KINDS, EpisodeKind, EpisodeRow
from flows.store.influx.answers import Block, times_ms
from flows.store.influx.checking import END_OF_TIME
from flows.store.influx.lines import fields_of
from flows.store.influx.names import ORDER, quoted, tag_of, text_of
from flows.store.influx.outgoing import Outgoing
from flows.store.influx.server import InfluxServer, moment
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
"""
_OF_DEVICES = "  |> filter(fn: (r) => {})\n"
_LAST = "  |> filter(fn: (r) => r._field == p_ending or r._field == p_ordering)\n  |> last()\n"
_OF_KIND = """
  |> filter(fn: (r) => r.device_id == p_device and r.kind == p_kind and r._field == p_ending)
  |> last()
"""
_KEPT = '  |> keep(columns: ["device_id", "kind", "_time", "_field", "_value"])\n'

MOST_KNOWN = 60
"""Of a device and kind: some 15 kB."""


class Stored(msgspec.Struct, frozen=True):
    """An episode, or (end None) one that is no more. fields: of its point."""

    order: int
    end: int | None
    fields: frozenset[str]


class Shelf:
    """A copy of the newest episodes that are stored, kept up to date by what is written through it.

    At first it knows of each device where its episodes end; before that it asks.
    """

    def __init__(self, server: InfluxServer, outgoing: Outgoing) -> None:
        self._server, self._outgoing = server, outgoing
        self._stored: dict[tuple[str, EpisodeKind], dict[int, Stored]] = {}
        self._since: dict[str, int] = {}
        self._before: dict[tuple[str, EpisodeKind], tuple[int, int, int]] = {}
        last = self._last()
        for (device_id, _, start), _ in last.items():
            self._since[device_id] = max(start + 1, self._since.get(device_id, 0))
        for device_id, since in self._since.items():
            self._before.update({(device_id, kind): (since, 0, -1) for kind in KINDS})
        for (device_id, kind, start), fields in last.items():
            if END in fields:
                self._before[device_id, kind] = (self._since[device_id], start, int(float(fields[END])))

    def reach(self, device_id: str, since: int) -> None:
        """See to it that the episodes of a device are known that begin at a time [ms since 1970, UTC] or later."""
        known = self._since.get(device_id, 0)
        since = max(since, 0)
        if since < known:
            self._read(since, known, [device_id])
            self._since[device_id] = since

    def forget(self, device_id: str) -> None:
        """Know nothing of a device any more."""
        for kind in KINDS:
            self._stored.pop((device_id, kind), None)
            self._before.pop((device_id, kind), None)
        self._since[device_id] = END_OF_TIME

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
        """Write episodes; a newer one replaces an older one of its device, kind and start."""
        keys = [(row.device_id, row.episode.kind, row.episode.start) for row in rows]
        stored = self._look_up(keys)
        chosen: dict[Key, EpisodeRow] = {}
        for key, row in zip(keys, rows, strict=True):
            if row.order >= (chosen[key].order if key in chosen else stored[key].order if key in stored else -1):
                chosen[key] = row
        lines = []
        for key, values in zip(chosen, fields_of([row.episode.values for row in chosen.values()]), strict=True):
            row = chosen[key]
            fields = _shared(frozenset((*row.episode.values, BODY, END, ORDER)))
            self._replace(key, stored.get(key), Stored(row.order, row.episode.end, fields))
            body = quoted(body_of(row.episode)).encode()
            lines.append(
                b"%b %bend=%d,order=%d,body=%b %d"
                % (_series(key), values, row.episode.end, row.order, body, row.episode.start)
            )
        self._outgoing.add(self._server.address.meta, lines)

    def bury(self, device_id: str, kind: EpisodeKind, orders: dict[int, int]) -> None:
        """Let episodes be no more. orders: theirs from now on, by start."""
        lines = []
        stored = self._look_up([(device_id, kind, start) for start in orders])
        for start, order in orders.items():
            key = device_id, kind, start
            self._replace(key, stored.get(key), Stored(order, None, _shared(frozenset((ORDER,)))))
            lines.append(b"%b order=%d %d" % (_series(key), order, start))
        self._outgoing.add(self._server.address.meta, lines)

    def _replace(self, key: Key, before: Stored | None, coming: Stored) -> None:
        """Delete the stored point if it has fields that the coming one lacks."""
        device_id, kind, start = key
        if before is not None and before.fields - coming.fields:
            self._outgoing.flush()
            predicate = f'_measurement="{EPISODE}" AND device_id="{tag_of(device_id)}" AND kind="{kind}"'
            self._server.delete(self._server.address.meta, predicate, start, start + 1)
        if start < self._since.get(device_id, 0):
            self._before.pop((device_id, kind), None)
            return
        mine = self._stored.setdefault((device_id, kind), {})
        mine[start] = coming
        if len(mine) > MOST_KNOWN:
            self._shorten(device_id, sorted(mine)[MOST_KNOWN // 2])

    def _shorten(self, device_id: str, cut: int) -> None:
        """Let go of what begins before a time."""
        since = self._since.get(device_id, 0)
        for kind in KINDS:
            mine = self._stored.get((device_id, kind), {})
            gone = {start: mine.pop(start).end for start in [start for start in mine if start < cut]}
            live = max(((start, end) for start, end in gone.items() if end is not None), default=None)
            before = self._before.pop((device_id, kind), (since, 0, -1) if not since else None)
            if live is not None:
                self._before[device_id, kind] = (cut, *live)
            elif before is not None and before[0] == since:
                self._before[device_id, kind] = (cut, *before[1:])
        self._since[device_id] = cut

    def _look_up(self, keys: Collection[Key]) -> dict[Key, Stored]:
        """Tell what is stored of these, asking for what is not known."""
        older = {(device_id, start) for device_id, _, start in keys if start < self._since.get(device_id, 0)}
        found: dict[Key, Stored] = {}
        for first, end, device_ids in spans(older, APART_MS, ROWS_A_QUESTION):
            found.update(self._ask(first, end, device_ids))
        for device_id, kind, start in keys:
            known = self._stored.get((device_id, kind), {}).get(start)
            if known is not None:
                found[device_id, kind, start] = known
        return found

    def _last_before(self, device_id: str, kind: EpisodeKind, at: int) -> tuple[int, int] | None:
        """Find the last episode that begins before those of the device that were read, or before a time."""
        since = self._since.get(device_id, 0)
        until, known = min(since, at), self._before.get((device_id, kind))
        if not until:
            return None
        if known is None or not (known[0] == until or (known[0] == since and known[1] < at)):
            flux = _POINTS + _OF_KIND
            found = self._points(flux, 0, until, device=tag_of(device_id), kind=kind, ending=END)
            ends = [(start, int(float(fields[END]))) for (_, _, start), fields in found.items()]
            known = self._before[device_id, kind] = (until, *max(ends, default=(0, -1)))
        return known[1:]

    def _read(self, start: int, end: int, device_ids: Collection[str]) -> None:
        for (device_id, kind, at), stored in self._ask(start, end, device_ids).items():
            self._stored.setdefault((device_id, kind), {})[at] = stored

    def _ask(self, start: int, end: int, device_ids: Collection[str]) -> dict[Key, Stored]:
        """Read the episodes of devices that begin in a span."""
        bound = {f"device{place}": tag_of(device_id) for place, device_id in enumerate(device_ids)}
        flux = _POINTS + _OF_DEVICES.format(" or ".join(f"r.device_id == p_{name}" for name in bound))
        return {key: _stored(fields) for key, fields in self._points(flux, start, end, **bound).items()}

    def _last(self) -> dict[Key, dict[str, str]]:
        """Read of each device and kind the newest episode, and the newest that is not gone."""
        return self._points(_POINTS + _LAST, 0, END_OF_TIME, ending=END, ordering=ORDER)

    def _points(self, flux: str, start: int, end: int, **bound: str) -> dict[Key, dict[str, str]]:
        if start >= end:
            return {}
        self._outgoing.flush()
        server = self._server
        span = {"start": moment(start), "stop": moment(end)}
        asked = {"bucket": server.address.meta, "measurement": EPISODE, "body": BODY, **span, **bound}
        return episodes_in(server.ask(flux + _KEPT, **asked))


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


def _stored(fields: dict[str, str]) -> Stored:
    end = int(float(fields[END])) if END in fields else None
    names = frozenset(fields) if end is None else frozenset((*fields, BODY))
    return Stored(int(float(fields[ORDER])), end, _shared(names))


@lru_cache(maxsize=1_000)
def _shared(names: frozenset[str]) -> frozenset[str]:
    """Give names that are the same object each time: most episodes have the fields of others."""
    return names


def _series(key: Key) -> bytes:
    device_id, kind, _ = key
    return f"{EPISODE},device_id={tag_of(device_id)},kind={kind}".encode()
