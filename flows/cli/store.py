"""heatpump store: what the store keeps, and for how long."""

from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Data

if TYPE_CHECKING:
    from flows.retention import Going
    from flows.store.passing import Passing

Apply = Annotated[bool, typer.Option("--apply", help="Let it go now, after naming it.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before --apply.")]


def retention(apply: Apply = False, yes: Yes = False, data: Data = None) -> int:
    """Say what the settings no longer keep, and let it go now.

    The flow lets go by itself, two days a day: after INFLUXDB_RETENTION was made shorter this takes a while. Of
    InfluxDB, the retention of the buckets is held against the settings, too; --apply changes it, shorter or
    longer.

    Examples:
      heatpump store retention

      heatpump store retention --apply
    """
    from flows import retention as run
    from flows.settings import load_settings

    settings = load_settings(data=data)
    going = run.look(settings)
    for line in _told(going):
        typer.echo(line)
    goes = any(each.rows for each in going.rows)
    if not apply or not (goes or going.buckets):
        typer.echo("nothing is deleted" if not apply else "nothing to do")
        return 0
    loses = goes or any(bucket.is_shorter for bucket in going.buckets)
    if loses and not yes and not _agreed():
        typer.echo("nothing is deleted")
        return 1
    typer.echo(run.apply(settings, going))
    return 0


STORE_COMMANDS = (retention,)


def _told(going: "Going") -> list[str]:
    lines = [_line(each) for each in going.rows]
    lines.append(f"{_line(going.journal)}; these go by themselves, within a minute of the flow")
    for bucket in going.buckets:
        from flows.store.influx.buckets import spoken

        goes = "older points go" if bucket.is_shorter else "no point goes"
        lines.append(
            f"bucket {bucket.name} keeps its points for {spoken(bucket.there)}, the settings say "
            f"{spoken(bucket.wanted)}: {goes}"
        )
    return lines


def _line(passing: "Passing") -> str:
    if not passing.rows or passing.oldest is None or passing.newest is None:
        return f"{passing.what:<13} none"
    size = "" if passing.size is None else f", {passing.size / 1e6:,.1f} MB"
    return f"{passing.what:<13} {passing.rows:,} of {_day(passing.oldest)} to {_day(passing.newest)}{size}"


def _day(ms: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M}"


def _agreed() -> bool:
    try:
        return typer.confirm("delete these?")
    except typer.Abort:
        return False
