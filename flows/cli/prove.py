"""heatpump prove: kill our own processes with -9 while readings come in, and count what the store holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.words import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from flows.proof.books import Found
    from flows.proof.run import Progress

STRIKES_SHOWN = 5
BAR = 24


def prove(
    seconds: Annotated[int, typer.Option(min=3, max=3600, help="How long to publish. [s]")] = 60,
    rate: Annotated[int, typer.Option(min=1, max=2000, help="Readings a second, all devices together.")] = 200,
    kills: Annotated[int, typer.Option(min=0, max=1000, help="How often flow or API is killed with -9.")] = 8,
    keep: Annotated[
        Path | None, typer.Option(help="Keep everything in this new folder; else a temporary one.")
    ] = None,
) -> int:
    """Prove that nothing is lost or doubled while processes are killed.

    Starts a broker, a flow and an API of its own, on free ports and in a folder of its own: no installation is
    touched. Publishes readings, some of them twice, kills flow and API with -9 at random, then compares the store
    with what was published, reading by reading. Exit code 0 if nothing is lost or doubled, else 1.

    Examples:
      heatpump prove

      heatpump prove --seconds 300 --kills 40 --keep proof
    """
    import shutil
    import tempfile

    from rich.console import Console
    from rich.live import Live

    from flows.errors import ConfigError, HeatPumpError
    from flows.proof.run import Plan, Progress
    from flows.proof.run import prove as run

    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise ConfigError("--keep", str(keep), "is there already: name a new folder")
    folder = Path(tempfile.mkdtemp(prefix="heatpump-proof-")) if keep is None else keep.absolute()
    console, progress = Console(highlight=False), Progress(Plan(seconds, rate, kills))
    found, failed = None, False
    try:
        with Live(get_renderable=lambda: _picture(progress), console=console, refresh_per_second=8):
            found = run(folder, progress)
    except (RuntimeError, TimeoutError) as error:
        failed = True
        raise HeatPumpError(f"the proof could not be carried out: {error}\nIts logs are in {folder}") from None
    finally:
        if keep is None and not failed and (found is None or found.is_whole):
            shutil.rmtree(folder, ignore_errors=True)
    _say_verdict(console, progress, found)
    if keep is not None or not found.is_whole:
        console.print(f"Everything of it is in {folder}", style="dim", soft_wrap=True)
    return int(not found.is_whole)


def _picture(progress: "Progress") -> "RenderableType":
    """Draw how far it is; at the end what it came to."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    plan, found, books = progress.plan, progress.found, progress.books
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", min_width=12)
    table.add_column(justify="right", min_width=9)
    table.add_column(style="dim")
    waiting = max(0, books.distinct - found.stored - found.lost)
    table.add_row("published", _number(progress.sent), _bar(progress.sent, plan.seconds * plan.rate))
    table.add_row("acknowledged", _number(progress.acknowledged), "by the broker")
    table.add_row("stored", _number(found.stored), f"{_number(books.twice)} were sent twice on purpose")
    table.add_row("on the way", _number(waiting), _bar(waiting, 3 * plan.rate))
    for name, count in (("lost", found.lost), ("doubled", found.doubled)):
        table.add_row(name, Text(_number(count), "bold red" if count else "bold green"), "")
    table.add_row("killed with -9", _number(len(progress.strikes)), _killed(progress))
    lines = [f"{strike.at:6.1f} s  kill -9 {strike.name}" for strike in progress.strikes[-STRIKES_SHOWN:]]
    lines += [""] * (min(STRIKES_SHOWN, plan.kills) - len(lines))
    clock = "" if progress.began is None or progress.over else f"{min(progress.elapsed_s, 9999):.0f} s  "
    phase = "" if progress.over else f"{clock}{progress.phase} …"
    return Group(Text(phase, "bold"), "", table, "", *(Text(line, "dim") for line in lines))


def _say_verdict(console: "object", progress: "Progress", found: "Found") -> None:
    from rich.console import Console

    assert isinstance(console, Console)
    plan, books = progress.plan, progress.books
    sums = (
        f"{_number(books.distinct)} readings of {counted(plan.devices, 'device')}, {_number(books.twice)} of them"
        f" sent twice, {len(progress.strikes)} times kill -9: {_number(found.stored)} stored,"
        f" {_number(found.lost)} lost, {_number(found.doubled)} doubled."
    )
    if found.is_whole:
        console.print(f"\n[bold green]Nothing lost, nothing doubled.[/] {sums}")
    else:
        console.print(f"\n[bold red]The store is not what was published.[/] {sums}")
    console.print(
        "The broker was not killed: the embedded one keeps its queue in memory, so its own kill -9 would lose what"
        " the flow had not taken yet. With Mosquitto: docs/how-to/prove.md.",
        style="dim",
    )


def _killed(progress: "Progress") -> str:
    names = [strike.name for strike in progress.strikes]
    return ", ".join(f"{name} {names.count(name)}" for name in ("flow", "api") if name in names)


def _bar(part: int, whole: int) -> str:
    filled = min(BAR, round(BAR * part / whole)) if whole else 0
    return "█" * filled + "░" * (BAR - filled)


def _number(count: int) -> str:
    return f"{count:,}".replace(",", " ")
