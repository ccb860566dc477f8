"""Copy the recovery database while the flow uses it: a process of its own.

Bytewax carries its own SQLite, Python another. Two of them on one database in one process break each other's locks
(POSIX gives them to the process): the one that closes takes itself for the last and deletes the log that the other
still writes into, so that nothing saved later outlives a kill; one that opens cuts the index the other has mapped.

Called: python -m flows.recovery_copy SOURCE TARGET. Both are database files; TARGET is new.
"""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

PATIENCE_S = 300.0


def copy_database(source: Path, target: Path) -> None:
    """Copy in a child process. Raises OSError with what it said where it failed."""
    command = [sys.executable, "-m", __name__, str(source), str(target)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise OSError(f"copying {source} took more than {PATIENCE_S:.0f} s") from None
    if done.returncode:
        raise OSError(f"{source} cannot be copied: {(done.stderr.strip() or 'killed').splitlines()[-1]}")


def main(source: str, target: str) -> None:
    """Copy."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


if __name__ == "__main__":
    main(*sys.argv[1:])
