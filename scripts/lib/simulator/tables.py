"""What a device measures in a span, as rows and as CSV with the mapping for its import."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TextIO

from .device import Device
from .row import Row


def rows(device: Device, start_ms: int, end_ms: int, interval_s: float) -> Iterator[tuple[int, Row]]:
    """What a device measures from start until before end: time [ms since 1970] and stored fields.

    The same device goes on with a later span.
    """
    step_ms = round(interval_s * 1000)
    for ms in range(start_ms, end_ms, step_ms):
        row = device.sample(ms)
        if row is not None:
            yield ms, row


def columns(device: Device) -> list[str]:
    """Stored fields that the device's rows hold, in the order of its CSV."""
    probe = Device("probe", device.profile, 0, 0, device.changes, device.flow, device.counters)
    return list(probe._measure(0))


def write_csv(device: Device, spans: Iterable[tuple[int, int, float]], out: TextIO) -> int:
    """Write rows of spans (start, end, interval: ms, ms, s) as CSV; the number of rows.

    Column time: ms since 1970; flags are 1 and 0; a missing value is an empty cell.
    """
    fields = columns(device)
    out.write("time," + ",".join(fields) + "\n")
    text = {True: "1", False: "0"}
    count = 0
    for span in spans:
        for ms, row in rows(device, *span):
            cells = [text[value] if value.__class__ is bool else str(value) for value in map(row.get, fields)]
            out.write(f"{ms},{','.join(cells)}\n".replace("None", ""))
            count += 1
    return count


def mapping(device: Device) -> str:
    """The mapping (TOML) with which `heatpump import csv` reads that CSV."""
    lines = ["[source]", 'time = "time"', 'time_format = "unix_ms"']
    for field in columns(device):
        lines += ["", f"[quantity.{field}]", f'field = "{field}"']
    return "\n".join(lines) + "\n"
