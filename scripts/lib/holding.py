"""Holds a store against a published fleet."""

import json
from contextlib import closing
from types import TracebackType
from typing import Any

from flows.model.quantities import QUANTITIES
from flows.store import StoreAddress, open_reader
from flows.store.protocol import StoredReading
from scripts.lib.fleet import Fleet, Pump

COMPARED = 25
"""Of that many devices every value is compared, of all others the times."""


class Progress:
    """How far the store has come: of a fleet that sends in order the last device is the last to be stored."""

    def __init__(self, store: StoreAddress, fleet: Fleet) -> None:
        self._reader = open_reader(store)
        self._fleet, self._last = fleet, fleet.devices - 1
        self._end = fleet.at(self._last, fleet.rounds)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._reader.close()

    def rounds(self) -> int:
        """How many readings of every device are stored."""
        newest = self._reader.readings(Pump(self._last).device_id, self._fleet.first, self._end, 1)
        return (newest[0].at - self._fleet.at(self._last, 0)) // self._fleet.step_ms + 1 if newest else 0


def rows_of(store: StoreAddress, fleet: Fleet) -> dict[str, int]:
    """Count what is stored of a fleet: raw rows, minutes, alerts, dead letters."""
    with closing(open_reader(store)) as reader:
        stats = reader.stats()
        letters = sum(count.count for count in reader.dead_letter_counts(None, 0, 1 << 42))
        minutes = sum(
            len(reader.rollup_columns(Pump(number).device_id, "1m", 0, 1 << 42, [], 1 << 20).time)
            for number in range(fleet.devices)
        )
    return {"raw": stats.total_readings, "1m": minutes, "alerts": stats.total_alerts, "dead letters": letters}


def differences(store: StoreAddress, fleet: Fleet) -> list[str]:
    """Compare what is stored with what was published; every difference in a sentence."""
    found = []
    with closing(open_reader(store)) as reader:
        every = max(1, fleet.devices // COMPARED)
        for number in range(fleet.devices):
            device_id = Pump(number).device_id
            wanted = [fleet.at(number, turn) for turn in range(fleet.rounds)]
            times = reader.raw_columns(device_id, 0, wanted[-1] + fleet.step_ms, [], len(wanted) + 1000).time
            if times != wanted:
                missing, more = set(wanted) - set(times), set(times) - set(wanted)
                found.append(f"{device_id}: {len(missing)} readings are missing, {len(more)} were not published")
            elif number % every == 0:
                rows = reader.readings(device_id, 0, wanted[-1] + 1, len(wanted), newest_first=False)
                found += _values_differing(device_id, rows, fleet.readings(number))
    stored, closed = rows_of(store, fleet), minutes_closed(fleet)
    if stored["1m"] != closed:
        found.append(f"{stored['1m']} minute rows are stored, {closed} minutes are closed")
    if stored["dead letters"]:
        found.append(f"{stored['dead letters']} dead letters")
    return found


def minutes_closed(fleet: Fleet) -> int:
    """How many minutes have a reading of theirs and one at or after their end, all devices together."""
    return sum(
        fleet.at(number, fleet.rounds - 1) // 60_000 - fleet.at(number, 0) // 60_000
        for number in range(fleet.devices)
    )


def _values_differing(device_id: str, rows: list[StoredReading], texts: Any) -> list[str]:
    paths = {quantity.name: quantity.path for quantity in QUANTITIES if quantity.path}
    for row, text in zip(rows, texts, strict=True):
        payload = json.loads(text)
        for name, path in paths.items():
            value: Any = payload
            for key in path:
                value = value.get(key) if value is not None else None
            stored = row.values.get(name)
            if stored != value:
                return [f"{device_id}: {name} of {payload['timestamp']} is {stored}, published was {value}"]
    return []
