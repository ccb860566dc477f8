"""Alerts: transitions are kept, and each alert stands as its last one says; see alert_points.py."""

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from flows.model.alert import Transition
from flows.store.influx import events
from flows.store.influx.alert_points import (
    ALERT,
    MOST_TOLD,
    decode_standing,
    decode_transition,
    is_open,
    latest,
    meta_line,
    reading_line,
    standing,
    told,
)
from flows.store.influx.answers import times_ms
from flows.store.influx.checking import END_OF_TIME
from flows.store.influx.devices import meet
from flows.store.influx.names import tag_of
from flows.store.influx.server import InfluxServer
from flows.store.protocol import StoredAlert

if TYPE_CHECKING:
    from flows.store.influx.catalog import Catalog

OPEN = "alert_open"
"""Measurement: of each device its open alerts, with their newest transitions; by id. JSON"""

_STANDING = '  |> filter(fn: (r) => r._value != "")\n'
_OF_TYPE = "  |> filter(fn: (r) => r.device_id == p_device and r.alert_type == p_type)\n"
_VALUES = '  |> keep(columns: ["_value"])\n'
_TIMES = '  |> keep(columns: ["_time", "_value"])\n'
_DISTINCT = '  |> keep(columns: ["_value"])\n  |> distinct()\n  |> count()\n'
_HIGHEST = '  |> max()\n  |> keep(columns: ["_value"])\n'

_Alerts = dict[str, list[Transition]]
_open = msgspec.json.Decoder(_Alerts)


class Alerts(msgspec.Struct):
    """What the writer knows of alerts.

    open   : by device and id, transitions by order; of many the newest (see `told`).
    total  : alerts that there are.
    newest : highest order of a transition: what comes after it and begins an alert is no replay.
    """

    open: dict[str, _Alerts]
    total: int
    newest: int


def load(server: InfluxServer) -> Alerts:
    """Read what the writer knows of alerts."""
    found = {device_id: _open.decode(body) for device_id, body in events.states(server, OPEN)}
    total = [value for block in events.ask(server, ALERT, "id", _DISTINCT) for value in block.column("_value")]
    orders = [value for block in events.ask(server, ALERT, "order", _HIGHEST) for value in block.column("_value")]
    return Alerts(found, sum(map(int, total)), int(max(map(float, orders), default=-1)))


def write_transitions(catalog: "Catalog", changes: list[Transition]) -> None:
    """Add transitions, and say anew how their alerts stand; one that is stored stays as it is."""
    known = catalog.alerts
    news: dict[str, dict[int, Transition]] = {}
    for change in changes:
        news.setdefault(change.id, {}).setdefault(change.order, change)
    stored = _stored(catalog, [min(new.values(), key=lambda change: change.order) for new in news.values()])
    for alert_id, new in news.items():
        device_id = next(iter(new.values())).device_id
        theirs = known.open.setdefault(device_id, {})
        before = {change.order: change for change in theirs.get(alert_id) or stored.get(alert_id, [])}
        after = [change for _, change in sorted({**new, **before}.items())]
        again = new.keys() & before.keys()
        _add_lines(
            catalog, after, None if again else [*new.values(), *([latest(before.values())] if before else [])]
        )
        known.total += not before
        theirs.pop(alert_id, None)
        if is_open(standing(after)):
            theirs[alert_id] = told(after)
    known.newest = max(known.newest, max(change.order for change in changes))
    device_ids = {change.device_id for change in changes}
    meet(catalog, device_ids)
    # After the points: an alert is known to be open only where its points are stored.
    lines = [events.state_line(OPEN, name, msgspec.json.encode(known.open[name]).decode()) for name in device_ids]
    catalog.outgoing.add(catalog.server.address.meta, lines, "ns")


def forget(catalog: "Catalog", device_id: str, order: int) -> list[Transition]:
    """Forget a device's alerts; returns the transitions that are newer, to be written again after the deletion."""
    there = _transitions(catalog.server, [device_id])
    catalog.alerts.total -= len({change.id for change in there})
    catalog.alerts.open.pop(device_id, None)
    return [change for change in there if change.order > order]


def select(
    server: InfluxServer, device_id: str | None, start: int, end: int, limit: int, open_only: bool
) -> list[StoredAlert]:
    """Read alerts with a transition in [start, end), the one that changed last first."""
    found = (
        _open_alerts(server, device_id, start, end) if open_only else _alerts(server, device_id, start, end, limit)
    )
    found.sort(key=lambda each: (each[0], each[1].last.order), reverse=True)
    # A batch that is being written may leave an alert's older standing for a moment.
    newest = {alert.last.id: alert for _, alert in sorted(found, key=lambda each: each[1].last.order)}
    return [alert for _, alert in found if newest[alert.last.id] is alert][:limit]


