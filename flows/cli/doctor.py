"""heatpump doctor: what keeps this machine from running well, each finding with its remedy."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from flows.cli.options import Data

if TYPE_CHECKING:
    from flows.journal.reader import JournalInfo
    from flows.settings import Settings

MB = 1_000_000
EARLIEST_S = 1_735_689_600
"""2025-01-01: a clock before that was never set. [s since 1970]"""


class Finding(NamedTuple):
    """One thing looked at; remedy: what to do, empty where all is well."""

    subject: str
    found: str
    remedy: str = ""


def doctor(data: Data = None) -> int:
    """Look for what is wrong and say what to do.

    Changes nothing; may run beside `heatpump up`. Reads the whole journal: some seconds a gigabyte. Exit code 1 if
    something is wrong.

    Examples:
      heatpump doctor

      heatpump doctor --data /var/lib/heatpump
    """
    from flows.settings import load_settings

    settings = load_settings(data=data)
    wrong = False
    for finding in examine(settings):
        wrong |= bool(finding.remedy)
        typer.echo(f"{'wrong' if finding.remedy else 'ok   '} {finding.subject}: {finding.found}")
        if finding.remedy:
            typer.echo(f"      {finding.remedy}")
    return int(wrong)


def examine(settings: "Settings") -> Iterator[Finding]:
    """Look at everything, cheapest first."""
    from flows.cli.status import read_report, running_settings

    yield _python()
    yield from _data(settings)
    report = read_report(settings.data)
    if report is None:
        yield from _ports(settings)
    else:
        settings = running_settings(settings, report)
    yield from _processes(settings, report)
    yield from _journal_and_store(settings)


def _python() -> Finding:
    import platform
    import sys

    found = platform.python_version()
    if (3, 11) <= sys.version_info < (3, 13):
        return Finding("Python", found)
    return Finding("Python", found, "Install Python 3.11 or 3.12, delete .venv and run ./scripts/up.")


def _data(settings: "Settings") -> Iterator[Finding]:
    import os
    import shutil

    data = settings.data
    if not data.exists():
        yield Finding("data folder", f"{data} is not there yet; the first start makes it")
        return
    if not data.is_dir() or not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(
            "data folder", f"{data} cannot be written", "Give this user the folder, or choose one: --data."
        )
        return
    mode = data.stat().st_mode & 0o777
    if mode & 0o007:
        yield Finding("data folder", f"{data} is open to everyone ({mode:o})", f"chmod 700 {data}")
    else:
        yield Finding("data folder", f"{data}, mode {mode:o}")
    free = shutil.disk_usage(data).free // MB
    if free < 2 * settings.min_free_mb:
        limit = f"Free some space: below {settings.min_free_mb} MB (HEATPUMP_MIN_FREE_MB) nothing is accepted."
        yield Finding("disk", f"{free} MB free", limit)
    else:
        yield Finding("disk", f"{free} MB free")


def _ports(settings: "Settings") -> Iterator[Finding]:
    from flows.cli.ports import Wanted, bind_problem, wanted_ports

    def look(port: Wanted) -> Finding:
        problem = bind_problem(port.host, port.number)
        remedy = f"Stop that, or choose another port with {port.option} or {port.variable}." if problem else ""
        return Finding(f"port {port.number}", problem or "free", remedy)

    yield from map(look, wanted_ports(settings))


def _processes(settings: "Settings", report: dict[str, Any] | None) -> Iterator[Finding]:
    from flows.cli.checks import broker_problem
    from flows.cli.status import problem_of

    if settings.mqtt_broker:
        password = settings.mqtt_password.get_secret_value()
        problem = broker_problem(settings.mqtt_broker, settings.mqtt_port, settings.mqtt_user, password)
        remedy = "Is it running? MQTT_BROKER, MQTT_PORT, MQTT_USER and MQTT_PASSWORD say where and as whom."
        where = f"answers at {settings.mqtt_broker}:{settings.mqtt_port}"
        yield Finding("broker", problem or where, remedy if problem else "")
    if report is None:
        yield Finding("processes", "nothing runs; `heatpump up` starts it")
        return
    for process in report["processes"]:
        name, problem = process["name"], problem_of(process, settings)
        remedy = f"See {settings.data / 'logs' / name}.log." if problem else ""
        yield Finding(name, problem or "healthy", remedy)


def _journal_and_store(settings: "Settings") -> Iterator[Finding]:
    from flows.errors import JournalError, StoreDamaged, StoreError
    from flows.journal.reader import describe

    folder = settings.data / "journal"
    journal = None
    if any(folder.glob("*.seg")):
        try:
            journal = describe(folder)
            yield _journal(folder, journal)
        except JournalError as error:
            yield Finding("journal", str(error), "Restore the folder from a copy, or run `heatpump rebuild`.")
    yield _clock(journal)
    if not settings.store_path.exists():
        yield Finding("store", "is not there yet; the first start makes it")
        return
    try:
        yield _store(settings, journal)
    except StoreDamaged as error:
        yield Finding("store", str(error), "`heatpump rebuild` keeps it aside and makes one from the journal.")
    except StoreError as error:
        yield Finding("store", str(error), "Until it is mended the journal keeps what arrives.")


def _journal(folder: Path, journal: "JournalInfo") -> Finding:
    """Read all of it, as the pipeline would."""
    from flows.journal.reader import JournalReader

    found = f"frames {journal.first_seq} to {journal.last_seq}"
    with JournalReader(folder, 0) as reader:
        while reader.read(10_000):
            pass
        damage = reader.damage
    if not (damage.regions or damage.frames):
        return Finding("journal", found)
    found += f", but {damage.regions} places are damaged ({damage.size} bytes) and {damage.frames} frames missing"
    return Finding(
        "journal",
        found,
        "Check the disk. A copy of the folder may hold them; else they are lost, the rest is whole.",
    )


def _store(settings: "Settings", journal: "JournalInfo | None") -> Finding:
    from flows.store import open_reader

    reader = open_reader(settings.store_path)
    try:
        readings, fence = reader.stats().total_readings, reader.fence()
    finally:
        reader.close()
    found = f"{readings} readings, fed up to frame {fence.seq if fence else 0}"
    if fence is None:
        return Finding("store", found)
    if journal is None:
        return Finding("store", f"{found}, but there is no journal", "Put it back, or run `heatpump rebuild`.")
    if journal.journal_id != fence.journal_id or fence.seq > journal.last_seq:
        return Finding(
            "store", f"{found} of another or newer journal", "Put the right one back, or run `heatpump rebuild`."
        )
    return Finding("store", found)


def _clock(journal: "JournalInfo | None") -> Finding:
    from datetime import UTC, datetime

    now = time.time()
    shown = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC"
    last = journal.last_arrived / 1000 if journal and journal.last_arrived else 0.0
    if now < max(EARLIEST_S, last - 5):
        return Finding(
            "clock", f"{shown} is in the past", "Set the clock; let chrony or systemd-timesyncd keep it."
        )
    return Finding("clock", shown)
