"""heatpump migrate: move a store into another one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Data
from flows.errors import ConfigError

if TYPE_CHECKING:
    from flows.settings import Settings
    from flows.store import StoreAddress

SERVER = "influxdb"


def migrate(
    from_: Annotated[str, typer.Option("--from", help="The store to copy: a store file, or influxdb.")],
    to: Annotated[str, typer.Option(help="The store to fill, empty or new: a store file, or influxdb.")],
    data: Data = None,
) -> int:
    """Move everything from SQLite to InfluxDB, or back.

    influxdb is the server of INFLUXDB_URL. The flow may run meanwhile. The same command again goes on where an
    interrupted one stood. Ends with what was read beside what is there now; exit code 1 on any difference.

    Examples:
      heatpump migrate --from data/store.sqlite --to influxdb

      heatpump migrate --from influxdb --to data/store.sqlite
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from flows.migration import report
    from flows.migration.copies import copy_recovery
    from flows.migration.run import Migration
    from flows.settings import load_settings

    settings = load_settings(data=data)
    source, target = address_of("--from", from_, settings), address_of("--to", to, settings)
    files = [address for address in (target, source) if isinstance(address, Path)]
    if not files:
        raise ConfigError("--to", to, "is the source itself: one of both is a store file")
    if source == target:
        raise ConfigError("--to", to, "is the source itself")
    file = files[0].with_name(f"{files[0].name}.migration")
    migration = Migration(source, target, file, before=lambda: copy_recovery(settings.data))
    console = Console(stderr=True)
    way = migration.begin()
    try:
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("")

            def tell(doing: str, done: int, of: int) -> None:
                bar.update(task, completed=done, total=of, description=doing)

            migration.copy(way, lambda what, *numbers: tell(f"copies {what}", *numbers))
            there = migration.count_again(lambda what, *numbers: tell(f"counts {what}", *numbers))
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on from here")
        return 130
    settled = migration.settled()
    out = Console(width=None if console.is_terminal else 140)
    for table in report.tables(way.tally, there, settled):
        out.print(table)
    for section, rows in way.left_out.items():
        typer.echo(f"left out  {rows:,} {report.TITLES[section]} older than the target's bucket keeps them")
    found = [*report.differences(way.tally, there, settled)]
    for each in found:
        typer.echo(f"differs   {each}")
    if found:
        typer.echo("the target is not whole, and no flow starts on it: empty it, and migrate again")
        return 1
    migration.end(way)
    typer.echo(f"all of {source} is in {target}; stop the flow, name the new store in its settings, start it")
    return 0


def address_of(option: str, text: str, settings: "Settings") -> "StoreAddress":
    """Read what an option names. Raises ConfigError."""
    if text != SERVER:
        return Path(text).absolute()
    if not settings.influxdb_url:
        raise ConfigError(option, text, "is the server of INFLUXDB_URL, which is not set")
    return settings.store