def select_one(server: InfluxServer, alert_id: str) -> StoredAlert | None:
    """Read one alert, or None."""
    device_id, _, alert_type = alert_id.rpartition("/")[0].rpartition("/")
    bound = {"device": tag_of(device_id), "type": tag_of(alert_type)}
    for block in events.ask(server, ALERT, "standing", _STANDING + _OF_TYPE + _VALUES, bound):
        for alert in map(decode_standing, block.column("_value")):
            if alert.last.id == alert_id:
                return alert
    return None


def _stored(catalog: "Catalog", first: list[Transition]) -> dict[str, list[Transition]]:
    """Read alerts of which more may be stored than is known by heart. first: of what came of each."""
    known = catalog.alerts
    asked = {
        change.id: change.device_id
        for change in first
        if change.id not in known.open.get(change.device_id, {})
        and (change.order <= known.newest or change.state not in ("raised", "noted"))
    }
    if not asked:
        return {}
    catalog.outgoing.flush()
    found: dict[str, list[Transition]] = {}
    for change in _transitions(catalog.server, set(asked.values())):
        if change.id in asked:
            found.setdefault(change.id, []).append(change)
    return found


def _add_lines(catalog: "Catalog", after: list[Transition], changed: list[Transition] | None) -> None:
    """Write transitions of an alert. after: all of them; changed: those whose points do, None: perhaps any."""
    address, top, stands = catalog.server.address, latest(after), standing(after)
    some = {change.order: change for change in (after if changed is None else [*changed, top])}
    lines = [meta_line(change, stands if change == top else None) for change in some.values()]
    catalog.outgoing.add(address.meta, lines, "ns")
    catalog.outgoing.add(address.bucket, map(reading_line, some.values()), "ns")


def _transitions(server: InfluxServer, device_ids: Iterable[str]) -> list[Transition]:
    """Read the transitions of devices, perhaps some of others with them."""
    rest, bound = events.some_of("device_id", map(tag_of, device_ids))
    answer = events.ask(server, ALERT, "body", rest + _VALUES, bound)
    return [decode_transition(body) for block in answer for body in block.column("_value")]


def _alerts(
    server: InfluxServer, device_id: str | None, start: int, end: int, limit: int
) -> list[tuple[int, StoredAlert]]:
    """Read those with a transition in the span, with the time of their latest. [ms since 1970, UTC]"""
    rest, bound = events.of_device(device_id)
    standings = rest + _STANDING
    found = _standings(server, standings + f"  |> tail(n: {limit:d})\n", start, end, bound)
    later = _standings(server, standings, max(start, end), END_OF_TIME, bound)
    return found + _changed(server, device_id, start, end, later)


def _changed(
    server: InfluxServer, device_id: str | None, start: int, end: int, alerts: list[tuple[int, StoredAlert]]
) -> list[tuple[int, StoredAlert]]:
    """Take those of alerts that have a transition in the span."""
    if not alerts:
        return []
    rest, bound = events.of_device(device_id)
    answer = events.ask(server, ALERT, "id", rest + _VALUES, bound, start, end)
    inside = set(chain.from_iterable(block.column("_value") for block in answer))
    return [each for each in alerts if each[1].last.id in inside]


def _standings(
    server: InfluxServer, rest: str, start: int, end: int, bound: events.Bound
) -> list[tuple[int, StoredAlert]]:
    found: list[tuple[int, StoredAlert]] = []
    for block in events.ask(server, ALERT, "standing", rest + _TIMES, bound, start, end):
        at = times_ms(block.column("_time")).tolist()
        found += zip(at, map(decode_standing, block.column("_value")), strict=True)
    return found


def _open_alerts(
    server: InfluxServer, device_id: str | None, start: int, end: int
) -> list[tuple[int, StoredAlert]]:
    found: list[tuple[int, StoredAlert]] = []
    perhaps: list[tuple[int, StoredAlert]] = []
    for _, body in events.states(server, OPEN, device_id):
        for changes in _open.decode(body).values():
            stands = latest(changes).at, standing(changes)
            if any(start <= change.at < end for change in changes):
                found.append(stands)
            elif len(changes) >= MOST_TOLD:
                perhaps.append(stands)
    return found + _changed(server, device_id, start, end, perhaps)
