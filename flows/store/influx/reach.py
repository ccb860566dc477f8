"""How far each device's rows reach, and how many readings there are: asked of the server, kept by the writer."""

from collections import Counter
from collections.abc import Callable, Iterator

import msgspec

from flows.model.rollup import RESOLUTIONS
from flows.store.influx import documents
from flows.store.influx.answers import Block, times_ms
from flows.store.influx.checking import END_OF_TIME
from flows.store.influx.names import READING, ROLLUP, tag_of, text_of
from flows.store.influx.server import InfluxServer, moment

_POINTS = """
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_end)
  |> filter(fn: (r) => r._measurement == p_measurement)
"""
_OF_DEVICE = "  |> filter(fn: (r) => r.device_id == p_device)\n"
_ORDERS = '  |> filter(fn: (r) => r._field == "order")\n'
_FIRST, _LAST = (f'  |> {end}()\n  |> keep(columns: ["device_id", "_time"])\n' for end in ("first", "last"))
_COUNT = '  |> count()\n  |> drop(columns: ["_start", "_stop", "_measurement"])\n'
_COUNTED = frozenset(("", "result", "table", "_value", "_field", "device_id"))

TALLY = "tally"
"""Kind of the document that tells readers how many there are."""


class Reach(msgspec.Struct):
    """What is stored of each device, by id.

    counts         : readings.
    oldest, newest : event times. [ms since 1970, UTC]
    told           : what the tally says, "" where there is none.
    """

    counts: Counter[str]
    oldest: dict[str, int]
    newest: dict[str, int]
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


def load(server: InfluxServer, device_id: str | None = None) -> Reach:
    """Count what is there, of all devices or one.

    Points that another program wrote count too: they have no order, and lie before the first of our own.
    """
    flux, of = (_POINTS, {}) if device_id is None else (_POINTS + _OF_DEVICE, {"device": tag_of(device_id)})
    oldest, newest = _times(server, flux + _FIRST, of, min), _times(server, flux + _LAST, of, max)
    ours = _times(server, flux + _ORDERS + _FIRST, of, min)
    counts = _counts(server, flux + _ORDERS, 0, END_OF_TIME, of)
    for name, at in oldest.items():
        first = ours.get(name, END_OF_TIME)
        if at < first:
            counts += _counts(server, _POINTS + _OF_DEVICE, at, first, {"device": tag_of(name)})
    told = "" if of else next((body for _, body in documents.read(server, TALLY)), "")
    return Reach(counts, oldest, newest, told)


def load_rollups(server: InfluxServer) -> dict[str, dict[str, int]]:
    """Read where each device's rows end: the newest start by resolution and device. [ms since 1970, UTC]"""
    flux = _POINTS + _ORDERS + _LAST
    return {
        resolution: _times(
            server, flux, {"bucket": server.address.rollups(resolution), "measurement": ROLLUP}, max
        )
        for resolution in RESOLUTIONS
    }


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
