"""heatpump restore: put a backup into an empty installation."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Data

if TYPE_CHECKING:
    from flows.settings import Settings

Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="A backup, or the folder of backups: its newest then.")
]
Credentials = Annotated[
    Path | None, typer.Option(help="Put back the secrets and accounts of this file, too; asks for its passphrase.")
]
Verify = Annotated[
    bool, typer.Option("--verify", help="Put nothing back: try the backup out, as `heatpump backup`.")
]


def restore(folder: Folder, credentials: Credentials = None, verify: Verify = False, data: Data = None) -> int:
    """Put a backup into an empty installation; `heatpump flow` then goes on from it.

    Into the store that the settings name, whichever kind the backup is of. The flow must not run. What is not
    empty is named, and nothing is touched. The same command again goes on where it was interrupted.

    Examples:
      heatpump restore /var/backups/heatpump

      heatpump restore /var/backups/heatpump/20261129T021500.123Z --credentials /media/stick/heatpump.age
    """
    from flows.backup import manifest
    from flows.backup.restore import restore as run
    from flows.cli.backup import try_out
    from flows.settings import load_settings

    if verify:
        return try_out(folder)
    settings = load_settings(data=data)
    os.umask(0o077)
    path, made = manifest.named(folder)
    if credentials:  # first: the store's token may be among them
        _credentials(credentials, settings)
    run(path, made, load_settings(data=data), say=typer.echo)
    typer.echo(
        f"{path} of {made.made_at} is put back: {made.readings:,} readings, frames {made.first_seq} to "
        f"{made.last_seq}; start the flow, which goes on from there"
    )
    return 0


def _credentials(file: Path, settings: "Settings") -> None:
    from flows.backup.credentials import ask, put_back, read

    done, left = put_back(read(file, ask()), settings)
    if done:
        typer.echo(f"credentials put back: {', '.join(done)}")
    for each in left:
        typer.echo(f"not put back: {each}; `age -d {file} | tar -x` unpacks it")
