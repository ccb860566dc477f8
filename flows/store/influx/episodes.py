"""Episodes in the server store: written as they end, found anew (see flows/store/retracing.py), and read.

A point each in the meta bucket, at the episode's start: its end, its order, all of it as JSON, and its values as
fields for others who read. Of an episode that is no more the order alone is left.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from flows.model.episode import Episode, EpisodeKind, EpisodeRow, Retrace
from flows.model.rollup import HOLD_MS
from flows.model.table import Table, Times
from flows.physics.episodes import NEEDED
from flows.store import retracing
from flows.store.influx.catalog import Catalog
from flows.store.influx.checking import END_OF_TIME
from flows.store.influx.devices import meet
from flows.store.influx.names import tag_of
from flows.store.influx.readingon import cut_behind, first_after, read_on
from flows.store.influx.rowreading import raw_times
from flows.store.influx.server import InfluxServer, moment
from flows.store.influx.shelf import BODY, END, EPISODE, episodes_in
from flows.store.retracing import SETTLING_MS, episode_of

_OF_DEVICE = """
of_device = (tables=<-) => tables
  |> filter(fn: (r) => r._measurement == p_measurement and r.device_id == p_device)
  |> filter(fn: (r) => {kinds})
  |> filter(fn: (r) => r._field == p_whole or r._field == p_end)
"""
_INSIDE = """
from(bucket: p_bucket)
  |> range(start: p_since, stop: p_until)
  |> of_device()
  |> tail(n: {limit:d})
  |> keep(columns: ["kind", "_time", "_field", "_value"])
  |> yield(name: "inside")
"""
_BEFORE = """
from(bucket: p_bucket)
  |> range(start: p_ever, stop: p_since)
  |> of_device()
  |> last()
  |> keep(columns: ["kind", "_time", "_field", "_value"])
  |> yield(name: "before")
