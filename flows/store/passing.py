"""What a store has that is older than it is to be: looked at before it goes."""

from pathlib import Path

import msgspec

from flows.model.influx_address import InfluxAddress
from flows.store import StoreAddress


class Cutoffs(msgspec.Struct, frozen=True):
    """What lies before these times is to go. [ms since 1970, UTC]"""

    raw_before: int
    minute_before: int
    dead_letter_before: int


class Passing(msgspec.Struct, frozen=True):
    """Rows of one kind that are to go.

    what           : readings, minutes, dead letters.
    oldest, newest : of them; None without any. [ms since 1970, UTC]
    size           : [bytes]; None where the store cannot tell.
    """

    what: str
    rows: int
    oldest: int | None
    newest: int | None
    size: int | None


def passing(address: StoreAddress, cutoffs: Cutoffs) -> list[Passing]:
    """Count what is to go. Raises RetryableStoreError, StoreError."""
    if isinstance(address, InfluxAddress):
        from flows.store.influx.passing import passing as of_server

        return of_server(address, cutoffs)
    from flows.store.sqlite.passing import passing as of_file

    return of_file(Path(address), cutoffs)
