"""heatpump replay: play a recorded CSV over MQTT, or run it straight into a store of its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.progress import Progress


def replay(
    file: Annotated[Path, typer.Argument(help="A CSV in the form of heat-pump-stats.")],
    device_id: Annotated[str, typer.Option(help="Name of the device; by default the file's name.")] = "",
    speed: Annotated[float, typer.Option(min=0.01, help="How many times faster than it was recorded.")] = 60.0,
    broker: Annotated[str | None, typer.Option(help="MQTT host; else MQTT_BROKER, else this machine.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="MQTT port; else MQTT_PORT.")] = None,
    user: Annotated[str | None, typer.Option(help="MQTT user; its password is MQTT_PASSWORD.")] = None,
    into: Annotated[Path | None, typer.Option(help="Fill this store instead of sending, at full speed.")] = None,
    keep_time: Annotated[bool, typer.Option("--keep-time", help="Send the times as recorded.")] = False,
) -> None:
    """Play a recording as its device would have sent it: an empty cell is an absent field.

    Over MQTT all times are moved by whole days, so that the recording ends as late as possible before now: a flow
    refuses readings older than it keeps raw ones (30 days). With the times unmoved (--keep-time, --into) the same
    replay again changes nothing. A value that stays the same is repeated after ten minutes, since the pipeline
    holds a value for fifteen.

    Examples:
      heatpump replay day.csv --speed 60

      heatpump replay day.csv --device-id daikin --into day.sqlite; heatpump api --store day.sqlite
    """
    from rich.console import Console
    from rich.progress import Progress

    from flows.errors import ConfigError
    from flows.model.device import DEVICE_ID
    from flows.settings import load_settings
    from flows.sources.recording import survey
    from flows.sources.replay import send, shift_to_now

    device_id = device_id or file.stem
    if not DEVICE_ID.fullmatch(device_id):
        raise ConfigError("--device-id", device_id, "must be 1 to 64 letters, digits, _ . or -, not _ . - first")
    settings = load_settings(mqtt_broker=broker, mqtt_port=port, mqtt_user=user)
    found = survey(file)
    with Progress(console=Console(stderr=True)) as bar:
        if into is not None:
            _store(file, device_id, into, bar)
            done = f"stored as {device_id} in {into}"
        else:
            shift_ms = 0 if keep_time else shift_to_now(found.last)
            if shift_to_now(found.first + shift_ms) > settings.raw_retention_ms:
                kept = settings.influxdb_retention
                bar.console.print(f"note: a flow that keeps raw readings for {kept} refuses the older ones")
            task = bar.add_task(f"{device_id} to MQTT", total=found.readings)
            send(file, device_id, found, shift_ms, speed, settings, lambda: bar.advance(task))
            done = f"sent as {device_id} to {settings.mqtt_host}:{settings.mqtt_port}"
            if shift_ms:
                done += f", moved by {shift_ms // 86_400_000} days"
    typer.echo(f"{found.readings} readings from {_clock(found.first)} to {_clock(found.last)} {done}")


def _store(file: Path, device_id: str, into: Path, bar: "Progress") -> None:
    """Run the graph over the recording. Raises ConfigError where the store holds something else."""
    import threading
    from tempfile import TemporaryDirectory

    from flows.errors import ConfigError, HeatPumpError
    from flows.journal.reader import describe
    from flows.main import run_journal
    from flows.meter import Meter
    from flows.sources.replay import write_journal
    from flows.store import open_writer

    into.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="heatpump-replay-") as scratch:
        folder = Path(scratch) / "journal"
        write_journal(file, device_id, folder)
        journal, meter, over = describe(folder), Meter(), threading.Event()
        writer = open_writer(into)
        fence = writer.fence()
        writer.close()
        if fence is not None and fence.journal_id != journal.journal_id:
            raise ConfigError("--into", str(into), "holds something else already: name a new file, or delete it")
        task = bar.add_task(f"{device_id} to {into.name}", total=journal.last_seq)

        def watch() -> None:
            while not over.wait(0.1):
                bar.update(task, completed=meter.progress.stored)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            code = run_journal(folder, into, meter=meter)
        finally:
            over.set()
            watcher.join()
        bar.update(task, completed=meter.progress.stored)
        if code:
            raise HeatPumpError("the pipeline failed; the messages above say why")


def _clock(ms: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
