"""How far each device's rows reach, and how many readings there are: asked of the server, kept by the writer.

Of our own rows the order alone is looked at: all fields of a thousand devices take the server 15 s. Points that
another program wrote have none: where they are is found when a flow first meets the bucket, and then remembered.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator

import msgspec

from flows.model.rollup import RESOLUTIONS
from flows.store.influx import devices, documents
from flows.store.influx.answers import Block, times_ms
from flows.store.influx.checking import END_OF_TIME
from flows.store.influx.names import READING, ROLLUP, tag_of, text_of
from flows.store.influx.server import InfluxServer, moment

_POINTS = """
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_end)
  |> filter(fn: (r) => r._measurement == p_measurement)
"""
_OF_DEVICES = "  |> filter(fn: (r) => {})\n"
_ORDERS = '  |> filter(fn: (r) => r._field == "order")\n'
_FIRST, _LAST = (f'  |> {end}()\n  |> keep(columns: ["device_id", "_time"])\n' for end in ("first", "last"))
_COUNT = '  |> count()\n  |> drop(columns: ["_start", "_stop", "_measurement"])\n'
_COUNTED = frozenset(("", "result", "table", "_value", "_field", "device_id"))

COUNTED_AT_ONCE, STEP_MS = 50_000_000, 10_000
"""Readings a question counts, in about two seconds, and about how far apart they are [ms]."""

TALLY = "tally"
"""Kind of the document that tells readers how many there are."""


class Reach(msgspec.Struct):
    """What is stored of each device, by id.

    counts         : readings.
    oldest, newest : event times. [ms since 1970, UTC]
    others         : devices with points of another program, before the first of our own.
    told           : what the tally says, "" where there is none.
    """

    counts: Counter[str]
    oldest: dict[str, int]
    newest: dict[str, int]
    others: set[str]
    told: str = ""

    def recount(self, server: InfluxServer, device_id: str) -> None:
        """Count a device anew, some of whose readings may be gone."""
        found = load(server, device_id)
        for mine, theirs in (
            (self.counts, found.counts),
            (self.oldest, found.oldest),
            (self.newest, found.newest),
        ):
            mine.pop(device_id, None)
            mine.update(theirs)
        self.others = self.others - {device_id} | found.others


class _Told(msgspec.Struct, frozen=True):
    """What a tally tells the next start. others: None where nobody has looked for them."""

    others: list[str] | None = None


def load(server: InfluxServer, device_id: str | None = None) -> Reach:
    """Count what is there, of all devices or one.

    Points that another program wrote count too: they have no order, and lie before the first of our own.
    """
    flux, of = _of([device_id] if device_id is not None else None)
    oldest = _times(server, flux + _ORDERS + _FIRST, of, min)
    newest = _times(server, flux + _ORDERS + _LAST, of, max)
    reach = Reach(Counter(), oldest, newest, set())
    for start, end in _parts(reach):
        reach.counts += _counts(server, flux + _ORDERS, start, end, of)
    if device_id is None:
        reach.told = next((body for _, body in documents.read(server, TALLY)), "")
        asked = _perhaps_others(server, reach)
    else:
        asked = [device_id]
    for first in range(0, len(asked), devices.MOST_DEVICES):
        _add_others(server, reach, asked[first : first + devices.MOST_DEVICES])
    return reach


def load_rollups(server: InfluxServer) -> dict[str, dict[str, int]]:
    """Read where each device's rows end: the newest start by resolution and device. [ms since 1970, UTC]"""
    flux = _POINTS + _ORDERS + _LAST
    return {
        resolution: _times(
            server, flux, {"bucket": server.address.rollups(resolution), "measurement": ROLLUP}, max
        )
        for resolution in RESOLUTIONS
    }


def _parts(reach: Reach) -> Iterator[tuple[int, int]]:
    """Cut time into parts that are counted one by one: nobody waits long enough for all of a large store."""
    start, end = min(reach.oldest.values(), default=0), max(reach.newest.values(), default=-1) + 1
    # Who only reads may ask while the first row of a device comes.
    rows = sum((newest - reach.oldest.get(name, newest)) // STEP_MS + 1 for name, newest in reach.newest.items())
    length = max((end - start) // (rows // COUNTED_AT_ONCE + 1) + 1, 1)
    for first in range(start, end, length):
        yield first, min(first + length, end)


def _perhaps_others(server: InfluxServer, reach: Reach) -> list[str]:
    """Name the devices that another program may have written of: those it has, and those without rows of ours.

    Of a bucket that no flow has met before: all.
    """
    known = msgspec.json.decode(reach.told, type=_Told).others if reach.told else None
    there = devices.with_points(server)
    return there if known is None else sorted({*known, *(name for name in there if name not in reach.newest)})


def _add_others(server: InfluxServer, reach: Reach, device_ids: Collection[str]) -> None:
    """Add the points that another program wrote of these devices before our first."""
    flux, of = _of(device_ids)
    newest = _times(server, flux + _LAST, of, max)
    for name, at in _times(server, flux + _FIRST, of, min).items():
        first = reach.oldest.get(name, END_OF_TIME)
        if at < first:
            flux, of = _of([name])
            reach.counts += _counts(server, flux, at, first, of)
            reach.oldest[name], reach.newest[name] = at, newest.get(name, at)
            reach.others.add(name)


def _of(device_ids: Collection[str] | None) -> tuple[str, dict[str, str]]:
    """Choose points of these devices or (None) of all."""
    if device_ids is None:
        return _POINTS, {}
    of = {f"device{place}": tag_of(device_id) for place, device_id in enumerate(device_ids)}
    return _POINTS + _OF_DEVICES.format(" or ".join(f"r.device_id == p_{name}" for name in of)), of


def _times(
    server: InfluxServer, flux: str, of: dict[str, str], choose: Callable[[int, int], int]
) -> dict[str, int]:
    """Ask for a time a series; gives one a device. [ms since 1970, UTC]"""
    found: dict[str, int] = {}
    for block in _ask(server, flux, 0, END_OF_TIME, of):
        for tag, at in zip(block.column("device_id"), times_ms(block.column("_time")).tolist(), strict=True):
            name = text_of(tag)
            found[name] = choose(at, found.get(name, at))
    return found


def _counts(server: InfluxServer, flux: str, start: int, end: int, of: dict[str, str]) -> Counter[str]:
    """Count points by device: those of a series with the same tags are as many as of the field that most have."""
    most: Counter[tuple[str, ...]] = Counter()
    for block in _ask(server, flux + _COUNT, start, end, of):
        others = [block.column(name) for name in block.names if name not in _COUNTED]
        for number, *tags in zip(block.column("_value"), block.column("device_id"), *others, strict=True):
            most[*tags] = max(most[*tags], int(number))
    counts: Counter[str] = Counter()
    for (tag, *_), number in most.items():
        counts[text_of(tag)] += number
    return counts


def _ask(server: InfluxServer, flux: str, start: int, end: int, of: dict[str, str]) -> Iterator[Block]:
    """Ask about raw readings, or what `of` binds."""
    span = {"start": moment(start), "end": moment(end)}
    return server.ask(flux, **{"bucket": server.address.bucket, "measurement": READING, **span, **of})