"""


def write_episodes(catalog: Catalog, rows: Sequence[EpisodeRow]) -> None:
    """Write episodes; a newer one replaces an older one of its device, kind and start."""
    meet(catalog, {row.device_id for row in rows})
    catalog.shelf.put(rows)


def retrace(catalog: Catalog, requests: list[Retrace]) -> None:
    """Find episodes anew and put them in the place of those that were stored."""
    asked = [
        (Past(catalog, request.device_id), request)
        for request in sorted(requests, key=lambda each: each.order)
        if catalog.devices.known(request.device_id)
    ]
    for _, request in asked:
        catalog.shelf.reach(request.device_id, min(request.begun, request.start) - SETTLING_MS)
    retracing.retrace(asked, lambda spans: [past.sent(start, end) for past, start, end in spans])


def select(
    server: InfluxServer, device_id: str, kinds: Collection[EpisodeKind], start: int, end: int, limit: int
) -> list[Episode]:
    """Read episodes that reach into [start, end), newest start first."""
    since, until = max(start, 0), min(end, END_OF_TIME)
    if not kinds or since >= until or limit <= 0:
        return []
    bound = {f"kind{place}": kind for place, kind in enumerate(kinds)}
    flux = _OF_DEVICE.format(kinds=" or ".join(f"r.kind == p_{name}" for name in bound))
    flux += _INSIDE.format(limit=limit) + (_BEFORE if since else "")
    answer = server.ask(
        flux,
        bucket=server.address.meta,
        measurement=EPISODE,
        device=tag_of(device_id),
        whole=BODY,
        end=END,
        ever=moment(0),
        since=moment(since),
        until=moment(until),
        **bound,
    )
    found = [
        episode_of(kind, at, int(float(fields[END])), fields[BODY])
        for (_, kind, at), fields in episodes_in(answer).items()
        if BODY in fields and END in fields  # not so of one that is being written
    ]
    inside = [each for each in found if each.end > start or each.start >= start]
    return sorted(inside, key=lambda each: (-each.start, each.kind))[:limit]


class Past:
    """The rows of one device on the server; see flows.store.retracing.Past.

    What the writer knows by heart spares questions; what a question brought, the next ones.
    """

    def __init__(self, catalog: Catalog, device_id: str) -> None:
        self._catalog, self._shelf, self._device_id = catalog, catalog.shelf, device_id
        self._oldest = catalog.raw.oldest.get(device_id, END_OF_TIME)
        self._newest = catalog.raw.newest.get(device_id, -1)
        self._read = (0, 0)
        self._at: Times = np.empty(0, dtype=np.int64)
        self.history = catalog.devices.history(device_id)
        self.raw_before = catalog.leaving.raw_before.get(device_id, 0)

    def sent(self, start: int, end: int) -> tuple[Table, bool]:
        """Read what was sent in a span, and next after it; tells whether there was a next."""
        known = self._known(start)
        if known is not None:
            table, self._read = known, (start, END_OF_TIME)
        else:
            self._catalog.outgoing.flush()
            table = read_on(self._catalog, self._device_id, start, end, NEEDED).table
            self._read = start, max([end + HOLD_MS, *(table.at[-1:] + 1).tolist()])
        self._at = table.at
        return cut_behind(table, end), bool(len(table.at)) and bool(table.at[-1] >= end)

    def times(self, start: int, end: int) -> Times:
        """Read event times of raw rows."""
        low, high = self._read
        if low <= start and (end <= high or self._newest < high):
            return self._at[np.searchsorted(self._at, start) : np.searchsorted(self._at, end)]
        known = self._known(start)
        if known is not None:
            return known.at[: np.searchsorted(known.at, end)]
        return self._asked(start, end)

    def time_before(self, at: int) -> int | None:
        """Give the time of the last raw row before a time."""
        low, high = self._read
        place = int(np.searchsorted(self._at, at))
        if low < at <= high and place:
            return int(self._at[place - 1])
        if at <= self._oldest:
            return None
        known = self._catalog.samples.before(self._device_id, at)
        if known is not None:
            return known
        found = self._asked(0, at, limit=1, newest_first=True)
        return int(found[0]) if len(found) else None

    def time_after(self, at: int) -> int | None:
        """Give the time of the first raw row after a time."""
        low, high = self._read
        place = int(np.searchsorted(self._at, at, "right"))
        if low <= at < high and place < len(self._at):
            return int(self._at[place])
        known = self._known(at)
        if known is not None:
            return next(iter(known.at[np.searchsorted(known.at, at, "right") :].tolist()), None)
        self._catalog.outgoing.flush()
        return first_after(self._catalog, self._device_id, at)

    def across(self, kind: EpisodeKind, at: int) -> int | None:
        """Give the start of a stored episode that began before a time and reaches to it."""
        return self._shelf.across(self._device_id, kind, at)

    def orders(self, kind: EpisodeKind, start: int, end: int) -> dict[int, int]:
        """Read the orders, by start, of episodes of a kind that begin in a span, those that are no more too."""
        return self._shelf.orders(self._device_id, kind, start, end)

    def bury(self, kind: EpisodeKind, orders: dict[int, int]) -> None:
        """Let episodes be no more. orders: theirs from now on, by start."""
        self._shelf.bury(self._device_id, kind, orders)

    def put(self, rows: Collection[EpisodeRow]) -> None:
        """Write episodes; a newer one replaces an older one of its kind and start."""
        self._shelf.put(rows)

    def _known(self, start: int) -> Table | None:
        """Give the rows from a time on without a question; None where they are not all known."""
        if start <= self._oldest:
            start = self._oldest
        return self._catalog.samples.since(self._device_id, max(start, self.raw_before))

    def _asked(self, start: int, end: int, **rest: Any) -> Times:
        self._catalog.outgoing.flush()
        return raw_times(self._catalog.server, self._device_id, start, end, **rest)
