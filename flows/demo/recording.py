"""The recorded heat pump, moved by whole days to end yesterday."""

from collections.abc import Iterator
from pathlib import Path

from flows.demo.installation import Installation
from flows.demo.sites import import_id
from flows.history.mapping import load_mapping
from flows.history.source import opened
from flows.history.tally import Tally
from flows.model.device import DeviceMetadata
from flows.model.table import Table
from flows.model.times import DAY_MS

FOLDER = Path(__file__).parent / "data" / "heat-pump-stats"
CSV = FOLDER / "2024-10-10_defrost_during_ch_raw.csv"
LAST_DAY = 20_007
"""2024-10-11, on which it ends. [days since 1970]"""

DEVICE_ID = "recorded-altherma"
METADATA = DeviceMetadata(
    name="Recorded Daikin Altherma, 10 Oct 2024",
    location="United Kingdom",
    timezone="Europe/London",
    spf_boundary="H4",
)


def shift_days(now: int) -> int:
    """How many days later it is shown, so that it ends yesterday. now: [ms since 1970, UTC]"""
    return now // DAY_MS - 1 - LAST_DAY


def load_recording(installation: Installation, now: int) -> int:
    """Show it as of yesterday; what is shown as of an earlier day goes. Returns how many readings are new.

    Raises FlowDown, StoreError.
    """
    days = shift_days(now)
    name = import_id(DEVICE_ID, "recording", days)
    before = installation.standing(DEVICE_ID, name)
    if before.ended:
        return 0
    if before.next == 0:
        installation.forget(DEVICE_ID)
    installation.describe(DEVICE_ID, METADATA)
    mapping = load_mapping(FOLDER / "mapping.toml", "csv")
    with opened("csv", str(CSV), mapping, Tally()) as tables:
        after = installation.send(DEVICE_ID, name, f"the demo's {CSV.name}", _moved(tables, days * DAY_MS))
    return after.taken - before.taken


def _moved(tables: Iterator[Table], by_ms: int) -> Iterator[Table]:
    for table in tables:
        yield Table(table.at + by_ms, table.names, table.values)
