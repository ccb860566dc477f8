"""Stores filled as the flow fills them: raw rows, newest values, and the rollups that close with them."""

from collections.abc import Callable, Iterable

from flows.model.device import DeviceMetadata
from flows.model.reading import Value
from flows.model.rollup import Refold
from flows.model.rows import DeviceRow, LatestRow, RawRow
from flows.store import StoreAddress, open_writer

MINUTE = 60_000
Values = dict[str, Value]


def ordinary(at: int) -> Values:
    """What a device measures at an instant: a water loop that warms up within each hour."""
    share = at % 3_600_000 / 3_600_000
    return {
        "temp_inlet": 30.0 + share,
        "temp_outlet": 35.0 + share,
        "temp_ambient": 2.0,
        "power": 1000.0,
        "compressor_running": True,
    }


def fill(
    address: StoreAddress,
    times: Iterable[int],
    device_id: str = "site1",
    values: Callable[[int], Values] = ordinary,
    metadata: list[DeviceMetadata] | None = None,
    seen: int | None = None,
    first_order: int = 1,
    healed_from: int | None = None,
) -> None:
    """Store readings of a device at these times and heal its rollups.

    seen        : arrival of the newest; by default its time.
    healed_from : start of the first bucket that changes; by default that of the first reading.
    """
    rows = [
        RawRow.of(device_id, at, first_order + i, at, "device", values(at)) for i, at in enumerate(sorted(times))
    ]
    last = rows[-1]
    latest: dict[str, tuple[int, Value]] = {}
    for row in rows:
        latest.update({name: (row.at, value) for name, value in row.values.items()})
    start = rows[0].at - rows[0].at % MINUTE if healed_from is None else healed_from
    writer = open_writer(address)
    writer.apply(
        [
            DeviceRow(device_id, last.order, last_seen=last.at if seen is None else seen, metadata=metadata),
            *rows,
            LatestRow(device_id, last.order, latest),
            Refold(device_id, last.order + 1, start, last.at - last.at % MINUTE + MINUTE, last.at),
        ]
    )
    writer.close()
