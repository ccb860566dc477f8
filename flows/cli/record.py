"""heatpump record: a span of the journal as one file."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Data, checked_device
from flows.cli.words import counted

if TYPE_CHECKING:
    from flows.journal.reader import JournalInfo
    from flows.journal.recording import Contents
    from flows.settings import Settings

WHEN = "ISO 8601, UTC unless it says otherwise, or how long ago, such as -24h or -7d"


def record(
    file: Annotated[Path, typer.Argument(help="Where to write it; .hpr by custom.")],
    start: Annotated[
        str, typer.Option("--from", help=f"First arrival: {WHEN}; by default the journal's beginning.")
    ] = "",
    end: Annotated[
        str, typer.Option("--to", help="Only arrivals before this, written alike; by default now.")
    ] = "",
    device: Annotated[list[str] | None, typer.Option(help="Only what concerns it; may be repeated.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    data: Data = None,
) -> None:
    """Record a span of the journal, whole or of some devices.

    Beside a running system it reads what is durable and changes nothing. A span is of arrivals. The journal keeps
    a week by default: what of the span is gone already is said. With --device: its messages and commands, and all
    ticks and starts, so that its alerts come out the same.

    Examples:
      heatpump record day.hpr --from -24h

      heatpump record site1.hpr --from 2026-01-05T06:00 --to 2026-01-05T18:00 --device site1
    """
    from importlib.metadata import version

    from rich.console import Console
    from rich.filesize import decimal
    from rich.progress import Progress

    from flows.errors import ConfigError
    from flows.journal.reader import describe
    from flows.journal.recording import Head, write_recording
    from flows.journal.span import Span
    from flows.model.device import DEVICE_ID, in_order
    from flows.model.times import iso, now_ms
    from flows.settings import load_settings

    settings = load_settings(data=data)
    folder = settings.data
    devices = tuple(dict.fromkeys(checked_device("--device", name) for name in device or []))
    if file.is_dir():
        raise ConfigError("FILE", str(file), "is a folder: name a file in it")
    if file.exists() and not force:
        raise ConfigError("FILE", str(file), "is there already: name another, or replace it with --force")
    if not file.parent.is_dir():
        raise ConfigError("FILE", str(file), f"cannot be written: there is no folder {file.parent}")
    now, durable, journal = now_ms(), _durable_end(settings), describe(folder / "journal")
    begin = _instant("--from", start, now) if start else 0
    until = _instant("--to", end, now) if end else max(now, (journal.last_arrived or 0) + 1)
    if begin >= until:
        raise ConfigError("--from", start, f"is not before --to, {iso(until)}")
    gone = _gone(journal, begin, until)
    span = Span(folder / "journal", begin, until, devices, min(durable, journal.last_seq))
    head = Head(journal.journal_id, begin, until, devices, version("heat-pump-monitor"))

    def judge(found: "Contents") -> None:
        found.missing = span.damage.frames
        if not found.first_seq:
            raise ConfigError("--from and --to", f"{start} {end}".strip(), f"hold nothing: {_holds(journal)}")
        absent = [name for name in devices if name not in span.devices]
        if absent:
            names = sorted(filter(DEVICE_ID.fullmatch, span.devices), key=in_order)
            there = ", ".join(names[:20] + ["…"] * (len(names) > 20)) or "none"
            raise ConfigError("--device", absent[0], f"has sent nothing in this span; devices that have: {there}")

    with Progress(console=Console(stderr=True)) as bar:
        found = write_recording(file, head, bar.track(span, description=file.name), judge)
    if found.missing:
        gone.append(f"{found.missing} frames in or near the span are damaged in the journal; they are missing")
    for note in gone:
        typer.echo(f"note: {note}", err=True)
    typer.echo(
        f"{counted(found.frames, 'frame')} with {_readings(found)}, "
        f"which arrived from {iso(found.first_arrived)} to {iso(found.last_arrived)}, in {file} "
        f"({decimal(file.stat().st_size)})"
    )


def _readings(found: "Contents") -> str:
    sent = f"{counted(sum(found.readings.values()), 'reading')} of {counted(len(found.readings), 'device')}"
    if not found.imported:
        return sent
    return f"{sent} and {sum(found.imported.values())} imported ones of {counted(len(found.imported), 'device')}"


def _durable_end(settings: "Settings") -> int:
    """Ask a running flow how far its journal is durable; without one, all that is there is.

    Raises HeatPumpError where a flow has the folder and does not answer.
    """
    from flows.cli.checks import flow_health
    from flows.errors import FlowDown, HeatPumpError
    from flows.lock import is_held

    if settings.flow_url and not (settings.data / "journal").exists():
        raise HeatPumpError(
            f"a recording is made of the journal itself, and {settings.data} has none: run this where the flow "
            f"runs, not only where HEATPUMP_FLOW_URL names it"
        )
    try:
        return int(flow_health(settings)["synced_seq"])
    except FlowDown as error:
        why = error.why
    if is_held(settings.data / "lock"):
        raise HeatPumpError(
            f"the flow that has {settings.data} {why}, so what is durable is not known: record again in a moment"
        )
    return 1 << 62


def _gone(journal: "JournalInfo", begin: int, until: int) -> list[str]:
    """Say what of a span the journal no longer has. Raises ConfigError if it is all of it."""
    from flows.errors import ConfigError
    from flows.model.times import HOUR_MS, iso

    if journal.first_arrived is None:
        raise ConfigError("--data", journal.journal_id[:8], "is an empty journal: nothing has arrived yet")
    if journal.first_seq == 1 or not 0 < begin < journal.first_arrived:
        return []
    if until <= journal.first_arrived:
        raise ConfigError("--to", iso(until), f"is before anything that is still there: {_holds(journal)}")
    hours = (journal.first_arrived - begin) / HOUR_MS
    return [
        f"{hours:.1f} hours are missing: what arrived from {iso(begin)} to {iso(journal.first_arrived)} is no "
        "longer in the journal (HEATPUMP_JOURNAL_RETENTION)"
    ]


def _holds(journal: "JournalInfo") -> str:
    from flows.model.times import iso

    return (
        f"the journal has what arrived from {iso(journal.first_arrived or 0)} to {iso(journal.last_arrived or 0)}"
    )


def _instant(option: str, text: str, now: int) -> int:
    from flows.errors import ConfigError
    from flows.model.times import duration_ms, ms_of

    try:
        return max(0, now - duration_ms(text[1:])) if text[0] == "-" else ms_of(datetime.fromisoformat(text))
    except ValueError:
        raise ConfigError(
            option, text, "must be a time such as 2026-01-05T06:00Z, or -24h (s, m, h, d, w)"
        ) from None
