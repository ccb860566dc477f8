"""What a migration came to: what was read of the source beside what is in the target now."""

from collections.abc import Iterator
from math import isclose
from typing import TYPE_CHECKING

import msgspec

from flows.migration.tally import CLOSE, Sum, Tally
from flows.model.device import in_order
from flows.store.export import BY_DEVICE, SECTIONS, Section

if TYPE_CHECKING:
    from rich.table import Table

TITLES: dict[Section, str] = {
    "device": "parts of devices",
    "latest": "newest values",
    "raw": "readings",
    "1m": "minutes",
    "1h": "hours",
    "1d": "days",
    "episode": "episodes",
    "episode_gone": "episodes no more",
    "alert": "alert changes",
    "dead_letter_count": "hours with dead letters",
    "dead_letter": "dead letters",
    "command": "commands",
}
SHOWN: tuple[Section, ...] = ("raw", "1m", "1h", "1d", "episode", "alert")


class Difference(msgspec.Struct, frozen=True):
    """What is not the same. what: in words."""

    what: str
    source: Sum
    target: Sum

    def __str__(self) -> str:
        """Say it in a line."""
        mine, theirs = (f"{each.rows:,} (sum {each.total:.12g})" for each in (self.source, self.target))
        return f"{self.what}: {mine} ≠ {theirs}"


def differences(source: Tally, target: Tally, settled: dict[str, int]) -> Iterator[Difference]:
    """Name what is not the same in both. settled: days before which retention may have taken some, by section."""
    for section in SECTIONS:
        devices = source.sums.get(section, {}).keys() | target.sums.get(section, {}).keys()
        for device_id in sorted(devices, key=in_order):
            mine, theirs = (each.of(section, device_id, settled.get(section, 0)) for each in (source, target))
            if not mine.like(theirs):
                yield Difference(f"{TITLES[section]} {device_id}".strip(), mine, theirs)
    for month in sorted(source.kwh.keys() | target.kwh.keys()):
        both = (each.kwh.get(month, (0.0, 0.0)) for each in (source, target))
        for name, mine_kwh, their_kwh in zip(("electricity", "heat"), *both, strict=True):
            if not isclose(mine_kwh, their_kwh, rel_tol=CLOSE, abs_tol=CLOSE):
                yield Difference(f"{name} of {month}, kWh", Sum(0, mine_kwh), Sum(0, their_kwh))


def tables(source: Tally, target: Tally, settled: dict[str, int]) -> Iterator["Table"]:
    """Show both side by side: rows by device, energies by month, and the rest."""
    from rich.table import Table

    rows = Table("device", *(TITLES[section] for section in SHOWN), title="rows, source = target")
    devices = sorted(
        {name for section in BY_DEVICE for each in (source, target) for name in each.sums.get(section, {})},
        key=in_order,
    )
    for device_id in devices:
        cells = (_both(source, target, section, device_id, settled) for section in SHOWN)
        rows.add_row(device_id, *cells)
    yield rows
    energies = Table("month", "electricity kWh", "heat kWh", title="energies of the hours, source = target")
    for month in sorted(source.kwh.keys() | target.kwh.keys()):
        both = (each.kwh.get(month, (0.0, 0.0)) for each in (source, target))
        energies.add_row(month, *(_pair(f"{a:,.1f}", f"{b:,.1f}") for a, b in zip(*both, strict=True)))
    yield energies
    others = Table("", "", title="all else, source = target")
    for section in SECTIONS:
        if section in TITLES and section not in BY_DEVICE:
            others.add_row(TITLES[section], _both(source, target, section, "", settled))
    yield others


def _both(source: Tally, target: Tally, section: Section, device_id: str, settled: dict[str, int]) -> str:
    """Say how many rows are there and how many retention let go since; of days that are compared, what differs."""
    compared = [each.of(section, device_id, settled.get(section, 0)).rows for each in (source, target)]
    if compared[0] != compared[1]:
        return _pair(*(f"{count:,}" for count in compared))
    read, there = (each.of(section, device_id).rows for each in (source, target))
    return f"{there:,}, {read - there:,} let go" if there < read else f"{there:,}"


def _pair(mine: str, theirs: str) -> str:
    return mine if mine == theirs else f"[red]{mine} ≠ {theirs}[/red]"
