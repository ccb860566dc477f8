"""heatpump backup: copy an installation while it runs."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Data

if TYPE_CHECKING:
    from flows.settings import Settings

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the backups, one folder each.")]
Keep = Annotated[int | None, typer.Option(min=1, help="Delete all but so many of the newest afterwards.")]
Credentials = Annotated[
    Path | None, typer.Option(help="Write secrets and accounts to this file, encrypted; asks for a passphrase.")
]
Verify = Annotated[
    bool, typer.Option("--verify", help="Make none: try the newest one in DIR, or DIR itself, out.")
]


def backup(
    folder: Folder, keep: Keep = None, credentials: Credentials = None, verify: Verify = False, data: Data = None
) -> int:
    """Back up store, journal, recovery state, graph and rules, while all runs.

    What was acknowledged before it began is in it. Secrets are not: they go to a file of their own, which age can
    decrypt. --verify restores into a scratch store, lets a flow go on there and folds all rollups again; exit code
    1 where something differs. Two at once are refused.

    Examples:
      heatpump backup /var/backups/heatpump --keep 7

      heatpump backup /var/backups/heatpump --verify

      heatpump backup /var/backups/heatpump --credentials /media/stick/heatpump.age
    """
    from flows.settings import load_settings

    settings = load_settings(data=data)
    os.umask(0o077)
    os.nice(5)  # the flow goes first
    if verify:
        return try_out(folder)
    passphrase = _new_passphrase() if credentials else ""
    _make(folder, keep, settings)
    if credentials:
        from flows.backup.credentials import write

        names = write(credentials, settings, passphrase)
        typer.echo(f"credentials {credentials}: {', '.join(names)}")
    return 0


def _make(into: Path, keep: int | None, settings: "Settings") -> None:
    from flows.backup import nightly
    from flows.backup.make import make

    began = time.monotonic()
    with nightly.alone(settings.data / "run", into):
        path, made = make(settings, into)
        seconds = time.monotonic() - began
        nightly.write_note(settings.data, path, made, seconds)
        gone = nightly.keep_newest(into, keep) if keep else []
    deleted = f", deleted {', '.join(each.name for each in gone)}" if gone else ""
    typer.echo(
        f"backup {path}: {made.readings:,} readings, {made.store}, frames {made.first_seq} to {made.last_seq}, "
        f"{made.size / 1e6:,.1f} MB in {seconds:.1f} s{deleted}"
    )


def try_out(folder: Path) -> int:
    """Verify a backup, and say what differs; exit code 1 then."""
    from flows.backup import manifest
    from flows.backup.verify import verify

    path, made = manifest.named(folder)
    began = time.monotonic()
    found = verify(path, made)
    for each in found.differences:
        typer.echo(f"differs   {each}")
    if found.differences:
        typer.echo(f"backup {path} is not good: {len(found.differences)} differences")
        return 1
    typer.echo(
        f"backup {path} is good: {made.readings:,} readings, {found.rollups:,} rollups folded again, "
        f"{found.frames:,} frames, a flow goes on from it; {time.monotonic() - began:.1f} s"
    )
    return 0


def _new_passphrase() -> str:
    from flows.backup.credentials import ask_twice

    return ask_twice()
