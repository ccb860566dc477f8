"""heatpump import: bring the history of another system."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Data, check_readable, checked_device

if TYPE_CHECKING:
    from flows.history.tally import Tally
    from flows.model.history import Standing


EARLIER = "new, but earlier than what was imported before: another --again takes it"
"""Why readings are refused that a source has more by now, in the midst of what was imported or before it.

So are those by which a counter rises evenly (`hold`) over the end of what was imported: that rise is in no row.
"""


class Kind(StrEnum):
    """What a source is."""

    csv = "csv"
    emoncms = "emoncms"
    homeassistant = "homeassistant"
    influx = "influx"


def import_(
    kind: Annotated[Kind, typer.Argument(help="What the source is.")],
    source: Annotated[str, typer.Argument(help="A file or folder; of influx also the URL of a server.")],
    device: Annotated[str, typer.Option(help="The device whose history it is.")],
    map_: Annotated[Path, typer.Option("--map", help="The mapping: which field is which quantity (TOML).")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and compute, but send nothing.")] = False,
    again: Annotated[int, typer.Option(min=0, help="Another number imports the same source anew.")] = 0,
    data: Data = None,
) -> int:
    """Import the history of another system for a device, beside live readings.

    The flow must run, but for --dry-run. The same command again goes on where an interrupted import stood; of a
    finished one it takes what its source has more by then. Ends with a report: rows read, taken and refused, kWh a
    month. Exit code 1 where nothing could be taken.

    Examples:
      heatpump import csv logger.csv --device site1 --map logger.toml --dry-run

      heatpump import homeassistant home-assistant_v2.db --device site1 --map ha.toml
    """
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from flows.history.mapping import load_mapping
    from flows.history.run import import_id_of, send, try_out
    from flows.history.source import is_url, opened
    from flows.history.tally import Tally
    from flows.model.times import iso
    from flows.settings import load_settings

    checked_device("--device", device)
    if not is_url(kind.value, source) and not (kind is Kind.emoncms and Path(source).is_dir()):
        check_readable("source", Path(source))
    settings = load_settings(data=data)
    mapping, tally = load_mapping(map_, kind.value), Tally()
    columns = (TextColumn("{task.description}"), TextColumn("{task.completed:,.0f} readings"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("reads", total=None)

            def sent(readings: int, newest: int) -> None:
                bar.update(task, advance=readings, description=f"to {iso(newest)[:16]}")

            def waiting(why: str) -> None:
                bar.update(task, description=f"waits: the flow {why}")

            def earlier(readings: int) -> None:
                tally.refused[EARLIER] += readings

            with opened(kind, source, mapping, tally) as tables:
                if dry_run:
                    standing = try_out(settings, device, tables, sent)
                else:
                    import_id = import_id_of(kind.value, source, device, mapping, again)
                    name = f"{kind.value} {source}"[:200]
                    standing = send(settings, device, import_id, name, tables, sent, waiting, earlier)
    except KeyboardInterrupt:
        typer.echo("stopped; nothing was sent" if dry_run else "stopped; the same command goes on from here")
        return 130
    for line in report(tally, standing, dry_run):
        typer.echo(line)
    if standing.taken:
        return 0
    typer.echo("nothing could be taken: see the lines above, and the mapping")
    return 1


import_.__name__ = "import"


def report(tally: "Tally", standing: "Standing", dry_run: bool) -> Iterable[str]:
    """Say in lines what an import came to."""
    refused, removed = tally.refused + Counter(standing.refused), tally.removed + Counter(standing.removed)
    yield f"read      {tally.rows:>10,} rows or points, {standing.read:,} readings"
    yield f"{'to take' if dry_run else 'taken':<9} {standing.taken:>10,} readings"
    yield f"refused   {refused.total():>10,}"
    yield from _reasons(refused, tally)
    if removed:
        yield f"left out  {removed.total():>10,} values"
        yield from _reasons(removed, tally)
    if standing.kwh:
        yield "month     electricity kWh    heat kWh    COP"
    for month, (electric, heat) in sorted(standing.kwh.items()):
        cop = f"{heat / electric:6.2f}" if electric > 0 and heat else "     –"
        yield f"{month}   {electric:>15.1f} {heat:>11.1f} {cop}"
    if dry_run:
        yield "nothing was sent (--dry-run)"


def _reasons(counts: Counter[str], tally: "Tally") -> Iterable[str]:
    """Say what was refused for which reason; the flow's own reasons have no first case."""
    for reason, count in sorted(counts.items()):
        first = f", first {tally.first[reason]}" if reason in tally.first else ""
        yield f"  {count:>10,}  {reason}{first}"
