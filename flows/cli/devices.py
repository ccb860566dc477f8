"""heatpump devices: every device, how it is, and its newest values."""

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from flows.cli.options import Data
from flows.cli.words import printable

if TYPE_CHECKING:
    from rich.table import Table

    from flows.store.protocol import StoreReader

SHOWN = {"temp_outlet": "flow", "temp_inlet": "return", "power": "power"}
"""What the table shows, by what its columns are called, as on the pages."""

MOST_ALERTS = 10_000
LONGEST_ALERT = 15
"""Of the usual alert types: they stay whole in 80 columns."""
MONTHS_MS = 300 * 86_400_000
"""A date further back is said with its year. [ms]"""


class Line(NamedTuple):
    """One device. values: newest of SHOWN, where it sent them; measured_at: when; alerts: level by type.

    measured_to : newest event time of any value, which an imported device has though nobody saw it.
    """

    device_id: str
    name: str
    is_online: bool
    last_seen: str | None
    measured_to: str | None
    values: dict[str, float | bool]
    measured_at: dict[str, str]
    alerts: dict[str, str]


def devices(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False, data: Data = None
) -> int:
    """List devices: online or not, last seen, newest values, open alerts.

    Reads the store; flow and API need not run.

    Examples:
      heatpump devices

      heatpump devices --json --data /var/lib/heatpump
    """
    import json
    from contextlib import closing

    from flows.errors import NoStoreYet
    from flows.model.times import now_ms
    from flows.settings import load_settings
    from flows.store import open_reader

    settings, now = load_settings(data=data), now_ms()
    lines: list[Line] = []
    try:
        with closing(open_reader(settings.store)) as reader:
            lines = _lines(reader, now, settings.online_timeout_s * 1000)
    except NoStoreYet as error:
        if settings.influxdb_url:  # or the token may not read it
            typer.echo(f"heatpump: {error}", err=True)
    if as_json:
        typer.echo(json.dumps([line._asdict() for line in lines]))
    elif lines:
        from rich.console import Console

        Console(highlight=False).print(_table(lines, now))
    else:
        typer.echo(f"No device has sent anything yet into {settings.data}.")
        typer.echo("`heatpump doctor --device site1` says how far its messages come; to try it without a device:")
        typer.echo(f"python scripts/simulate_device.py --device-id site1{settings.simulator_options}")
    return 0


def _lines(reader: "StoreReader", now: int, timeout_ms: int) -> list[Line]:
    from flows.model.device import in_order, metadata_at
    from flows.model.times import iso
    from flows.queries.devices import is_online
    from flows.queries.times import LATEST_MS

    alerts: dict[str, dict[str, str]] = {}
    for alert in reader.alerts(None, 0, LATEST_MS, MOST_ALERTS, open_only=True):
        alerts.setdefault(alert.last.device_id, {})[alert.last.alert_type] = alert.last.level
    lines = []
    for device in sorted(reader.devices(), key=lambda device: in_order(device.device_id)):
        newest = {name: device.latest[name] for name in SHOWN if name in device.latest}
        lines.append(
            Line(
                device.device_id,
                metadata_at(device.metadata, now).name,
                is_online(device, now, timeout_ms),
                iso(device.last_seen) if device.last_seen else None,
                iso(max(at for at, _ in device.latest.values())) if device.latest else None,
                {name: value for name, (_, value) in newest.items()},
                {name: iso(at) for name, (at, _) in newest.items()},
                alerts.get(device.device_id, {}),
            )
        )
    return lines


def _table(lines: list[Line], now: int) -> "Table":
    """Draw it: what is too long for the terminal goes on in the next line, nothing is cut off."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from flows.model.quantities import BY_NAME

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("device", overflow="fold", min_width=12)
    table.add_column("online", no_wrap=True)
    table.add_column("seen\nUTC", no_wrap=True)
    for name, heading in SHOWN.items():
        table.add_column(f"{heading}\n{BY_NAME[name].unit}", justify="right", no_wrap=True)
    table.add_column("open alerts", overflow="fold", min_width=LONGEST_ALERT)
    for line in lines:
        name = f"\n{printable(line.name)}" if line.name else ""
        values = [
            f"{line.values[name]:.{0 if name == 'power' else 1}f}" if name in line.values else "–"
            for name in SHOWN
        ]
        alerts = "\n".join(
            f"{kind} {level}" if level == "critical" else kind for kind, level in line.alerts.items()
        )
        style = "red" if "critical" in line.alerts.values() else "yellow"
        table.add_row(
            Text.assemble(line.device_id, (name, "dim")),
            Text("yes" if line.is_online else "no", "" if line.is_online else "bold"),
            _seen(line, now),
            *(Text(value, "" if line.is_online else "dim") for value in values),
            Text(printable(alerts) or "–", style if alerts else ""),
        )
    return table


def _seen(line: Line, now: int) -> str:
    """Say when a device spoke; of one that never did, up to when there are imported values."""
    from datetime import datetime

    from flows.queries.ages import age
    from flows.queries.times import instant

    if line.last_seen:
        return f"{age(now - instant('last_seen', line.last_seen))} ago"
    if line.measured_to is None:
        return "never"
    recent = now - instant("measured_to", line.measured_to) < MONTHS_MS
    at = datetime.fromisoformat(line.measured_to)
    return f"imported, to\n{at:%d %b %H:%M}" if recent else f"imported, to\n{at:%d %b %Y}"
