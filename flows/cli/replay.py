"""heatpump replay: play what was recorded over MQTT, or run it straight into a store of its own."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import check_readable, checked_device

if TYPE_CHECKING:
    from rich.progress import Progress

    from flows.settings import Settings
    from flows.sources.played_csv import PlayedCsv
    from flows.sources.played_journal import PlayedJournal

    Source = PlayedCsv | PlayedJournal


def replay(
    file: Annotated[list[Path], typer.Argument(help="Recordings, oldest first, or one CSV.")],
    device_id: Annotated[str, typer.Option(help="Device of the CSV; by default the file's name.")] = "",
    speed: Annotated[float, typer.Option(min=0.01, help="How many times faster than it was recorded.")] = 60.0,
    shift: Annotated[
        bool | None,
        typer.Option("--shift-to-now/--keep-time", help="Over MQTT: move times by whole days, or not."),
    ] = None,
    broker: Annotated[str | None, typer.Option(help="MQTT host; else MQTT_BROKER, else this machine.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="MQTT port; else MQTT_PORT.")] = None,
    user: Annotated[str | None, typer.Option(help="MQTT user; its password is MQTT_PASSWORD.")] = None,
    into: Annotated[Path | None, typer.Option(help="Fill this store instead of sending, at full speed.")] = None,
    live: Annotated[bool, typer.Option("--live", help="With --into: at --speed instead, to look on.")] = False,
) -> int:
    """Play recordings of `heatpump record`, or a CSV as its device would have sent it.

    Over MQTT: the messages at their pace, with their QoS; no ticks, commands or retained messages. A flow refuses
    readings older than it keeps raw ones (30 days), so --shift-to-now moves Unix times by whole days, to end as
    late as possible before now: the default for a CSV; recordings keep their times. Unmoved, the same replay again
    changes nothing. --into runs everything through the pipeline, as it was, beside a running system if need be.

    Examples:
      heatpump replay day.csv --speed 60

      heatpump replay day.hpr --into day.sqlite; heatpump api --port 8001 --store day.sqlite
    """
    from rich.console import Console
    from rich.progress import Progress

    from flows.errors import HeatPumpError
    from flows.model.times import iso
    from flows.settings import load_settings

    if live and into is None:
        raise HeatPumpError("--live needs --into and a store of its own")
    if shift and into is not None:
        raise HeatPumpError("--shift-to-now is for MQTT: a store gets the times as they were recorded")
    if into is not None:
        _check_into(into)
    settings = load_settings(mqtt_broker=broker, mqtt_port=port, mqtt_user=user)
    with ExitStack() as stack:
        source = _open(file, device_id, stack)
        bar = stack.enter_context(Progress(console=Console(stderr=True)))
        for note in source.notes:
            bar.console.print(f"note: {note}")
        if into is not None:
            whole, done = _store(source, into, speed if live else None, settings, bar)
            what = source.what
        else:
            shift = bool(source.device_id) if shift is None else shift
            sent, whole, done = _send(source, speed, shift, settings, bar)
            what = f"{sent} {source.unit}" if whole else f"{sent} of {source.messages_count} {source.unit}"
    for why, count in source.left_out.items():
        typer.echo(f"not sent: {count} {why}", err=True)
    typer.echo(f"{what} from {iso(source.first)} to {iso(source.last)} {done}")
    return 130 if not whole else 1 if source.damaged else 0


def _open(files: list[Path], device_id: str, stack: ExitStack) -> "Source":
    from flows.errors import ConfigError
    from flows.journal.recording import is_recording
    from flows.sources.played_csv import PlayedCsv
    from flows.sources.played_journal import PlayedJournal

    for file in files:
        check_readable("FILE", file)
    recordings = [file for file in files if is_recording(file)]
    if len(recordings) == len(files):
        if device_id:
            raise ConfigError("--device-id", device_id, "is for a CSV: a recording says whose messages it holds")
        played = PlayedJournal(files)
        stack.callback(played.close)
        return played
    if len(files) > 1:
        other = next(file for file in files if file not in recordings)
        raise ConfigError("FILE", str(other), "is no recording of `heatpump record`: a CSV is replayed alone")
    (file,) = files
    if not file.stat().st_size:
        raise ConfigError("FILE", str(file), "is empty: neither a recording of `heatpump record` nor a CSV")
    if file.suffix == ".hpr":
        raise ConfigError("FILE", str(file), "is no recording of `heatpump record`: take another copy")
    return PlayedCsv(file, checked_device("--device-id", device_id or file.stem))


def _check_into(into: Path) -> None:
    """Refuse what can be no store of its own. Raises ConfigError."""
    from flows.errors import ConfigError

    if not into.parent.is_dir():
        raise ConfigError("--into", str(into), f"cannot be written: there is no folder {into.parent}")
    if into.exists():
        check_readable("--into", into)
        with into.open("rb") as file:
            head = file.read(16)
        if head not in (b"", b"SQLite format 3\0"):
            raise ConfigError("--into", str(into), "is no store: name a new file")


def _send(
    source: "Source", speed: float, shift: bool, settings: "Settings", bar: "Progress"
) -> tuple[int, bool, str]:
    """Play over MQTT. Returns how much and whether all was sent, and what was done, in words."""
    from flows.model.times import DAY_MS
    from flows.sources.replay import send, shift_to_now

    shift_ms = shift_to_now(source.last) if shift else 0
    if shift_to_now(source.first + shift_ms) > settings.raw_retention_ms:
        kept = settings.influxdb_retention
        bar.console.print(f"note: a flow that keeps raw readings for {kept} refuses the older ones")
    task = bar.add_task(f"{source.name} to MQTT", total=source.messages_count)
    stop = threading.Event()
    with _interrupted(stop.set):
        sent = send(source.messages(shift_ms), source.device_id, speed, settings, stop, lambda: bar.advance(task))
    done = f"sent as {source.name} to {settings.mqtt_host}:{settings.mqtt_port}"
    if stop.is_set():
        done += ", then stopped"
    return sent, not stop.is_set(), f"{done}, moved by {shift_ms // DAY_MS} days" if shift_ms else done


def _store(
    source: "Source", into: Path, speed: float | None, settings: "Settings", bar: "Progress"
) -> tuple[bool, str]:
    """Run the graph over it. Raises ConfigError where the store holds something else."""
    from flows.cli.words import counted
    from flows.errors import ConfigError, HeatPumpError
    from flows.lock import is_held, locked
    from flows.main import run_frames
    from flows.sources.replay import Paced, Recorded
    from flows.telemetry.meter import Meter

    meter, over = Meter(), threading.Event()
    progress = meter.progress
    task = bar.add_task(f"{source.name} to {into.name}", total=source.last_seq - source.first_seq + 1)

    def show() -> None:
        bar.update(task, completed=max(0, progress.stored - source.first_seq + 1))

    def watch() -> None:
        while not over.wait(0.1):
            show()

    with ExitStack() as stack:
        lock = into.resolve().parent / "lock"
        if lock.exists():  # the data folder of a flow
            if is_held(lock):
                allowed = f"is in {lock.parent}, which a flow is using: name a file elsewhere"
                raise ConfigError("--into", str(into), allowed)
            stack.enter_context(locked(lock))
        _check_fence(source, into)
        frames = Recorded(source.frames()) if speed is None else Paced(source.frames(), source.start, speed)
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            with _interrupted(lambda: setattr(progress, "stop", True)):
                code = run_frames(frames, source.journal_id, into, settings, meter)
        finally:
            over.set()
            watcher.join()
    show()
    if code:
        raise HeatPumpError("the pipeline failed; the messages above say why")
    if headless := meter.headless:
        chunks = f"{counted(headless, 'chunk')} of imported history"
        bar.console.print(f"note: {chunks} left out: what the import sent before is not there")
    if progress.stop:
        return False, f"stopped at frame {progress.stored}, stored as {source.name} in {into}"
    return True, f"stored as {source.name} in {into}"


def _check_fence(source: "Source", into: Path) -> None:
    """Refuse a store that holds anything but this recording's beginning."""
    from flows.errors import ConfigError
    from flows.store import open_writer

    writer = open_writer(into)
    try:
        fence = writer.fence()
    finally:
        writer.close()
    if fence is not None and fence.journal_id != source.journal_id:
        raise ConfigError("--into", str(into), "holds something else already: name a new file, or delete it")
    if fence is not None and fence.seq > source.last_seq:
        allowed = f"holds more of it already, up to frame {fence.seq}: name a new file, or all its recordings"
        raise ConfigError("--into", str(into), allowed)


@contextmanager
def _interrupted(act: Callable[[], object]) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end it in good order."""
    before = {number: signal.signal(number, lambda *_: act()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
